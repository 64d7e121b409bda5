"""Checking a collection: each defect that is put in is found, named and counted, and nothing else is."""

import hashlib
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PTBXL, Chapman, Code15, Folder
from ecoscale.datasets.checking import check_collection, part_counts
from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.splits import stratified_split
from ecoscale.datasets.verified import VerifiedFiles, file_checksum
from ecoscale.ecg import LEADS

EMPTY = 1


def by_code(check):
    return {one.code: one for one in check.observations}


@pytest.fixture
def exams(tmp_path):
    """A synthetic CODE-15% of 40 exams, one of them empty as its publisher's are."""
    write_code15(tmp_path, 40, n_parts=2, seed=2, compression=None)
    return tmp_path


def alter(folder, change, part=0):
    """Change the tracings of a part: `change(tracings, ids)`."""
    with h5py.File(folder / f"exams_part{part}.hdf5", "r+") as file:
        tracings, ids = file["tracings"][()], file["exam_id"][()]
        change(tracings, ids)
        file["tracings"][...] = tracings


def present(tracings):
    """Rows of the exams that are not empty."""
    return np.flatnonzero(tracings.any(axis=(1, 2)))


class TestSoundCollections:
    def test_genuine_ptbxl_records_are_sound(self, recordings):
        check = check_collection(PTBXL(recordings / "ptbxl-native", 500))
        assert check.sound
        assert (check.records, check.readable, check.rates, check.observations) == (20, 20, {"500": 20}, ())
        assert check.residual["largest"] < 0.01
        assert check.parts["fold 3"]["records"] >= 1

    def test_genuine_code15_exams_are_sound_and_their_padding_is_measured(self, recordings):
        check = check_collection(Code15(recordings / "code15"))
        assert check.sound
        padding = by_code(check)["padding"]
        with h5py.File(recordings / "code15" / "exams_part0.hdf5") as file:
            silent = [int((~row.any(axis=1)).sum()) for row in file["tracings"][:-1]]
        assert (padding.level, padding.count) == ("note", np.count_nonzero(silent))
        assert check.padding_seconds == pytest.approx(sum(silent) / 400, abs=0.01 * len(silent))

    def test_labels_are_counted_by_finding(self, exams):
        check = check_collection(Code15(exams))
        table = pd.read_csv(exams / "exams.csv")
        for finding, counts in check.labels.items():
            assert counts == {
                "present": int(table[finding].sum()),
                "absent": int((~table[finding]).sum()),
                "unknown": 0,
            }

    def test_it_can_be_written_as_json(self, exams):
        check = check_collection(Code15(exams))
        assert json.loads(json.dumps(check.as_dict()))["records"] == 40

    def test_processes_find_what_one_finds(self, exams, monkeypatch):
        monkeypatch.setattr("ecoscale.datasets.checking.ALONE", 0)
        assert check_collection(Code15(exams), workers=2) == check_collection(Code15(exams), workers=1)


class TestDefects:
    def test_an_empty_exam_is_counted_and_does_not_make_the_collection_unsound(self, exams):
        """CODE-15% has some as published."""
        check = check_collection(Code15(exams))
        assert (check.sound, check.records, check.readable) == (True, 40, 39)
        assert by_code(check)["empty"].count == EMPTY
        assert "is all zeros" in by_code(check)["empty"].first[0]

    def test_an_exam_that_cannot_be_read_makes_it_unsound(self, exams):
        with h5py.File(exams / "exams_part0.hdf5", "r+") as file:
            file["exam_id"][1] = file["exam_id"][0]
        check = check_collection(Code15(exams))
        assert not check.sound
        assert "is there 2 times" in by_code(check)["unreadable"].first[0]

    def test_a_record_in_which_nothing_changes_is_empty_too(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((12, 1000), np.float32))
        (tmp_path / "labels.csv").write_text("record,AF\na.npy,1\n")
        (tmp_path / "dataset.yaml").write_text(f"rate: 100\nunit: mV\nleads: [{', '.join(LEADS)}]\n")
        found = by_code(check_collection(Folder(tmp_path)))
        assert found["empty"].first == ("a.npy: no lead changes in 10.0 s",)
        assert "flat_lead" not in found

    def test_leads_in_another_order_are_found(self, exams):
        def swap(tracings, ids):
            row = present(tracings)[0]
            tracings[row][:, [0, 1]] = tracings[row][:, [1, 0]]

        alter(exams, swap)
        found = by_code(check_collection(Code15(exams)))["inconsistent_leads"]
        assert (found.count, found.level) == (1, "warning")

    def test_microvolts_are_found(self, exams):
        def scale(tracings, ids):
            tracings[present(tracings)[:2]] *= 1000

        alter(exams, scale)
        found = by_code(check_collection(Code15(exams)))
        assert found["implausible_amplitude"].count + ("unreadable" in found and found["unreadable"].count) == 2

    def test_a_flat_lead_and_missing_samples_are_found_and_named(self, exams):
        def spoil(tracings, ids):
            first, second = present(tracings)[:2]
            tracings[first][:, 8] = 0
            tracings[second][1000:1050, 3] = np.nan

        alter(exams, spoil)
        found = by_code(check_collection(Code15(exams)))
        assert "V3" in found["flat_lead"].first[0]
        assert "aVR" in found["missing_samples"].first[0]

    def test_the_same_signal_twice_is_found_across_parts_and_with_other_labels(self, exams):
        taken = {}

        def take(tracings, ids):
            taken["signal"], taken["from"] = tracings[present(tracings)[0]].copy(), ids[present(tracings)[0]]

        def put(tracings, ids):
            tracings[present(tracings)[0]], taken["to"] = taken["signal"], ids[present(tracings)[0]]

        alter(exams, take, 0)
        alter(exams, put, 1)
        pair = [str(taken["from"]), str(taken["to"])]
        table = pd.read_csv(exams / "exams.csv")
        table.loc[table["exam_id"] == taken["to"], "AF"] ^= True
        table.loc[table["exam_id"] == taken["from"], ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]] = False
        table.loc[table["exam_id"] == taken["to"], ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]] = True
        table.to_csv(exams / "exams.csv", index=False)
        collection = Code15(exams)
        parts = dict.fromkeys(collection.records.index, "train") | {pair[1]: "test"}
        found = by_code(check_collection(collection, parts))
        assert found["duplicate"].first == (" = ".join(pair),)
        assert found["other_labels"].count == 1
        assert found["duplicate_across_parts"].first == (f"{' = '.join(pair)} in test, train",)
        assert found["duplicate_across_parts"].level == "error"
        within = by_code(check_collection(collection, dict.fromkeys(collection.records.index, "train")))
        assert "duplicate_across_parts" not in within

    def test_a_patient_in_two_parts_is_found(self, exams):
        collection = Code15(exams)
        patient = collection.records["patient"].mode()[0]
        first, second, *_ = collection.records.index[collection.records["patient"] == patient]
        parts = dict.fromkeys(collection.records.index, "train") | {second: "test"}
        found = by_code(check_collection(collection, parts))["patient_in_two_parts"]
        assert found.count == 1
        assert f"{patient}: " in found.first[0]
        assert f"{first} in train" in found.first[0]

    def test_a_stratified_split_has_none(self, exams):
        collection = Code15(exams)
        parts = stratified_split(collection.records, collection.labels(["AF"]), {"train": 0.5, "test": 0.5})
        assert {"patient_in_two_parts", "duplicate_across_parts"}.isdisjoint(
            by_code(check_collection(collection, parts))
        )
        counts = part_counts(collection, parts)
        assert sum(part["records"] for part in counts.values()) == 40

    def test_files_that_differ_from_the_publishers_checksums_are_named(self, recordings, tmp_path):
        folder = shutil.copytree(recordings / "ptbxl-native", tmp_path / "ptb-xl", copy_function=shutil.copyfile)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder)}" for path in files]
        (folder / "SHA256SUMS.txt").write_text("\n".join([*lines, "0" * 64 + " records100/not/here.dat"]) + "\n")
        whole = check_collection(PTBXL(folder))
        assert (whole.sound, whole.checksums_compared) == (True, len(files))
        altered = next(path for path in files if path.suffix == ".dat" and "records100" in path.parts)
        content = bytearray(altered.read_bytes())
        content[7] ^= 1
        altered.write_bytes(content)
        found = by_code(check_collection(PTBXL(folder)))
        assert found["altered_file"].count == 1
        assert str(altered.relative_to(folder)) in found["altered_file"].first[0]
        # The header of the record has a checksum of its own.
        assert found["checksum"].count == 1
        assert check_collection(PTBXL(folder), checksums=False).checksums_compared == 0

    def test_files_are_compared_with_what_a_download_verified(self, exams):
        verified = VerifiedFiles(exams)
        for name in ("exams.csv", "exams_part0.hdf5"):
            verified.record(name, file_checksum(exams / name, "md5"))
        verified.save()
        assert check_collection(Code15(exams)).checksums_compared == 2
        table = pd.read_csv(exams / "exams.csv")
        table.assign(age=50).to_csv(exams / "exams.csv", index=False)
        found = by_code(check_collection(Code15(exams)))["altered_file"]
        assert found.first[0].startswith("exams.csv: md5:")


def test_genuine_chapman_records_are_sound_and_read_at_their_rate(recordings, tmp_path):
    command = [sys.executable, recordings / "unpack.py", tmp_path, "chapman", "--first", "12"]
    subprocess.run(command, check=True, capture_output=True)
    check = check_collection(Chapman(tmp_path / "ecg-arrhythmia"))
    assert check.sound
    assert check.rates == {"500": 12}
