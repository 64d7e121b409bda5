"""SaMi-Trop: rows and tracings by order, everybody with the disease, nothing else annotated."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PRESENT, UNKNOWN, SamiTrop, open_collection
from ecoscale.datasets.layouts import SAMITROP_COLUMNS, write_samitrop
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samitrop")
    write_samitrop(folder, 6, seed=2)
    return folder


@pytest.fixture
def copy(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_layout_is_the_publishers(written):
    assert tuple(pd.read_csv(written / "exams.csv").columns) == SAMITROP_COLUMNS
    with h5py.File(written / "exams.hdf5") as file:
        assert list(file) == ["tracings"]
        assert (file["tracings"].shape, file["tracings"].dtype) == ((6, 4096, 12), np.float64)


def test_each_exam_is_the_row_of_its_line_in_the_table(written):
    collection = open_collection(written)
    assert isinstance(collection, SamiTrop)
    table = pd.read_csv(written / "exams.csv", dtype=str)
    assert collection.records.index.tolist() == table["exam_id"].tolist()
    with h5py.File(written / "exams.hdf5") as file:
        for row, record in enumerate(collection.records.index):
            ecg, tracing = collection.read(record), file["tracings"][row]
            inside = np.flatnonzero(tracing.any(axis=1))
            np.testing.assert_array_equal(ecg.signal, np.float32(tracing[inside[0] : inside[-1] + 1].T))
            assert (ecg.rate, ecg.leads, ecg.record) == (400, LEADS, str(row))


def test_everybody_has_the_disease_and_nothing_else_is_known(written):
    collection = SamiTrop(written)
    assert (collection.labels(["Chagas"]) == PRESENT).all()
    assert (collection.labels([finding.name for finding in CODE_FINDINGS]) == UNKNOWN).all()
    assert (collection.labels(["MI"]) == UNKNOWN).all()
    with pytest.raises(DatasetError, match="no CHAGAS code is mapped to WPW"):
        collection.labels(["WPW"])


def test_real_tracings_in_its_layout_are_read_as_they_are(recordings, tmp_path):
    with h5py.File(recordings / "code15" / "exams_part0.hdf5") as file:
        tracings = file["tracings"][:-1]
    with h5py.File(tmp_path / "exams.hdf5", "w") as file:
        file["tracings"] = tracings.astype(np.float64)
    pd.DataFrame({"exam_id": np.arange(10) + 7}).to_csv(tmp_path / "exams.csv", index=False)
    collection = SamiTrop(tmp_path)
    assert collection.notes == ("10 exams are here; 1,631 are published",)
    for record in collection.records.index:
        assert max(collection.read(record).einthoven_residual().values()) < 0.1


def test_a_table_of_another_length_than_the_tracings_is_refused(copy):
    pd.read_csv(copy / "exams.csv").iloc[1:].to_csv(copy / "exams.csv", index=False)
    with pytest.raises(
        DatasetError, match=r"6 tracings for the 5 rows of exams.csv; they belong together by their order"
    ):
        SamiTrop(copy)


def test_an_exam_with_two_rows_is_refused(copy):
    table = pd.read_csv(copy / "exams.csv")
    table.loc[2, "exam_id"] = table.loc[1, "exam_id"]
    table.to_csv(copy / "exams.csv", index=False)
    with pytest.raises(DatasetError, match=f"exam_id {table.exam_id[1]} occurs twice"):
        SamiTrop(copy)


@pytest.mark.parametrize("name", ["exams.csv", "exams.hdf5"])
def test_an_incomplete_folder_is_refused(copy, name):
    (copy / name).unlink()
    assert not SamiTrop.recognises(copy)
    with pytest.raises(DatasetError, match=rf"{name}: not found; SaMi-Trop's folder holds exams.csv beside exams.hdf5"):
        SamiTrop(copy)


def test_nothing_is_written_without_an_exam(tmp_path):
    with pytest.raises(DatasetError, match="0 exams; expected one at least"):
        write_samitrop(tmp_path, 0)
