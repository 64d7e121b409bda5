"""SPH: statements apart from their modifiers, patients kept, signals as stored, and what is not in the list refused."""

import csv
import hashlib
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets import ABSENT, PRESENT, SPH, in_share, label_matrix, open_collection
from ecoscale.datasets.collections.sph import MODIFIERS, PRIMARY_STATEMENTS
from ecoscale.datasets.layouts import SPH_COLUMNS, write_sph
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]
CODES = ["82", "106", "104", "22", "21", "50"]
N_RECORDS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sph")
    write_sph(folder, N_RECORDS, seed=2)
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "metadata.csv", dtype=str).set_index("ECG_ID")


@pytest.fixture
def copy(folder, tmp_path):
    """The folder with its table changed: `copy(change)`."""
    shutil.copytree(folder / "records", tmp_path / "records")

    def with_table(change):
        table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
        change(table).to_csv(tmp_path / "metadata.csv", index=False)
        return tmp_path

    return with_table


def stated(copy, text):
    """SPH with this `AHA_Code` in the first row."""

    def change(table):
        table.loc[0, "AHA_Code"] = text
        return table

    return SPH(copy(change))


def test_every_record_is_read_as_stored_and_as_long_as_the_table_says(folder, table):
    collection = SPH(folder)
    assert collection.records.index.tolist() == table.index.tolist()
    lengths = set()
    for record in collection.records.index:
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads, ecg.record) == (500, LEADS, record)
        assert ecg.n_samples == int(table.loc[record, "N"])
        lengths.add(ecg.n_samples)
        with h5py.File(folder / "records" / f"{record}.h5") as file:
            np.testing.assert_array_equal(ecg.signal, file["ecg"][()].astype(np.float32))
        assert ecg.check() == ()
    assert len(lengths) > 1
    assert collection.notes == ()


def test_labels_are_those_of_the_statements_by_name(folder, table):
    collection = SPH(folder)
    primary = [{part.split("+")[0] for part in text.split(";")} for text in table["AHA_Code"]]
    for findings in (SIX, SIX[::-1], ["AF", "RBBB"]):
        codes = [CODES[SIX.index(name)] for name in findings]
        assert collection.labels(findings).tolist() == [[int(code in own) for code in codes] for own in primary]
    assert (collection.labels(SIX) == PRESENT).any(axis=0).all()


@pytest.mark.parametrize(
    ("text", "codes", "statements"),
    [
        ("1", {"1"}, ("1",)),
        ("1;1", {"1"}, ("1",)),
        ("22;23", {"22", "23"}, ("22", "23")),
        ("60+310;147", {"60", "147"}, ("60+310", "147")),
        ("332+161", {"161"}, ("332+161",)),
        ("60+308+341; 50+347", {"60", "50"}, ("60+308+341", "50+347")),
    ],
)
def test_statements_are_taken_apart_from_their_modifiers(copy, text, codes, statements):
    records = stated(copy, text).records
    assert records.iloc[0]["codes"] == codes
    assert records.iloc[0]["statements"] == statements


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(sorted(PRIMARY_STATEMENTS)), st.sets(st.sampled_from(sorted(MODIFIERS)), max_size=2)),
        min_size=1,
        max_size=6,
    )
)
def test_any_statements_of_the_list_give_their_primary_codes(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sph")
    with h5py.File(folder / "A00001.h5", "w") as file:
        file["ecg"] = np.zeros((12, 5), np.float16)
    text = ";".join("+".join([code, *sorted(modifiers)]) for code, modifiers in parts)
    (folder / "metadata.csv").write_text(f"ECG_ID,AHA_Code,Patient_ID\nA00001,{text},S00001\n")
    assert SPH(folder).records.loc["A00001", "codes"] == {code for code, _ in parts}


@pytest.mark.parametrize("text", ["999", "60+312", "310", "22;", "22+23", "22+22", "22,23", "AF"])
def test_what_is_not_in_the_publishers_list_is_refused(copy, text):
    with pytest.raises(
        DatasetError, match=r"metadata.csv: AHA_Code of A00001 is '.*'; expected statements such as '22'"
    ):
        stated(copy, text)


@pytest.mark.parametrize("code", ["1", "23", "51", "54", "80", "81", "83", "86", "88", "101", "105", "108"])
def test_what_is_near_a_finding_but_another_is_absent(code):
    assert label_matrix([{code}], SIX, "AHA").tolist() == [[ABSENT] * 6]


def test_the_44_primary_statements_are_a_task(folder):
    task = SPH.task("statements")
    assert len(task.names) == len(PRIMARY_STATEMENTS) == 44
    assert len(MODIFIERS) == 15
    assert task.names[0] == "Normal ECG"
    labels = task.label(SPH(folder).records["codes"])
    assert labels.shape == (N_RECORDS, 44)
    assert labels.sum(axis=1).tolist() == [len(codes) for codes in SPH(folder).records["codes"]]


def test_patients_are_the_publishers_and_repeat(folder, table):
    records = SPH(folder).records
    assert records["patient"].to_dict() == table["Patient_ID"].to_dict()
    assert records["patient"].iloc[0] == records["patient"].iloc[-1]
    assert set(records["fold"]) == {0}
    chosen = in_share(records["patient"], 0, 0.5)
    assert 0 < chosen.sum() < N_RECORDS
    assert not set(records["patient"][chosen]) & set(records["patient"][~chosen])


def test_a_record_without_a_file_and_a_file_without_a_row_are_counted(copy):
    folder = copy(lambda table: table.iloc[1:])
    (folder / "records" / "A00005.h5").unlink()
    collection = SPH(folder)
    assert len(collection) == N_RECORDS - 2
    assert collection.notes == (
        f"1 of {N_RECORDS - 1} records of metadata.csv have no file in this folder",
        "1 files have no row in metadata.csv and are left out",
    )


def test_without_any_file_the_packed_records_are_asked_for(folder, tmp_path):
    shutil.copy(folder / "metadata.csv", tmp_path)
    with pytest.raises(DatasetError, match=r"none of the records of metadata.csv has a file here; .*tar.gz unpacked"):
        SPH(tmp_path)


def test_records_may_lie_deeper(folder, tmp_path):
    shutil.copy(folder / "metadata.csv", tmp_path)
    shutil.copytree(folder / "records", tmp_path / "records" / "records")
    assert SPH(tmp_path).read("A00003").record == "A00003"


def test_it_is_recognised_by_the_columns_of_its_table(folder, tmp_path):
    assert isinstance(open_collection(folder), SPH)
    assert not SPH.recognises(tmp_path)
    for text in ("", "ECG_ID,age\n1,50\n"):
        (tmp_path / "metadata.csv").write_text(text)
        assert not SPH.recognises(tmp_path)
    (tmp_path / "metadata.csv").write_text('\ufeff"ECG_ID","AHA_Code"\n', encoding="utf-8")
    assert SPH.recognises(tmp_path)


def test_another_folder_is_refused_naming_the_table(tmp_path):
    with pytest.raises(DatasetError, match=r"metadata.csv: not found; SPH's folder holds it beside records/A00001.h5"):
        SPH(tmp_path)


@pytest.mark.parametrize("column", ["ECG_ID", "AHA_Code", "Patient_ID"])
def test_a_missing_column_is_named(copy, column):
    with pytest.raises(DatasetError, match=f"metadata.csv: column {column} is missing; found"):
        SPH(copy(lambda table: table.drop(columns=column)))


@pytest.mark.parametrize("column", ["ECG_ID", "AHA_Code", "Patient_ID"])
def test_an_empty_cell_is_refused(copy, column):
    def change(table):
        table.loc[3, column] = ""
        return table

    with pytest.raises(DatasetError, match=f"{column} is empty in row 4"):
        SPH(copy(change))


def test_a_record_that_occurs_twice_is_refused(copy):
    with pytest.raises(DatasetError, match="ECG_ID A00001 occurs twice"):
        SPH(copy(lambda table: pd.concat([table, table.iloc[:1]])))


# The synthetic collection


def test_the_layouts_list_of_statements_is_the_publishers_byte_for_byte(folder):
    """The MD5 that figshare states for `code.csv` (1,839 bytes)."""
    content = (folder / "code.csv").read_bytes()
    assert len(content) == 1839
    assert hashlib.md5(content).hexdigest() == "9fafec6cc6e1ef8117e2964116654d05"


def test_the_layout_has_the_publishers_columns_and_spelling(folder):
    with (folder / "metadata.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert tuple(header) == SPH_COLUMNS
    assert [row[0] for row in rows] == [f"A{number:05d}" for number in range(1, N_RECORDS + 1)]
    assert sum(row[1] == "1;1" for row in rows) == 1
    assert any("+" in row[1] for row in rows)
    with h5py.File(folder / "records" / "A00001.h5") as file:
        assert list(file) == ["ecg"]
        assert file["ecg"].dtype == np.float16
