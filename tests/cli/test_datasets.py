"""`ecoscale datasets`: which collections can be read, and what is known of each."""

import json
import shutil

import pytest

from ecoscale.datasets import list_collections, open_collection
from ecoscale.datasets.splits import read_split, write_split


def test_every_collection_is_listed_with_source_and_licence(run):
    result = run("datasets")
    assert result.exit_code == 0
    for cls in list_collections().values():
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(cls.name)]
        assert cls.title in line
        assert cls.source in line
        assert cls.licence in line


def test_one_is_described_with_its_traps(run):
    result = run("datasets", "describe", "code15")
    assert result.exit_code == 0
    assert result.stdout.startswith("CODE-15%: 345,779 exams")
    assert "Traps" in result.stdout
    assert "Findings: 1dAVb, RBBB, LBBB, SB, ST, AF; every other" in result.stdout


def test_what_was_not_annotated_and_the_tasks_are_described(run):
    shown = run("datasets", "describe", "challenge2021").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("Not annotated in cpsc_2018:")]
    assert {"SB,", "ST,"} <= set(line.split())
    assert "Task scored: the 26 classes" in shown
    assert "Task rhythm: " in run("datasets", "describe", "ptbxl").stdout
    assert run("datasets", "describe", "folder").exit_code == 0


def test_an_unknown_one_is_answered_by_those_there_are(run):
    result = run("datasets", "describe", "nosuch")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: no collection 'nosuch'; there are {', '.join(list_collections())}\n"


class TestCheck:
    def test_a_sound_collection_ends_well(self, run, recordings):
        result = run("datasets", "check", "ptbxl", recordings / "ptbxl-native")
        assert result.exit_code == 0
        assert "20 of 20 records read" in result.stdout
        assert "Nothing wrong, nothing doubtful." in result.stdout

    def test_what_is_doubtful_is_named_and_ends_well(self, run, exams, tmp_path):
        result = run("datasets", "check", "code15", exams, "--out", tmp_path / "deep" / "check.json")
        assert result.exit_code == 0
        assert "39 of 40 records read" in result.stdout
        assert "warning empty: 1 (without any signal)" in result.stdout
        assert "note padding: " in result.stdout
        written = json.loads((tmp_path / "deep" / "check.json").read_text())
        assert (written["readable"], written["sound"]) == (39, True)

    def test_what_is_wrong_ends_with_status_1(self, run, recordings, tmp_path):
        folder = shutil.copytree(recordings / "ptbxl-native", tmp_path / "ptb-xl", copy_function=shutil.copyfile)
        next(folder.rglob("*_lr.dat")).unlink()
        result = run("datasets", "check", "ptbxl", folder)
        assert result.exit_code == 1
        assert "error unreadable: 1 (cannot be read)" in result.stdout

    def test_a_split_that_parts_a_patient_is_found(self, run, exams, tmp_path):
        collection = open_collection(exams)
        patient = collection.records["patient"].mode()[0]
        parts = dict.fromkeys(collection.records.index, "train")
        parts[collection.records.index[collection.records["patient"] == patient][0]] = "test"
        write_split(tmp_path / "split.csv", collection.records, parts, "by hand")
        result = run("datasets", "check", "code15", exams, "--split", tmp_path / "split.csv")
        assert result.exit_code == 1
        assert "error patient_in_two_parts: 1" in result.stdout


class TestSplit:
    def test_it_is_stored_printed_and_passes_the_check(self, run, exams, tmp_path):
        made = run("datasets", "split", "code15", exams, "-o", tmp_path / "split.csv", "--shares", "train=0.8,test=0.2")
        assert made.exit_code == 0
        lines = [line.split() for line in made.stdout.splitlines()]
        assert lines[0] == ["train", "test"]
        assert sum(map(int, next(line for line in lines if line[0] == "records")[1:])) == 40
        assert set(read_split(tmp_path / "split.csv").values()) == {"train", "test"}
        checked = run("datasets", "check", "code15", exams, "--split", tmp_path / "split.csv")
        assert "patient_in_two_parts" not in checked.stdout

    def test_one_that_is_there_is_overwritten_only_by_force(self, run, exams, tmp_path):
        command = ("datasets", "split", "code15", exams, "-o", tmp_path / "split.csv")
        assert run(*command).exit_code == 0
        refused = run(*command)
        assert refused.exit_code == 2
        assert "is there already" in " ".join(refused.stderr.replace("│", " ").split())
        assert run(*command, "--force", "--seed", 1).exit_code == 0

    @pytest.mark.parametrize("shares", ["train", "train=many", "train=0.8"])
    def test_shares_that_are_none_are_refused(self, run, exams, tmp_path, shares):
        assert (
            run("datasets", "split", "code15", exams, "-o", tmp_path / "split.csv", "--shares", shares).exit_code == 2
        )
        assert not (tmp_path / "split.csv").exists()
