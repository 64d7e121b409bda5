import json
from contextlib import suppress

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.writing import write_ecg


def signal(n_samples=300):
    return np.random.default_rng(0).integers(-2000, 2000, (12, n_samples)) / 1000


def save(path, columns, about=None):
    metadata = None if about is None else {"ecoscale_ecg": json.dumps(about)}
    table = pyarrow.table({name: np.asarray(values) for name, values in columns.items()})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def microvolts():
    return {f"lead {lead}": (1000 * row).round().astype(np.int32) for lead, row in zip(LEADS, signal(), strict=True)}


def test_a_table_without_metadata_is_read_with_rate_and_unit(tmp_path):
    path = save(tmp_path / "a.parquet", microvolts() | {"index": np.arange(300)})
    ecg = read_ecg(path, rate=500, unit="uV")
    np.testing.assert_allclose(ecg.signal, signal(), atol=1e-7)
    assert ecg.notes == ("ignored_channels: index; not among the twelve leads",)
    for given_alone, missing in (({"rate": 500}, "does not state its unit"), ({"unit": "uV"}, "rate is not stated")):
        with pytest.raises(FormatError, match=f"a.parquet: .*{missing}"):
            read_ecg(path, **given_alone)


def test_what_the_metadata_state_may_not_be_contradicted(tmp_path):
    path = write_ecg(ECG(signal(), 500), tmp_path / "a.parquet").paths[0]
    assert read_ecg(path, rate=500, unit="mV").rate == 500
    with pytest.raises(FormatError, match="is 500 Hz, but rate=250 was given"):
        read_ecg(path, rate=250)
    with pytest.raises(FormatError, match="is 'mV', but unit='uV' was given"):
        read_ecg(path, unit="uV")
    with pytest.raises(FormatError, match="record '1' was asked for"):
        read_ecg(path, record="1")


@pytest.mark.parametrize(
    ("columns", "about", "error"),
    [
        ({"a": [1.0], "b": [2.0]}, {}, r"no column is named after a lead \(a, b\)"),
        ({"I": ["x"], "II": [2.0]}, {}, "column I is (large_)?string; expected numbers"),
        ({"I": [], "II": []}, {"rate": 500, "unit": "mV"}, "without rows"),
        ({"I": [1.0], "II": [2.0]}, {"rate": "fast", "unit": "mV"}, "rate is 'fast'; expected samples per second"),
        ({"I": [1.0], "II": [2.0]}, ["rate"], "not the JSON object"),
    ],
)
def test_a_table_that_is_no_ecg_is_refused(tmp_path, columns, about, error):
    with pytest.raises(FormatError, match=f"a.parquet: .*{error}"):
        read_ecg(save(tmp_path / "a.parquet", columns, about))


def test_a_table_that_announces_more_than_an_ecg_compresses_to_is_refused_unread(tmp_path):
    zeros = np.zeros(3_000_000, np.float32)
    path = save(tmp_path / "a.parquet", dict.fromkeys(LEADS, zeros), {"rate": 500, "unit": "mV"})
    with pytest.raises(FormatError, match=r"3,000,000 rows in [\d,]+ bytes; expected an ECG"):
        read_ecg(path)


def test_in_a_folder_only_tables_that_say_so_are_recordings(tmp_path):
    save(tmp_path / "findings.parquet", {"AF_probability": [0.1]})
    write_ecg(ECG(signal(), 500), tmp_path / "ecg.parquet")
    (tmp_path / "short.parquet").write_bytes(b"PAR1")
    assert [recording.path.name for recording in find_recordings([tmp_path])] == ["ecg.parquet"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_ecg(ECG(signal(), 500), tmp_path_factory.mktemp("whole") / "a.parquet").paths[0].read_bytes()


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_raises_an_error_of_ecoscale_or_is_read(tmp_path_factory, whole, data):
    content = bytearray(whole[: data.draw(st.integers(5, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    path.write_bytes(content)
    with suppress(EcoscaleError):
        assert read_ecg(path).n_leads == 12
