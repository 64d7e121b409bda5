"""A folder whose table names one class for each record: read, ordered, and refused by row where it cannot be meant."""

import numpy as np
import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Folder
from ecoscale.errors import DatasetError


@pytest.fixture
def made(tmp_path):
    """A folder of six arrays of two channels, and what writes its table and opens it."""
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", np.zeros((2, 20), dtype=np.float32))

    def folder(classes, settings="", header="record,label"):
        rows = "".join(f"{number}.npy,{name}\n" for number, name in enumerate(classes))
        (tmp_path / "labels.csv").write_text(f"{header}\n{rows}")
        (tmp_path / "dataset.yaml").write_text(f"rate: 10\nunit: mV\nleads: [I, II]\n{settings}")
        return Folder(tmp_path)

    return folder


@pytest.mark.parametrize("column", ["label", "class", "Class", "LABEL"])
def test_a_column_of_names_gives_each_record_one_class(made, column):
    collection = made(["walk", "rest", "", "Unknown", "run", "walk"], header=f"record,{column}")
    assert collection.single_label
    assert collection.label_names == ("rest", "run", "walk")
    assert collection.labels(collection.label_names).tolist() == [
        [ABSENT, ABSENT, PRESENT],
        [PRESENT, ABSENT, ABSENT],
        [UNKNOWN, UNKNOWN, UNKNOWN],
        [UNKNOWN, UNKNOWN, UNKNOWN],
        [ABSENT, PRESENT, ABSENT],
        [ABSENT, ABSENT, PRESENT],
    ]
    assert collection.notes[0] == f"labels.csv: 3 classes in column {column.lower()}: rest, run, walk"


def test_numbers_are_classes_in_the_order_of_their_size(made):
    assert made(["10", "2", "-1", "1.5", "other", "10"]).label_names == ("-1", "1.5", "2", "10", "other")


def test_classes_that_are_declared_keep_their_order_and_no_other_is_taken(made):
    settings = "classes: [walk, run, rest]\n"
    assert made(["rest", "walk", "rest"], settings).label_names == ("walk", "rest")
    with pytest.raises(
        DatasetError, match=r"labels.csv: label is 'Rest' in row 2; dataset.yaml names the classes walk, run, rest"
    ):
        made(["walk", "Rest"], settings)


def test_a_class_named_as_a_finding_is_that_finding(made):
    assert made(["AF", "NSR"]).findings == ("AF", "NSR")


def test_other_columns_are_left_out_and_said(made):
    collection = made(["walk,31", "run,40"], header="record,label,age")
    assert collection.notes[1] == "labels.csv: columns left out: age; the label of each record is its label"


@pytest.mark.parametrize(
    ("classes", "header", "settings", "message"),
    [
        (["AF", "af"], "record,label", "", "label is 'AF' in row 1 and 'af' in row 2; write both alike"),
        (["not AF", "AF"], "record,label", "", "label is 'not AF' in row 1; a name that begins with 'not '"),
        (["walk", "walk", ""], "record,label", "", r"label has 1 classes \(walk\); expected at least two"),
        (["walk,run", "run,run"], "record,label,class", "", "columns label and class mean the same; keep one"),
        (
            ["walk,1", "run,0"],
            "record,label,AF",
            "",
            r"column label names a class for each record, and AF say .*'labels: \[label\]' or 'labels: \[AF\]'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_remedy(made, classes, header, settings, message):
    with pytest.raises(DatasetError, match=f"labels.csv: {message}"):
        made(classes, settings, header)


def test_dataset_yaml_decides_between_a_class_and_findings(made):
    classes, header = ["walk,1", "run,0"], "record,label,AF"
    assert made(classes, "labels: [label]\n", header).label_names == ("run", "walk")
    collection = made(classes, "labels: [AF]\n", header)
    assert (collection.single_label, collection.label_names) == (False, ("AF",))


def test_a_label_column_of_which_the_name_is_a_negation_is_refused(made):
    with pytest.raises(DatasetError, match="column 'not mine': a name that begins with 'not '"):
        made(["1", "0"], header="record,not mine")


@pytest.mark.parametrize("column", ["subject", "Subject_ID", "patient"])
def test_patients_are_subjects_too(made, column):
    collection = made(["walk,anna", "run,ben", "run,anna"], header=f"record,label,{column}")
    assert collection.records["patient"].tolist() == ["anna", "ben", "anna"]


def test_channels_and_units_that_files_do_not_state_are_taken_from_dataset_yaml(made, tmp_path):
    made(["walk", "run"])
    (tmp_path / "dataset.yaml").write_text("rate: 10\nchannels: [ppg, acc]\nunits: [a.u., g]\n")
    signal = Folder(tmp_path).signal_recording("0.npy").read()
    assert (signal.rate, signal.channels, signal.units) == (10, ("ppg", "acc"), ("a.u.", "g"))
    (tmp_path / "dataset.yaml").write_text("rate: 10\nchannels: [x, y]\nunit: g\n")
    assert Folder(tmp_path).signal_recording("0.npy").read().units == ("g", "g")


def test_the_leads_of_an_ecg_are_channels_of_a_signal(made):
    signal = made(["AF", "NSR"]).signal_recording("0.npy").read()
    assert (signal.channels, signal.units) == (("I", "II"), ("mV", "mV"))
