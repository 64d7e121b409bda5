import os
import pickle
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError
from ecoscale.formats import Recording, find_recordings

HEADER = "rec 12 500 10\n" + "".join(f"rec.dat 16 1000/mV 16 0 0 0 0 {lead}\n" for lead in LEADS)


@pytest.fixture
def folder(tmp_path):
    """One recording of each kind, among files that are none."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "rec.hea").write_text(HEADER)
    (tmp_path / "b" / "rec.dat").write_bytes(bytes(12 * 10 * 2))
    (tmp_path / "b" / "renamed.txt").write_text(HEADER)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "study").write_bytes(Path(get_testdata_file("waveform_ecg.dcm")).read_bytes())
    (tmp_path / "a" / "picture.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    with h5py.File(tmp_path / "exams.h5", "w") as file:
        file["tracings"], file["exam_id"] = np.ones((4, 8, 12), np.float32), [9, 4, 7, 0]
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = [1.0]
    (tmp_path / "LICENSE.txt").write_text("Creative Commons\n")
    (tmp_path / "RECORDS").write_text("b/rec\n")
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id,age\n1,50\n")
    (tmp_path / "signals.csv").write_text("I,II\n0.1,0.2\n")
    np.save(tmp_path / "signals.npy", np.zeros((12, 500)))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "rec.hea").write_text(HEADER)
    (tmp_path / "b" / "._rec.hea").write_bytes(b"\0\5\x16\7")
    return tmp_path


def names(recordings, folder):
    return [(recording.path.relative_to(folder).as_posix(), recording.record) for recording in recordings]


IN_FOLDER = [
    ("exams.h5", "9"),
    ("exams.h5", "4"),
    ("exams.h5", "7"),
    ("a/study", None),
    ("b/rec.hea", None),
    ("b/renamed.txt", None),
]


def test_a_folder_gives_each_recording_in_it_once_by_content_and_in_order(folder):
    assert names(find_recordings([folder]), folder) == IN_FOLDER


def test_tables_in_a_folder_are_taken_on_request(folder):
    found = names(find_recordings([str(folder)], tables=True), folder)
    assert sorted(set(found) - set(IN_FOLDER)) == [("signals.csv", None), ("signals.npy", None)]


def test_a_record_named_in_several_ways_is_found_once(folder):
    paths = [folder / "b" / name for name in ("rec.dat", "rec.hea", "rec")] + [folder / "b", f"{folder}/b/*"]
    found = names(find_recordings(paths), folder)
    assert Counter(found)["b/rec.hea", None] == 1
    assert ("b/rec.dat", None) not in found


def test_files_named_as_such_are_always_given(folder):
    paths = [folder / "signals.csv", folder / "LICENSE.txt", folder / "other.h5", folder / "exams.h5"]
    found = names(find_recordings(paths), folder)
    assert found == [("signals.csv", None), ("LICENSE.txt", None), ("other.h5", None), *IN_FOLDER[:3]]


def test_a_pattern_reaches_into_folders(folder):
    assert names(find_recordings([f"{folder}/**/*.hea"]), folder) == [("b/rec.hea", None)]
    assert names(find_recordings([f"{folder}/?"]), folder) == IN_FOLDER[3:]


def test_a_path_with_the_signs_of_a_pattern_is_taken_as_it_stands(folder):
    (folder / "b").rename(folder / "[b]")
    assert names(find_recordings([folder / "[b]" / "rec"]), folder) == [("[b]/rec.hea", None)]


@pytest.mark.parametrize("path", ["nothing.hea", "*.nothing", "b/nothing", "empty"])
def test_what_is_not_there_is_given_so_that_reading_it_says_so_and_the_others_go_on(folder, path):
    (folder / "empty").mkdir()
    missing, other = find_recordings([folder / path, folder / "a" / "study"])
    with pytest.raises(FormatError, match=r"no such file|a folder, not a recording"):
        missing.read()
    assert other.read().rate == 1000


def test_damaged_recordings_in_a_folder_are_given_so_that_they_are_not_passed_over(tmp_path):
    (tmp_path / "a.hea").write_text("not a header\n")
    (tmp_path / "b.hea").touch()
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    found = list(find_recordings([tmp_path]))
    assert [recording.path.name for recording in found] == ["a.hea", "b.hea", "c.h5"]
    for recording in found:
        with pytest.raises(FormatError, match=recording.path.name):
            recording.read()


def test_a_pipe_in_a_folder_is_not_waited_for(folder):
    os.mkfifo(folder / "b" / "device.hea")
    assert "device.hea" not in [recording.path.name for recording in find_recordings([folder])]


def test_a_recording_is_read_with_what_its_file_does_not_state(folder):
    recording = Recording(folder / "signals.npy")
    assert recording.read(rate=500, unit="mV", leads=LEADS).n_samples == 500


def test_what_a_file_does_not_state_travels_with_the_recording(folder):
    recording = Recording(folder / "signals.npy", options={"rate": 500, "unit": "mV", "leads": LEADS})
    assert recording.read().rate == 500
    assert recording.read(rate=250).rate == 250
    assert {recording: 1}[pickle.loads(pickle.dumps(recording))]
    assert recording != Recording(folder / "signals.npy")


def test_real_folders_give_their_records(recordings):
    found = list(find_recordings([recordings / "ptbxl-native", recordings / "code15"]))
    assert Counter(recording.path.suffix for recording in found) == {".hea": 40, ".hdf5": 10}
    assert {recording.read().n_leads for recording in found} == {12}


def test_signals_are_not_touched_and_the_first_recording_does_not_wait_for_the_last(folder):
    for number in range(300):
        (folder / "b" / f"r{number:03}.hea").write_text(HEADER)
    before = os.stat(folder / "b" / "rec.dat").st_size  # noqa: PTH116
    (folder / "b" / "rec.dat").write_bytes(b"")
    stream = find_recordings([folder / "b"])
    assert next(stream).path.name == "r000.hea"
    assert sum(1 for _ in stream) == 301
    assert before
