"""PTB-XL: the genuine table and the reduced one, both rates, the official folds, and labels compared by hand."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PTBXL, UNKNOWN, mappings, open_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.findings import CODE_FINDINGS, PTBXL_SUPERCLASSES

SIX = [finding.name for finding in CODE_FINDINGS]
SUPER = [finding.name for finding in PTBXL_SUPERCLASSES]

# Read from `scp_codes` and `report` of the genuine table; the others of the 20 show none of the six.
SHOWN = {
    "2": "SB",
    "12": "SB",
    "102": "1dAVb",
    "103": "ST",
    "108": "ST",
    "182": "1dAVb",
    "256": "LBBB",
    "269": "RBBB",
    "279": "LBBB ST",
    "282": "AF",  # and an incomplete LBBB, which is none
    "307": "AF",
    "310": "RBBB",
}


@pytest.fixture(scope="module")
def native(recordings):
    return recordings / "ptbxl-native"


@pytest.fixture(scope="session")
def reduced(recordings, tmp_path_factory):
    """Three records of each of folds 1-9, with the table of six columns that has no patients."""
    folder = tmp_path_factory.mktemp("unpacked")
    command = [sys.executable, str(recordings / "unpack.py"), str(folder), "ptbxl", "--first", "3"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "ptb-xl"


@pytest.fixture
def copy(native, tmp_path):
    """The genuine table alone, to be altered: `copy(change)` gives the folder with the changed table."""

    def with_table(change):
        table = pd.read_csv(native / "ptbxl_database.csv", dtype=str, keep_default_na=False)
        change(table).to_csv(tmp_path / "ptbxl_database.csv", index=False)
        return tmp_path

    return with_table


@pytest.mark.parametrize(("rate", "n_samples"), [(100, 1000), (500, 5000)])
def test_every_genuine_record_is_read_at_its_rate(native, rate, n_samples):
    collection = PTBXL(native, rate)
    assert len(collection) == 20
    for record in collection.records.index:
        ecg = collection.read(record)
        assert (ecg.rate, ecg.signal.shape, ecg.leads) == (rate, (12, n_samples), LEADS)
        assert f"{int(record):05d}" in ecg.source


def test_the_rate_is_100_hz_unless_only_500_hz_is_there(native, tmp_path):
    assert PTBXL(native).rate == 100
    shutil.copy(native / "ptbxl_database.csv", tmp_path)
    (tmp_path / "records500").mkdir()
    assert PTBXL(tmp_path).rate == 500


def test_folds_and_patients_are_the_publishers(native):
    records = PTBXL(native).records
    assert records.loc["1", ["patient", "fold"]].tolist() == ["15709", 3]
    # Two recordings of one patient, in one fold.
    assert records.loc[["279", "282"], "patient"].tolist() == ["437", "437"]
    assert records.loc["279", "fold"] == records.loc["282", "fold"]
    assert records["fold"].between(1, 10).all()
    assert PTBXL(native).notes == ()


def test_labels_are_those_read_by_hand(native):
    collection = PTBXL(native)
    found = dict(zip(collection.records.index, collection.labels(SIX), strict=True))
    assert set(SHOWN) < set(found)
    for record, row in found.items():
        assert row.tolist() == [int(name in SHOWN.get(record, "").split()) for name in SIX], record


def test_superclasses_group_the_diagnostic_statements_as_the_publishers_table_does(native):
    collection = PTBXL(native)
    table = pd.read_csv(native / "scp_statements.csv", index_col=0)["diagnostic_class"].dropna()
    labels = collection.labels(SUPER)
    for codes, row in zip(collection.records["codes"], labels, strict=True):
        groups = {table[code] for code in codes if code in table.index}
        assert row.tolist() == ([int(name in groups) for name in SUPER] if groups else [UNKNOWN] * 5)
    assert (labels == 1).any(axis=0).sum() >= 4


def test_every_diagnostic_statement_is_in_one_superclass(native):
    table = pd.read_csv(native / "scp_statements.csv", index_col=0)["diagnostic_class"].dropna()
    found = {row.code: row.finding for row in mappings("SCP") if row.finding in SUPER}
    assert found == table.to_dict()
    assert len(found) == 44


def test_superclasses_are_unknown_without_a_diagnostic_statement_and_the_six_are_not(copy):
    def change(table):
        table["scp_codes"] = ["{'SR': 0.0, 'STACH': 0.0}", *table["scp_codes"][1:]]
        return table

    labels = PTBXL(copy(change)).labels([*SUPER, "ST"])
    assert labels[0].tolist() == [UNKNOWN] * 5 + [1]
    assert (labels[1:] != UNKNOWN).all()


def test_a_statement_counts_whatever_its_likelihood(native):
    """Record 1 lists 'SR': 0.0, which in PTB-XL means that no likelihood was stated."""
    assert PTBXL(native).records.loc["1", "codes"] == {"NORM", "LVOLT", "SR"}


def test_the_reduced_table_has_each_record_as_its_own_patient_and_says_so(reduced):
    collection = PTBXL(reduced)
    assert len(collection) == 27
    assert collection.records["fold"].value_counts().to_dict() == dict.fromkeys(range(1, 10), 3)
    assert collection.records["patient"].is_unique
    (note,) = collection.notes
    assert "no patient_id: each record counts as a patient of its own" in note
    for record in collection.records.index:
        assert collection.read(record).signal.shape == (12, 1000)


def test_a_packed_record_is_the_genuine_one(native, reduced):
    genuine, packed = PTBXL(native), PTBXL(reduced)
    common = genuine.records.index.intersection(packed.records.index)
    assert len(common) > 0
    for record in common:
        # Packing rounds eight leads to 5 uV, so by 2 uV at most, and derives III from two of them, rounded once more.
        np.testing.assert_allclose(packed.read(record).signal, genuine.read(record).signal, atol=0.0051)
        assert packed.records.loc[record, "codes"] == genuine.records.loc[record, "codes"]
        assert packed.records.loc[record, "fold"] == genuine.records.loc[record, "fold"]


def test_the_reduced_table_has_no_500_hz(reduced):
    with pytest.raises(
        DatasetError, match=r"ptbxl_database.csv: column filename_hr is missing; found ecg_id, age, sex"
    ):
        PTBXL(reduced, 500)


def test_it_is_recognised_by_its_table(native, reduced):
    assert isinstance(open_collection(native), PTBXL)
    assert open_collection(reduced).name == "ptbxl"
    assert open_collection(native, "ptbxl", rate=500).rate == 500


def test_another_folder_is_refused_naming_the_table(tmp_path):
    with pytest.raises(DatasetError, match=r"ptbxl_database.csv: not found; PTB-XL's folder holds it"):
        PTBXL(tmp_path)


def test_a_rate_that_ptbxl_does_not_have_is_refused(native):
    with pytest.raises(DatasetError, match="no files at 250 Hz; choose 100 or 500"):
        PTBXL(native, 250)


def test_a_record_that_it_does_not_have_is_refused_by_name(native):
    with pytest.raises(DatasetError, match=r"PTB-XL 1.0.3 has no record '4' here"):
        PTBXL(native).read("4")


def test_a_record_without_its_file_is_refused_when_it_is_read(copy):
    collection = PTBXL(copy(lambda table: table), 100)
    with pytest.raises(FormatError, match=r"records100/00000/00001_lr: no such file"):
        collection.read("1")


@pytest.mark.parametrize("column", ["ecg_id", "scp_codes", "strat_fold", "filename_hr"])
def test_a_missing_column_is_named(copy, column):
    with pytest.raises(DatasetError, match=f"ptbxl_database.csv: column {column} is missing; found"):
        PTBXL(copy(lambda table: table.drop(columns=column)), 500)


@pytest.mark.parametrize("column", ["ecg_id", "scp_codes", "strat_fold", "filename_lr"])
def test_an_empty_cell_is_named(copy, column):
    def change(table):
        table.loc[[4, 9], column] = ""
        return table

    with pytest.raises(DatasetError, match=f"{column} is empty in row 5, and in 1 more"):
        PTBXL(copy(change), 100)


@pytest.mark.parametrize("text", ["NORM", "'NORM'", "['NORM']", "{'NORM': 100", "__import__('os')", "7"])
def test_scp_codes_that_are_no_mapping_are_refused_with_their_record(copy, text):
    def change(table):
        table.loc[3, "scp_codes"] = text
        return table

    with pytest.raises(DatasetError, match=r"scp_codes of ecg_id 12 is .*expected a mapping such as {'NORM': 100.0}"):
        PTBXL(copy(change), 100)


def test_an_ecg_id_that_occurs_twice_is_refused(copy):
    with pytest.raises(DatasetError, match="ecg_id 1 occurs twice"):
        PTBXL(copy(lambda table: pd.concat([table, table.iloc[:1]])), 100)


def test_a_fold_that_is_no_number_is_refused(copy):
    with pytest.raises(DatasetError, match="strat_fold holds 'train'; expected whole numbers, 1 to 10"):
        PTBXL(copy(lambda table: table.assign(strat_fold="train")), 100)


def test_records_without_a_patient_are_not_taken_for_one(copy):
    def change(table):
        table.loc[[0, 1], "patient_id"] = ""
        return table

    collection = PTBXL(copy(change), 100)
    assert collection.records["patient"].tolist()[:3] == ["record-1", "record-2", "20372"]
    assert "2 rows have no patient_id" in collection.notes[0]


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "ptbxl_database.csv").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"ptbxl_database.csv: cannot be read as a table"):
        PTBXL(tmp_path)
