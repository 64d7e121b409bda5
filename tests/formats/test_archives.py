"""Zip archives and gzip: read without leaving a file behind, and refused where they are more than they say."""

import gzip
import shutil
import struct
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import archive, find_recordings, read_ecg, read_recordings
from ecoscale.formats.long_records import open_long_record


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path, monkeypatch):
    """What a reader unpacks goes to a folder of its own, which has to be empty at the end."""
    unpacked = tmp_path / "temporary"
    unpacked.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(unpacked))
    yield
    assert list(unpacked.iterdir()) == []


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder with the WFDB records `a` and `b` of 8 s, and one of two segments, `s`."""
    folder = tmp_path_factory.mktemp("records")
    for number, name in enumerate(("a", "b", "s_1", "s_2")):
        ecg = synthetic_ecg(rate=250, duration=8, seed=number).ecg
        signal = ecg.signal.T.astype(float)
        wfdb.wrsamp(name, 250, ["mV"] * 12, list(LEADS), p_signal=signal, fmt=["16"] * 12, write_dir=str(folder))
    (folder / "s.hea").write_text("s/2 12 250 4000\ns_1 2000\ns_2 2000\n")
    return folder


@pytest.fixture
def zipped(records, tmp_path):
    def zipped(*names, inside="", path="rec.zip"):
        with zipfile.ZipFile(tmp_path / path, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.write(records / name, inside + name)
        return tmp_path / path

    return zipped


@pytest.mark.parametrize("inside", ["", "a folder/another/"])
def test_a_zipped_record_is_that_record(records, zipped, inside):
    path = zipped("a.hea", "a.dat", inside=inside)
    ecg, expected = read_ecg(path), read_ecg(records / "a.hea")
    np.testing.assert_array_equal(ecg.signal, expected.signal)
    assert (ecg.source, ecg.record, ecg.notes) == (str(path), "a", expected.notes)


def test_of_several_records_one_is_chosen_by_its_name(records, zipped):
    path = zipped("a.hea", "a.dat", "b.hea", "b.dat", inside="set/")
    with pytest.raises(FormatError, match=r"2 recordings \(set/a\.hea, set/b\.hea\); expected one, or record="):
        read_ecg(path)
    with pytest.raises(FormatError, match=r"'set/c\.hea', which was asked for, is not among them"):
        read_ecg(path, record="set/c.hea")
    ecg = read_ecg(path, record="set/b.hea")
    np.testing.assert_array_equal(ecg.signal, read_ecg(records / "b.hea").signal)
    assert ecg.record == "set/b.hea"


def test_a_folder_yields_a_recording_for_each_that_is_in_an_archive(records, zipped, tmp_path):
    several = zipped("a.hea", "a.dat", "b.hea", "b.dat")
    single = zipped("a.hea", "a.dat", path="single.zip")
    zipped("a.dat", path="without.zip")
    found = list(find_recordings([tmp_path]))
    assert [(each.path, each.record) for each in found] == [(several, "a.hea"), (several, "b.hea"), (single, None)]
    read = list(read_recordings(found))
    assert [each.n_samples for each in read] == [2000] * 3
    assert [each.record for each in read] == ["a.hea", "b.hea", "a"]


def test_a_named_archive_without_a_recording_is_given_so_that_reading_it_says_so(zipped):
    (recording,) = find_recordings([zipped("a.dat", "b.dat")])
    with pytest.raises(FormatError, match=r"rec\.zip: an archive with no recordings; expected one"):
        recording.read()


def test_a_single_file_of_another_format_is_read_and_its_errors_name_the_archive(tmp_path, zipped, records):
    real = Path(get_testdata_file("waveform_ecg.dcm"))
    with zipfile.ZipFile(tmp_path / "dicom.zip", "w") as file:
        file.write(real, "study")
    np.testing.assert_array_equal(read_ecg(tmp_path / "dicom.zip").signal, read_ecg(real).signal)
    with pytest.raises(FormatError, match=r"rec\.zip/a\.hea: the signal file a\.dat.*not beside it"):
        read_ecg(zipped("a.hea"))
    np.save(tmp_path / "x.npy", np.zeros((12, 500)))
    with zipfile.ZipFile(tmp_path / "npy.zip", "w") as file:
        file.write(tmp_path / "x.npy", "x.npy")
    with pytest.raises(FormatError, match=r"npy\.zip/x\.npy: .*give rate=, unit=, leads="):
        read_ecg(tmp_path / "npy.zip")


def test_a_file_compressed_with_gzip_is_read(tmp_path):
    real = Path(get_testdata_file("waveform_ecg.dcm"))
    (tmp_path / "study.dcm.gz").write_bytes(gzip.compress(real.read_bytes()))
    ecg = read_ecg(tmp_path / "study.dcm.gz")
    np.testing.assert_array_equal(ecg.signal, read_ecg(real).signal)
    assert ecg.source == str(tmp_path / "study.dcm.gz")
    assert len(list(find_recordings([tmp_path]))) == 1


def test_samples_that_begin_as_an_archive_does_are_those_of_the_header_beside_them(records, tmp_path):
    for suffix in ("hea", "dat"):
        shutil.copy(records / f"a.{suffix}", tmp_path)
    data = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(b"\x1f\x8b\x08\x00" + data[4:])
    assert read_ecg(tmp_path / "a.dat").n_samples == open_long_record(tmp_path / "a.dat").n_samples == 2000
    for path in (tmp_path, tmp_path / "a.dat"):
        assert [each.path.name for each in find_recordings([path])] == ["a.hea"]


def test_an_archive_in_an_archive_is_refused(zipped, tmp_path):
    inner = zipped("a.hea", "a.dat")
    (tmp_path / "rec.zip.gz").write_bytes(gzip.compress(inner.read_bytes()))
    with pytest.raises(FormatError, match=r"rec\.zip in it is an archive too; unpack the outer one"):
        read_ecg(tmp_path / "rec.zip.gz")


@pytest.mark.parametrize("kind", ["zip", "gzip"])
def test_an_archive_that_is_larger_than_allowed_is_refused(zipped, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archive, "LARGEST_UNPACKED", 30_000)
    path = zipped("a.hea", "a.dat")
    if kind == "gzip":
        path = tmp_path / "study.dcm.gz"
        path.write_bytes(gzip.compress(Path(get_testdata_file("waveform_ecg.dcm")).read_bytes()))
    with pytest.raises(FormatError, match="larger than 30000 bytes when unpacked"):
        read_ecg(path)


def test_an_archive_that_is_larger_than_it_says_is_refused(zipped, monkeypatch):
    path = zipped("a.hea", "a.dat")
    data = path.read_bytes()
    # Its directory, and the head of the file in it, say 100 bytes.
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.rindex(mark)
        data = data[: place + at] + struct.pack("<I", 100) + data[place + at + 4 :]
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"rec\.zip"):
        read_ecg(path)


def test_names_in_an_archive_choose_no_path(records, tmp_path):
    path = tmp_path / "deep" / "rec.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        for suffix in ("hea", "dat"):
            file.write(records / f"a.{suffix}", f"../../up/a.{suffix}")
    before = sorted(tmp_path.rglob("*"))
    assert read_ecg(path).n_samples == 2000
    assert sorted(tmp_path.rglob("*")) == before
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.hea", "x 1 250 10\n../../../../../etc/passwd 16 200 16 0 0 0 0 II\n")
    with pytest.raises(FormatError, match=r"expected a file name beside the header"):
        read_ecg(path)


def test_an_encrypted_archive_is_refused(zipped):
    path = zipped("a.hea", "a.dat")
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = data.index(mark)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(mark, place + 4)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.dat in the archive is encrypted|a\.hea in the archive is encrypted"):
        read_ecg(path)


@pytest.mark.parametrize("name", ["a", "s"])
def test_a_long_record_is_read_in_pieces_from_an_archive(records, zipped, tmp_path, name):
    parts = ["a.hea", "a.dat"] if name == "a" else ["s.hea", "s_1.hea", "s_1.dat", "s_2.hea", "s_2.dat"]
    path = zipped(*parts, inside="night/")
    chosen = None if name == "a" else "night/s.hea"
    # A copy under another name needs the files as long.
    record = replace(open_long_record(path, record=chosen), record="copy")
    expected = open_long_record(records / f"{name}.hea")
    assert (record.source, record.n_samples) == (str(path), expected.n_samples)
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    for piece, other in zip(record.pieces(3), expected.pieces(3), strict=True):
        np.testing.assert_array_equal(piece, other)


def test_a_long_record_that_cannot_be_opened_leaves_nothing_behind(zipped):
    with pytest.raises(FormatError, match="not beside it"):
        open_long_record(zipped("a.hea"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(zipped, tmp_path, data):
    path = tmp_path / "rec.zip"
    if not (tmp_path / "whole").exists():
        shutil.copy(zipped("a.hea", "a.dat"), tmp_path / "whole")
        (tmp_path / "whole.gz").write_bytes(gzip.compress((tmp_path / "whole").read_bytes()[:2000]))
    whole = bytearray((tmp_path / data.draw(st.sampled_from(["whole", "whole.gz"]))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, 300) | st.integers(len(whole) - 200, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(24, len(whole)))] if data.draw(st.booleans()) else whole)
    reason = "rec.zip"
    try:
        assert read_ecg(path).n_samples
    except EcoscaleError as error:
        reason = str(error)
    assert "rec.zip" in reason
