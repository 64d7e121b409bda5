"""CODE-15%: joined by exam id whatever the order, padding removed, patients kept, and what is missing said."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import ABSENT, PRESENT, Code15, in_share, open_collection
from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.synthetic import EVEN_PREVALENCE
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.findings import CODE_FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]


@pytest.fixture(scope="module")
def real(recordings):
    return recordings / "code15"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """60 exams of 41 patients in three parts, one of them empty."""
    folder = tmp_path_factory.mktemp("code15")
    write_code15(folder, 60, n_parts=3, seed=5, prevalence=EVEN_PREVALENCE, compression=None)
    return folder


@pytest.fixture
def copy(real, tmp_path):
    """The real folder, to be altered: `copy(change)` gives it with the changed table."""

    def with_table(change):
        shutil.copy(real / "exams_part0.hdf5", tmp_path)
        table = pd.read_csv(real / "exams.csv", dtype=str, keep_default_na=False)
        change(table).to_csv(tmp_path / "exams.csv", index=False)
        return tmp_path

    return with_table


def tracings(folder):
    """Every row of every part by exam id, the all-zero last ones apart."""
    found = {}
    for path in sorted(folder.glob("*.hdf5")):
        with h5py.File(path) as file:
            assert file["exam_id"][-1] == 0
            found |= dict(zip(file["exam_id"][:-1].astype(str), file["tracings"][:-1], strict=True))
    return found


@pytest.mark.parametrize("which", ["real", "synthetic"])
def test_each_exam_is_its_own_tracing_though_the_table_has_another_order(which, request):
    folder = request.getfixturevalue(which)
    collection, stored = Code15(folder), tracings(folder)
    assert collection.records.index.tolist() == list(stored)
    assert collection.records.index.tolist() != pd.read_csv(folder / "exams.csv")["exam_id"].astype(str).tolist()
    assert collection.notes == ()
    for record in collection.records.index:
        if not stored[record].any():
            continue
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads, ecg.record) == (400, LEADS, record)
        rows = np.flatnonzero(stored[record].any(axis=1))
        np.testing.assert_array_equal(ecg.signal, stored[record][rows[0] : rows[-1] + 1].T)


@pytest.mark.parametrize("which", ["real", "synthetic"])
def test_labels_are_those_of_the_table_by_name(which, request):
    folder = request.getfixturevalue(which)
    collection = Code15(folder)
    table = pd.read_csv(folder / "exams.csv", index_col="exam_id")
    table.index = table.index.astype(str)
    for findings in (SIX, SIX[::-1], ["AF", "RBBB"]):
        expected = table.loc[collection.records.index, findings].to_numpy(dtype=int)
        np.testing.assert_array_equal(collection.labels(findings), expected)
    assert set(collection.labels(SIX).ravel()) == {ABSENT, PRESENT}


def test_columns_in_another_order_give_the_same_labels(copy, real):
    folder = copy(lambda table: table[sorted(table.columns, reverse=True)])
    np.testing.assert_array_equal(Code15(folder).labels(SIX), Code15(real).labels(SIX))


def test_the_all_zero_last_row_is_no_record(real):
    collection = Code15(real)
    assert len(collection) == 10
    assert "0" not in collection.records.index
    with pytest.raises(DatasetError, match="CODE-15% has no record '0' here"):
        collection.read("0")


def test_padding_is_removed_on_reading_and_said(real):
    ecg = Code15(real).read("438277")
    assert ecg.n_samples == 2934
    assert ecg.check()[0].startswith("padding_removed: 1.45 s at the start and 1.45 s at the end")


def test_real_exams_agree_with_the_limb_lead_identities(real):
    """Measured: 0.3 to 5.8 %; in another lead order over 50 %."""
    collection = Code15(real)
    for record in collection.records.index:
        assert max(collection.read(record).einthoven_residual().values()) < 0.1, record


def test_of_the_real_exams_one_is_in_doubt_and_rightly(real):
    """Electrode V5 of exam 438277 swings over 30 mV in its first second."""
    collection = Code15(real)
    doubts = {record: collection.read(record).check()[-1:] for record in collection.records.index}
    doubts = {record: found[0] for record, found in doubts.items() if found and "padding_removed" not in found[0]}
    assert doubts == {"438277": "implausible_amplitude: V5 reach 17.9 mV; is the unit or gain right?"}


def test_patients_are_the_publishers_and_repeat(synthetic):
    records = Code15(synthetic).records
    table = pd.read_csv(synthetic / "exams.csv", dtype=str).set_index("exam_id")
    assert records["patient"].to_dict() == table["patient_id"].to_dict()
    assert records["patient"].nunique() == 41
    assert set(records["fold"]) == {0}
    chosen = in_share(records["patient"], 0, 0.5)
    assert 0 < chosen.sum() < 60
    assert not set(records["patient"][chosen]) & set(records["patient"][~chosen])


def test_an_empty_exam_is_refused_when_it_is_read(synthetic):
    collection = Code15(synthetic)
    (empty,) = [exam for exam, signal in tracings(synthetic).items() if not signal.any()]
    with pytest.raises(FormatError, match=f"exam {empty} is all zeros"):
        collection.read(empty)


def test_a_part_that_is_not_there_is_said_with_how_many_exams_it_takes(synthetic, tmp_path):
    for name in ("exams.csv", "exams_part0.hdf5", "exams_part2.hdf5"):
        shutil.copy(synthetic / name, tmp_path)
    collection = Code15(tmp_path)
    assert collection.notes == ("20 of 60 exams of exams.csv have no tracing in this folder",)
    assert set(collection.records.index) == set(tracings(tmp_path))
    assert collection.labels(SIX).shape == (40, 6)


def test_tracings_without_a_row_are_left_out_and_counted(copy):
    collection = Code15(copy(lambda table: table.iloc[2:]))
    assert len(collection) == 8
    assert collection.notes == ("2 tracings have no row in exams.csv and are left out",)


def test_without_any_part_it_is_refused(copy):
    folder = copy(lambda table: table)
    (folder / "exams_part0.hdf5").unlink()
    with pytest.raises(DatasetError, match=r"none of the exams of exams.csv has a tracing here; are the parts missing"):
        Code15(folder)


def test_it_is_recognised_by_its_table_and_a_part(real, tmp_path):
    assert isinstance(open_collection(real), Code15)
    shutil.copy(real / "exams.csv", tmp_path)
    assert not Code15.recognises(tmp_path)


def test_another_folder_is_refused_naming_the_table(tmp_path):
    with pytest.raises(DatasetError, match=r"exams.csv: not found"):
        Code15(tmp_path)


@pytest.mark.parametrize("column", ["exam_id", "patient_id", "trace_file", "LBBB"])
def test_a_missing_column_is_named(copy, column):
    with pytest.raises(DatasetError, match=f"exams.csv: column {column} is missing; found"):
        Code15(copy(lambda table: table.drop(columns=column)))


@pytest.mark.parametrize("column", ["exam_id", "patient_id", "trace_file", "AF"])
def test_an_empty_cell_is_not_taken_for_a_finding(copy, column):
    def change(table):
        table.loc[3, column] = ""
        return table

    with pytest.raises(DatasetError, match=f"{column} is empty in row 4"):
        Code15(copy(change))


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_a_label_that_is_neither_true_nor_false_is_refused(copy, value):
    def change(table):
        table.loc[3, "AF"] = value
        return table

    with pytest.raises(DatasetError, match="AF holds more than True and False"):
        Code15(copy(change))


def test_labels_may_be_written_as_numbers(copy, real):
    folder = copy(lambda table: table.replace({"True": "1", "False": "0"}))
    np.testing.assert_array_equal(Code15(folder).labels(SIX), Code15(real).labels(SIX))


def test_an_exam_that_occurs_twice_is_refused(copy):
    with pytest.raises(DatasetError, match="exam_id 1594286 occurs twice"):
        Code15(copy(lambda table: pd.concat([table, table.iloc[:1]])))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_part_that_is_no_part_is_refused_by_name(copy, content):
    folder = copy(lambda table: table)
    (folder / "exams_part0.hdf5").write_bytes(content)
    with pytest.raises(DatasetError, match=r"exams_part0.hdf5: not a part of CODE-15%"):
        Code15(folder)
