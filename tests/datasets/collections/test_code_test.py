"""CODE-test: one lead order for the whole file, labels by name and by order, annotators beside the gold standard."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import ABSENT, PRESENT, CodeTest, open_collection
from ecoscale.datasets.collections.code_test import POSITIVES
from ecoscale.datasets.layouts import CODE_TEST_COLUMNS, write_code_test
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import read_ecg
from ecoscale.formats.code_hdf5 import CODE_TEST_LEADS

SIX = [finding.name for finding in CODE_FINDINGS]
N_EXAMS = 40


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code_test")
    write_code_test(folder, N_EXAMS, seed=4)
    return folder


@pytest.fixture
def copy(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data"


@pytest.fixture
def real(recordings, tmp_path):
    """The ten real exams of CODE-15% laid out as CODE-test, their labels as its gold standard."""
    with h5py.File(recordings / "code15" / "exams_part0.hdf5") as file:
        exam_ids, tracings = file["exam_id"][:-1], file["tracings"][:-1]
    with h5py.File(tmp_path / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = tracings[:, :, [LEADS.index(lead) for lead in CODE_TEST_LEADS]]
    table = pd.read_csv(recordings / "code15" / "exams.csv", index_col="exam_id").loc[exam_ids]
    (tmp_path / "annotations").mkdir()
    gold = table[list(CODE_TEST_COLUMNS)].astype(int)
    gold.to_csv(tmp_path / "annotations" / "gold_standard.csv", index=False)
    return tmp_path


def rewrite(path, change):
    table = pd.read_csv(path, dtype=str)
    change(table).to_csv(path, index=False)


def gold(folder):
    return folder / "annotations" / "gold_standard.csv"


def test_the_layout_is_the_publishers(written):
    data = written / "data"
    with h5py.File(data / "ecg_tracings.hdf5") as file:
        assert list(file) == ["tracings"]
        assert file["tracings"].shape == (N_EXAMS, 4096, 12)
        lengths = {int(row.any(axis=1).sum()) for row in file["tracings"]}
    assert lengths == {2800, 4000}
    names = {path.stem for path in (data / "annotations").iterdir()}
    assert names == set(CodeTest.annotators)
    headers = {name: (data / "annotations" / f"{name}.csv").read_text().splitlines()[0] for name in names}
    assert headers.pop("dnn") == ",1dAVb,RBBB,LBBB,SB,AF,ST"
    assert set(headers.values()) == {"1dAVb,RBBB,LBBB,SB,AF,ST"}
    assert (data / "attributes.csv").read_text().startswith("age,sex\n")


def test_real_exams_are_read_in_the_order_that_the_file_tells(real, recordings):
    collection = CodeTest(real)
    assert collection.leads == CODE_TEST_LEADS
    part = recordings / "code15" / "exams_part0.hdf5"
    with h5py.File(part) as file:
        exam_ids = file["exam_id"][:-1].astype(str)
    for record, exam in zip(collection.records.index, exam_ids, strict=True):
        np.testing.assert_array_equal(collection.read(record).signal, read_ecg(part, record=exam).signal)


def test_the_evidence_for_the_lead_order_is_noted(real):
    note, _ = CodeTest(real).notes
    assert note.startswith("lead order I II III aVL aVF aVR V1..V6, by the Goldberger identities: of 10 exams")
    assert "10 fit I II III aVL aVF aVR V1..V6 (median misfit 0.0" in note
    assert "0 fit I II III aVR aVL aVF V1..V6 (median misfit 1." in note


def test_the_other_order_is_settled_as_well(tmp_path):
    write_code_test(tmp_path, 5, leads=LEADS)
    collection = open_collection(tmp_path)
    assert collection.leads == LEADS
    assert max(collection.read("0").einthoven_residual().values()) < 0.01


def test_an_exam_that_does_not_fit_is_read_in_the_files_order_and_says_so(written):
    collection = CodeTest(written)
    doubts = {record: collection.read(record).check()[-1] for record in collection.records.index}
    doubts = {record: doubt for record, doubt in doubts.items() if "padding_removed" not in doubt}
    assert list(doubts) == [str(N_EXAMS - 1)]
    assert doubts[str(N_EXAMS - 1)].startswith("inconsistent_leads: aVR differs by")


def test_a_file_whose_exams_do_not_agree_is_refused_with_the_evidence(copy):
    with h5py.File(copy / "ecg_tracings.hdf5", "r+") as file:
        file["tracings"][...] = np.random.default_rng(0).normal(size=file["tracings"].shape)
    with pytest.raises(DatasetError, match=r"do not settle the lead order: of 32 exams .*0 fit I II III aVR"):
        CodeTest(copy)


def test_labels_are_those_of_the_gold_standard_by_name(written):
    collection = CodeTest(written)
    table = pd.read_csv(gold(written / "data"))
    assert list(table.columns) != SIX
    for findings in (SIX, ["ST", "AF"], ["AF"]):
        np.testing.assert_array_equal(collection.labels(findings), table[findings])
    assert set(collection.labels(SIX).ravel()) == {ABSENT, PRESENT}


def test_columns_in_another_order_give_the_same_labels(copy):
    before = CodeTest(copy).labels(SIX)
    rewrite(gold(copy), lambda table: table[table.columns[::-1]])
    np.testing.assert_array_equal(CodeTest(copy).labels(SIX), before)


def test_the_other_annotators_are_beside_the_gold_standard(written):
    collection = CodeTest(written)
    np.testing.assert_array_equal(collection.annotations("gold_standard"), collection.labels(SIX))
    for name in collection.annotators:
        table = pd.read_csv(written / "data" / "annotations" / f"{name}.csv")
        np.testing.assert_array_equal(collection.annotations(name), table[SIX])
        np.testing.assert_array_equal(collection.annotations(name, ["ST", "AF"]), table[["ST", "AF"]])
    assert (collection.annotations("dnn") != collection.annotations("medical_students")).any()


def test_an_annotator_or_a_finding_that_it_does_not_have_is_refused(written):
    collection = CodeTest(written)
    with pytest.raises(DatasetError, match="no annotator 'me'; there are gold_standard, cardiologist1"):
        collection.annotations("me")
    with pytest.raises(DatasetError, match="no annotation of MI; there are 1dAVb"):
        collection.annotations("dnn", ["AF", "MI"])


def test_a_table_of_another_length_than_the_tracings_is_refused(copy):
    rewrite(copy / "annotations" / "dnn.csv", lambda table: table.iloc[1:])
    collection = CodeTest(copy)
    with pytest.raises(DatasetError, match=r"dnn.csv: 39 rows for 40 tracings; they belong together by their order"):
        collection.annotations("dnn")
    rewrite(gold(copy), lambda table: table.iloc[1:])
    with pytest.raises(DatasetError, match=r"gold_standard.csv: 39 rows for 40 tracings"):
        CodeTest(copy)


def test_a_value_that_is_no_label_is_refused_by_row_and_column(copy):
    rewrite(gold(copy), lambda table: table.assign(SB=["0", "0", "2", *table["SB"][3:]]))
    with pytest.raises(DatasetError, match=r"gold_standard.csv: SB is .*2.* in row 3; expected 0 or 1"):
        CodeTest(copy)


def test_what_differs_from_the_publication_is_noted(written):
    assert CodeTest(written).notes[1:] == ("40 exams are here; 827 are published",)


@pytest.mark.parametrize("ending_first", [False, True])
def test_a_whole_collection_is_held_against_the_published_positives(tmp_path, ending_first):
    """827 exams with the published counts, and with AF and ST exchanged."""
    (tmp_path / "annotations").mkdir()
    ecg = np.random.default_rng(0).normal(size=(60, 12))
    ecg[:, 2:6] = ecg[:, :2] @ np.array([[-1, -0.5, 1, -0.5], [1, -0.5, -0.5, 1]])
    with h5py.File(tmp_path / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = np.tile(ecg, (827, 1, 1))
    counts = POSITIVES | ({"AF": 37, "ST": 13} if ending_first else {})
    table = pd.DataFrame({name: np.arange(827) < counts[name] for name in CODE_TEST_COLUMNS})
    table.astype(int).to_csv(gold(tmp_path), index=False)
    expected = ["gold_standard.csv has other positives than published: ST 13 (37 published), AF 37 (13 published)"]
    assert list(CodeTest(tmp_path).notes[1:]) == (expected if ending_first else [])


def test_each_exam_is_a_patient_in_fold_0(written):
    records = CodeTest(written).records
    assert records["patient"].tolist() == records.index.tolist() == [str(row) for row in range(N_EXAMS)]
    assert set(records["fold"]) == {0}


def test_it_is_recognised_from_the_archives_folder_and_from_data(written, recordings):
    for folder in (written, written / "data"):
        collection = open_collection(folder)
        assert isinstance(collection, CodeTest)
        assert collection.directory == written / "data"
    assert not CodeTest.recognises(recordings / "code15")


def test_an_incomplete_folder_is_refused(copy):
    gold(copy).unlink()
    with pytest.raises(DatasetError, match=r"gold_standard.csv: cannot be read"):
        CodeTest(copy)
    (copy / "ecg_tracings.hdf5").unlink()
    with pytest.raises(DatasetError, match=r"ecg_tracings.hdf5: not found"):
        CodeTest(copy)


def test_another_hdf5_is_refused(copy):
    with h5py.File(copy / "ecg_tracings.hdf5", "w") as file:
        file["weights"] = [1.0]
    with pytest.raises(DatasetError, match="not an HDF5 with tracings"):
        CodeTest(copy)


def test_an_exam_of_zeros_is_refused_when_it_is_read(copy):
    with h5py.File(copy / "ecg_tracings.hdf5", "r+") as file:
        file["tracings"][5] = 0
    with pytest.raises(FormatError, match="exam 5 is all zeros"):
        CodeTest(copy).read("5")


def test_the_same_seed_writes_the_same_collection(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_code_test(tmp_path / name, 3, seed=seed)
    signals = {name: CodeTest(tmp_path / name).read("1").signal for name in "abc"}
    np.testing.assert_array_equal(signals["a"], signals["b"])
    assert signals["a"].shape == signals["c"].shape
    assert not np.array_equal(signals["a"], signals["c"])
    with pytest.raises(DatasetError, match="1 exams; expected two at least"):
        write_code_test(tmp_path / "d", 1)
