import numpy as np
import pytest

from measurement import run_process
from path import NotHereError, Process, attempt, in_turn, recording_paths, whole_folder


def test_a_folder_is_measured_by_the_network_the_classifier_and_the_command(tmp_path, recordings):
    paths = recording_paths(recordings / "ptbxl-native", 3)
    rows = whole_folder(paths, tmp_path, [1], rounds=1)
    assert [row["name"] for row in rows] == ["the network alone", "Classifier.classify", "ecoscale predict FOLDER"]
    assert rows[0]["ratio"] == 1
    assert rows[2]["ratio"] < 1  # it starts Python, and reads
    assert rows[2]["peak_mb"] > 50
    for row in rows:
        assert row["records_per_s"] == pytest.approx(3e3 / row["median_ms"], rel=1e-3)
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 3


def test_the_first_run_of_a_command_does_not_count(tmp_path):
    process = Process(("sh", "-c", f"echo run >> {tmp_path / 'log'}"))
    in_turn({"a": process}, 2, "runs")
    assert (tmp_path / "log").read_text().splitlines() == ["run"] * 3
    assert process.to_dict()["calls"] == 2


def test_the_memory_of_a_command_is_its_largest():
    process = Process(("true",))
    process.costs = [run_process(("true",)), run_process(("true",))]
    assert process.to_dict()["peak_mb"] == round(np.max([cost.peak_mb for cost in process.costs]))


def test_what_cannot_be_measured_here_is_a_row_with_the_reason():
    def measure():
        raise NotHereError("this ecoscale has no such thing")

    assert attempt("a thing", measure) == {
        "kind": "signal",
        "name": "a thing",
        "skipped": "this ecoscale has no such thing",
    }
