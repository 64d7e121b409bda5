"""Parquet files of which each row is a recording."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ecoscale.datasets.synthetic import synthetic_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.writing.parquet_records import write_records


@pytest.fixture(scope="module")
def ecgs():
    return [made.ecg for made in synthetic_collection(70, seed=1, rate=100)]


@pytest.fixture
def path(ecgs, tmp_path):
    """70 recordings in two row groups."""
    assert write_records(ecgs, tmp_path / "many.parquet") == 70
    return tmp_path / "many.parquet"


def save(path, columns, **options):
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def spikes(n_samples=200):
    return {lead: [list(np.arange(n_samples) % 7 + row) for row in range(2)] for lead in LEADS}


def test_each_row_is_a_recording_found_by_name_and_read_to_the_bit(ecgs, path):
    assert pyarrow.parquet.read_metadata(path).num_row_groups == 2
    found = list(find_recordings([path]))
    assert [recording.record for recording in found] == [ecg.record for ecg in ecgs]
    # From the last to the first: the row groups are read again.
    for recording, ecg in zip(reversed(found), reversed(ecgs), strict=True):
        read = recording.read()
        np.testing.assert_array_equal(read.signal, ecg.signal)
        assert (read.rate, read.leads, read.record, read.source) == (ecg.rate, LEADS, ecg.record, str(path))
    assert [recording.record for recording in find_recordings([path.parent])] == [ecg.record for ecg in ecgs]


def test_what_another_program_wrote_is_read_by_the_names_of_its_columns(tmp_path):
    columns = spikes() | {"rate": [100.0, 250.0], "unit": ["uV", "mV"], "age": [61, 62]}
    path = save(tmp_path / "theirs.parquet", columns)
    first, second = (recording.read() for recording in find_recordings([tmp_path]))
    assert (first.record, first.rate, first.signal[0, 1]) == ("0", 100, np.float32(0.001))
    assert (second.record, second.rate, second.signal[0, 1]) == ("1", 250, 2)
    with pytest.raises(FormatError, match="record 0: the unit is 'uV', but unit='mV' was given"):
        read_ecg(path, record="0", unit="mV")


def test_a_lead_that_is_null_is_not_there(tmp_path):
    columns = spikes() | {"V6": [None, None]}
    path = save(tmp_path / "eleven.parquet", columns)
    with pytest.raises(Exception, match="V6"):
        read_ecg(path, record="1", rate=100, unit="mV")
    ecg = read_ecg(path, record="1", rate=100, unit="mV", fewer_leads=True)
    assert ecg.leads == LEADS[:-1]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"record": "0"}, "the unit is not stated and is not guessed"),
        ({}, {"record": "0", "unit": "mV"}, "the rate is not stated"),
        ({}, {"unit": "mV", "rate": 100}, r"a Parquet file of 2 recordings \(0, 1, ...\); give record="),
        ({}, {"record": "7", "unit": "mV", "rate": 100}, "'7' is not among them"),
        ({"record": ["a", "a"]}, {"record": "a", "unit": "mV", "rate": 100}, "column record names 'a' twice"),
        ({"II": [[1, 2], [3]]}, {"record": "1", "unit": "mV", "rate": 100}, "leads of .*II 1.* samples"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_named(tmp_path, columns, options, message):
    path = save(tmp_path / "a.parquet", spikes() | columns)
    with pytest.raises(FormatError, match=message):
        read_ecg(path, **options)


def test_a_row_group_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ecoscale.formats.parquet_records.LARGEST_GROUP", 1000)
    path = save(tmp_path / "a.parquet", spikes())
    with pytest.raises(FormatError, match="write the file with smaller ones"):
        read_ecg(path, record="0", unit="mV", rate=100)


def test_a_file_that_was_written_anew_is_read_anew(ecgs, path):
    assert len(list(find_recordings([path]))) == 70
    write_records(ecgs[:3], path)
    assert [recording.record for recording in find_recordings([path])] == [ecg.record for ecg in ecgs[:3]]


def test_a_table_without_lists_of_leads_is_no_file_of_recordings(tmp_path):
    save(tmp_path / "labels.parquet", {"record": ["a"], "AF": [1], "codes": [["x"]]})
    (recording,) = find_recordings([tmp_path])
    assert recording.path == tmp_path
    with pytest.raises(FormatError, match="no column is named after a lead"):
        read_ecg(tmp_path / "labels.parquet")
