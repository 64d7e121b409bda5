"""PTB-XL's six tasks are the published benchmark's, a seventh joins two; the synthetic layout is the publisher's."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from ecoscale.datasets import ABSENT, PRESENT, PTBXL, UNKNOWN, open_collection
from ecoscale.datasets.collections.ptbxl_tasks import BENCHMARK, statements
from ecoscale.datasets.layouts import PTBXL_COLUMNS, write_ptbxl
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import PTBXL_SUPERCLASSES

SUPER = [finding.name for finding in PTBXL_SUPERCLASSES]
N_CLASSES = {"all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19, "rhythm": 12}

# Records of folds 1-8 and of fold 9 that carry a statement of the task.
SELECTED = {
    "all": (17418, 2183),
    "diagnostic": (17084, 2146),
    "subdiagnostic": (17084, 2146),
    "superdiagnostic": (17084, 2146),
    "form": (7197, 901),
    "rhythm": (16832, 2100),
}


@pytest.fixture(scope="module")
def real(recordings):
    """The 19,601 records of folds 1-9, by their table alone."""
    return PTBXL(recordings / "ptbxl-100hz", 100)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ptbxl")
    write_ptbxl(folder, 30, seed=2)
    return folder


def test_the_six_tasks_have_the_benchmarks_classes():
    assert {task.name: len(task.names) for task in BENCHMARK} == N_CLASSES
    assert all(list(task.names) == sorted(task.names) for task in BENCHMARK)
    assert PTBXL.task("superdiagnostic").names == ("CD", "HYP", "MI", "NORM", "STTC")
    assert [task.name for task in BENCHMARK if not task.only_annotated] == ["all"]


def test_a_statement_may_be_of_two_kinds_and_four_are():
    both = [s.name for s in statements() if s.diagnostic and s.form]
    assert both == ["NDT", "NST_", "DIG", "LNGQT"]
    assert not [s.name for s in statements() if s.rhythm and (s.diagnostic or s.form)]


def test_the_statements_are_those_of_the_publishers_table(recordings):
    table = pd.read_csv(recordings / "ptbxl-native" / "scp_statements.csv", index_col=0)
    assert [s.name for s in statements()] == table.index.tolist()
    for s, row in zip(statements(), table.to_dict("records"), strict=True):
        assert s.description == row["description"]
        assert [s.diagnostic, s.form, s.rhythm] == [row[kind] == 1 for kind in ("diagnostic", "form", "rhythm")]
        if s.diagnostic:
            assert (s.superclass, s.subclass) == (row["diagnostic_class"], row["diagnostic_subclass"])


@pytest.mark.parametrize("task", BENCHMARK, ids=lambda task: task.name)
def test_the_records_selected_are_as_many_as_carry_a_statement_of_the_task(real, task):
    chosen = (task.label(real.records["codes"]) != UNKNOWN).all(axis=1)
    fold = real.records["fold"].to_numpy()
    assert (np.count_nonzero(chosen & (fold <= 8)), np.count_nonzero(chosen & (fold == 9))) == SELECTED[task.name]


@pytest.mark.parametrize("task", BENCHMARK, ids=lambda task: task.name)
def test_labels_are_those_of_scikit_learns_binarizer_as_in_the_benchmark(real, task):
    """Every class occurs in folds 1-9, so that the binarizer finds all of them."""
    codes = real.records["codes"]
    found = [{name for name, wanted in task.classes.items() if wanted & own} for own in codes]
    chosen = np.array([bool(names) for names in found])
    binarizer = MultiLabelBinarizer()
    expected = binarizer.fit_transform([names for names in found if names])
    assert binarizer.classes_.tolist() == list(task.names)
    labels = task.label(codes)
    np.testing.assert_array_equal(labels[chosen], expected)
    assert (labels[~chosen] == UNKNOWN).all()


def test_superdiagnostic_agrees_with_the_superclasses_on_every_real_record(real):
    task = PTBXL.task("superdiagnostic")
    np.testing.assert_array_equal(task.label(real.records["codes"]), real.labels(task.names))
    assert set(task.names) == set(SUPER)


def test_statements_are_all_and_the_superclasses_on_every_real_record(real):
    """NORM, statement and superclass, says the same of a record wherever the superclasses are known."""
    codes = real.records["codes"]
    joined, everything, superclasses = (PTBXL.task(name) for name in ("statements", "all", "superdiagnostic"))
    assert joined.names == (*everything.names, "CD", "HYP", "MI", "STTC")
    labels, groups = joined.label(codes), superclasses.label(codes)
    np.testing.assert_array_equal(labels[:, :71], everything.label(codes))
    np.testing.assert_array_equal(
        labels[:, 71:], groups[:, [superclasses.names.index(name) for name in joined.names[71:]]]
    )
    norm, superclass = labels[:, joined.names.index("NORM")], groups[:, superclasses.names.index("NORM")]
    known = superclass != UNKNOWN
    assert (len(codes), np.count_nonzero(known)) == (19601, 17084 + 2146)
    np.testing.assert_array_equal(norm[known], superclass[known])
    assert (norm[~known] == ABSENT).all()


def test_what_a_class_is_called_says_what_it_means():
    titles = PTBXL.task("statements").titles
    assert list(titles) == list(PTBXL.task("statements").names)
    assert (titles["MI"], titles["AMI"]) == ("myocardial infarction", "anterior myocardial infarction")
    assert (titles["CD"], titles["STTC"]) == ("conduction disturbance", "ST or T wave change")
    assert PTBXL.task("superdiagnostic").titles["HYP"] == titles["HYP"] == "hypertrophy"
    assert "not a task of the published benchmark" in PTBXL.task("statements").source


def test_labels_of_genuine_records_by_hand(recordings):
    """Record 1 is {'NORM', 'LVOLT', 'SR'}, record 103 {'IMI', 'LAFB', 'ABQRS', 'STACH'}."""
    codes = PTBXL(recordings / "ptbxl-native").records.loc[["1", "103"], "codes"]
    shown = {
        task.name: [" ".join(np.array(task.names)[row == PRESENT]) for row in task.label(codes)] for task in BENCHMARK
    }
    assert shown == {
        "all": ["LVOLT NORM SR", "ABQRS IMI LAFB STACH"],
        "diagnostic": ["NORM", "IMI LAFB"],
        "subdiagnostic": ["NORM", "IMI LAFB/LPFB"],
        "superdiagnostic": ["NORM", "CD MI"],
        "form": ["LVOLT", "ABQRS"],
        "rhythm": ["SR", "STACH"],
    }


def test_a_record_without_a_statement_of_the_task_is_unknown_in_it_and_absent_in_all():
    assert (PTBXL.task("form").label([{"NORM", "SR"}]) == UNKNOWN).all()
    assert (PTBXL.task("all").label([{"SOMETHING"}]) == ABSENT).all()
    ((*statements_said, cd, hyp, mi, sttc),) = PTBXL.task("statements").label([{"SR"}])
    assert (statements_said.count(PRESENT), statements_said.count(ABSENT)) == (1, 70)
    assert (cd, hyp, mi, sttc) == (UNKNOWN,) * 4


def test_the_layout_opens_as_ptbxl_at_both_rates(synthetic):
    for rate in (100, 500):
        collection = open_collection(synthetic, rate=rate)
        assert isinstance(collection, PTBXL)
        assert collection.notes == ()
        for record in collection.records.index:
            ecg = collection.read(record)
            assert (ecg.rate, ecg.signal.shape, ecg.leads) == (rate, (12, 10 * rate), LEADS)
    low, high = (open_collection(synthetic, rate=rate).read("1").signal for rate in (100, 500))
    np.testing.assert_allclose(low, high[:, ::5], atol=0.0011)


def test_patients_repeat_and_straddle_no_fold(synthetic):
    records = PTBXL(synthetic).records
    assert records["patient"].nunique() == 26
    assert records.groupby("patient")["fold"].nunique().max() == 1
    assert records["fold"].between(1, 10).all()


def test_tables_are_spelled_as_the_genuine_ones(synthetic, recordings):
    genuine = recordings / "ptbxl-native"
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        theirs, ours = (pd.read_csv(folder / name) for folder in (genuine, synthetic))
        assert list(ours.columns) == list(theirs.columns)
    assert tuple(pd.read_csv(synthetic / "ptbxl_database.csv").columns) == PTBXL_COLUMNS
    first = (synthetic / "ptbxl_database.csv").read_text().splitlines()[1]
    assert first.split(",")[1].endswith(".0")
    assert "\"{'" in first
    theirs, ours = ((folder / "records500/00000/00001_hr.hea").read_text() for folder in (genuine, synthetic))
    assert [line.split()[:5] for line in ours.splitlines()] == [line.split()[:5] for line in theirs.splitlines()]
    assert [line.split()[-1] for line in ours.splitlines()] == [line.split()[-1] for line in theirs.splitlines()]


def test_one_rate_alone_is_written_if_asked(tmp_path):
    write_ptbxl(tmp_path, 1, rates=[500])
    assert not (tmp_path / "records100").exists()
    assert PTBXL(tmp_path).rate == 500


@pytest.mark.parametrize(("n", "rates"), [(0, (100,)), (1, (250,)), (1, ())])
def test_what_cannot_be_written_is_refused(tmp_path, n, rates):
    with pytest.raises(DatasetError, match=f"{n} records at .* expected at least one record, at 100 or 500 Hz"):
        write_ptbxl(tmp_path, n, rates=rates)
