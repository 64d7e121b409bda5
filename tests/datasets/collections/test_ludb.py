"""LUDB: diagnoses from its table or its headers, the same either way, and the waves of each lead as marked."""

import csv
import shutil

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets import ABSENT, LUDB, PRESENT, UNKNOWN, Chapman, label_matrix, open_collection
from ecoscale.datasets.layouts import LUDB_COLUMNS, write_ludb
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, LeadError
from ecoscale.findings import CODE_FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]
N_RECORDS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ludb")
    write_ludb(folder, N_RECORDS, seed=3)
    return folder


@pytest.fixture(scope="module")
def truth():
    """The recordings that `folder` was written from."""
    return list(synthetic_collection(N_RECORDS, seed=3, prevalence=EVEN_PREVALENCE))


@pytest.fixture
def copy(folder, tmp_path):
    """The folder with its table changed: `copy(change)`."""
    shutil.copytree(folder / "data", tmp_path / "data")

    def with_table(change):
        table = pd.read_csv(folder / "ludb.csv", dtype=str, keep_default_na=False)
        change(table).to_csv(tmp_path / "ludb.csv", index=False)
        return tmp_path

    return with_table


@pytest.fixture
def marked(folder, tmp_path):
    """LUDB with the marks of record 1 in lead II replaced: `marked("(p)")`, a sample apart each."""

    def with_marks(symbols, extension="ii"):
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        samples = np.arange(len(symbols)) * 10
        wfdb.wrann("1", "new", samples, symbol=list(symbols), fs=500, write_dir=str(tmp_path / "data"))
        (tmp_path / "data" / "1.new").replace(tmp_path / "data" / f"1.{extension}")
        return LUDB(tmp_path)

    return with_marks


def test_every_record_is_read_with_its_leads_by_their_names(folder, truth):
    collection = LUDB(folder)
    assert collection.records.index.tolist() == [str(number) for number in range(1, N_RECORDS + 1)]
    for record, one in zip(collection.records.index, truth, strict=True):
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads, ecg.record) == (500, LEADS, record)
        # Half a step of the converter is 0.5 uV.
        np.testing.assert_allclose(ecg.signal, one.ecg.signal, atol=0.0006)


def test_labels_are_the_findings_that_the_records_show(folder, truth):
    labels = LUDB(folder).labels(SIX)
    assert labels.tolist() == [[int(name in one.findings) for name in SIX] for one in truth]
    assert (labels == PRESENT).any(axis=0).sum() >= 4


def test_without_the_table_the_headers_say_the_same(folder, copy):
    without = copy(lambda table: table)
    (without / "ludb.csv").unlink()
    collection = LUDB(without)
    pd.testing.assert_frame_equal(collection.records, LUDB(folder).records)
    (note,) = collection.notes
    assert note.endswith("ludb.csv: not found; the diagnoses are those of the headers")
    assert LUDB(folder).notes == ()


def test_codes_are_phrases_without_case_full_stop_and_line_break(copy):
    def change(table):
        table.loc[0, "Conduction abnormalities"] = "I degree AV block.\n  Left  anterior hemiblock\r\n"
        table.loc[0, "Rhythms"] = "Rhythm: Sinus bradycardia.\n"
        return table

    codes = LUDB(copy(change)).records.loc["1", "codes"]
    assert {"i degree av block", "left anterior hemiblock", "sinus bradycardia"} < codes
    assert not any("\n" in code or code.endswith(".") or code != code.lower() for code in codes)


@pytest.mark.parametrize(
    "phrase",
    [
        "incomplete right bundle branch block",
        "incomplete left bundle branch block",
        "iii degree av-block",
        "atrial flutter, typical",
        "sinus arrhythmia",
        "non-specific intravintricular conduction delay",
    ],
)
def test_what_is_near_a_finding_but_another_is_absent(phrase):
    assert label_matrix([{phrase}], SIX, "LUDB").tolist() == [[ABSENT] * 6]


def test_the_rhythms_are_a_task_and_another_one_leaves_them_open(folder):
    task = LUDB.task("rhythms")
    assert task.names[:2] == ("Sinus rhythm", "Sinus bradycardia")
    assert task.label(LUDB(folder).records["codes"]).sum(axis=1).tolist() == [1] * N_RECORDS
    assert set(task.label([{"wandering atrial pacemaker"}])[0]) == {UNKNOWN}


def test_each_record_is_a_patient_and_there_are_no_folds(folder):
    records = LUDB(folder).records
    assert records["patient"].tolist() == records.index.tolist()
    assert set(records["fold"]) == {0}


@pytest.mark.parametrize("lead", ["II", "ii", "aVR", "V6"])
def test_waves_are_those_of_the_record_in_samples(folder, truth, lead):
    collection = LUDB(folder)
    for record, one in zip(collection.records.index, truth, strict=True):
        waves = collection.waves(record, lead)
        assert waves.columns.tolist() == ["kind", "onset", "peak", "offset"]
        qrs = waves[waves["kind"] == "QRS"]
        np.testing.assert_allclose(qrs["peak"].to_numpy(float) / 500, one.r_peaks, atol=0.0011)
        whole = qrs.dropna()
        durations = (whole["offset"] - whole["onset"]).to_numpy(float) / 500
        np.testing.assert_allclose(durations, one.heart.qrs_duration, atol=0.0021)
        assert ("P" in set(waves["kind"])) == (one.heart.pr_interval is not None)
        if one.heart.pr_interval is not None:
            before = waves[waves["kind"] == "P"].dropna()
            after = [qrs["onset"][qrs["onset"] > onset].min() for onset in before["onset"]]
            intervals = (after - before["onset"].to_numpy()).astype(float) / 500
            inside = ~np.isnan(intervals)
            np.testing.assert_allclose(intervals[inside], one.heart.pr_interval, atol=0.0021)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("(p)(N)(t)", [["P", 0, 10, 20], ["QRS", 30, 40, 50], ["T", 60, 70, 80]]),
        ("N)(t", [["QRS", None, 0, 10], ["T", 20, 30, None]]),
        ("pNt", [["P", None, 0, None], ["QRS", None, 10, None], ["T", None, 20, None]]),
        (")(N)(", [[None, None, None, 0], ["QRS", 10, 20, 30], [None, 40, None, None]]),
        ("((N)", [[None, 0, None, None], ["QRS", 10, 20, 30]]),
        ("()N", [[None, 0, None, 10], ["QRS", None, 20, None]]),
    ],
)
def test_a_mark_that_is_not_there_is_missing_in_its_wave_and_nothing_is_dropped(marked, symbols, expected):
    waves = marked(symbols).waves("1", "II")
    assert waves.astype(object).where(waves.notna(), None).to_numpy().tolist() == expected


@given(symbols=st.text("()pNt", min_size=1, max_size=20))
def test_every_mark_is_in_exactly_one_wave(symbols, folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("marks")
    (place / "data").mkdir()
    shutil.copy(folder / "data" / "1.hea", place / "data")
    samples = np.arange(len(symbols)) * 7
    wfdb.wrann("1", "ii", samples, symbol=list(symbols), fs=500, write_dir=str(place / "data"))
    waves = LUDB(place).waves("1", "II")
    marks = pd.concat([waves["onset"], waves["peak"], waves["offset"]]).dropna()
    assert sorted(marks) == samples.tolist()
    assert waves["peak"].notna().equals(waves["kind"].notna())


def test_a_lead_that_is_none_is_refused_by_name(folder):
    with pytest.raises(LeadError, match="unknown lead 'MLII'"):
        LUDB(folder).waves("1", "MLII")


def test_an_unknown_record_has_no_waves(folder):
    with pytest.raises(DatasetError, match="has no record '201' here"):
        LUDB(folder).waves("201", "II")


def test_a_delineation_that_is_not_there_is_named_with_what_has_it(copy):
    folder = copy(lambda table: table)
    (folder / "data" / "1.avl").unlink()
    with pytest.raises(DatasetError, match=r"1\.avl: not found; version 1\.0\.1 has the delineation of lead aVL there"):
        LUDB(folder).waves("1", "aVL")


def test_other_marks_than_of_waves_are_refused(marked):
    with pytest.raises(DatasetError, match=r"1\.ii: marks 'V'; expected \( and \) around p, N, t"):
        marked("(N)V").waves("1", "II")


@pytest.mark.parametrize("cut", [slice(-2), slice(-1), slice(3), slice(0), slice(1, None)])
def test_a_delineation_that_is_cut_off_is_refused_by_name(copy, cut):
    folder = copy(lambda table: table)
    file = folder / "data" / "1.ii"
    file.write_bytes(file.read_bytes()[cut])
    with pytest.raises(DatasetError, match=r"1\.ii: .*download it again"):
        LUDB(folder).waves("1", "II")


def test_it_is_recognised_by_a_header_that_lists_diagnoses(folder, tmp_path):
    assert isinstance(open_collection(folder), LUDB)
    assert not Chapman.recognises(folder)
    (tmp_path / "data").mkdir()
    assert not LUDB.recognises(tmp_path)
    (tmp_path / "data" / "1.hea").write_text("1 1 500 10\n1.dat 16 200 16 0 0 0 0 ii\n")
    assert not LUDB.recognises(tmp_path)


def test_another_folder_is_refused_naming_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"data: no WFDB headers \(\*.hea\); expected data/1.hea"):
        LUDB(tmp_path)


def test_what_is_only_in_the_table_or_only_in_the_folder_is_counted(copy):
    def change(table):
        table.loc[0, "ID"] = "900"
        return table

    collection = LUDB(copy(change))
    assert len(collection) == N_RECORDS - 1
    assert collection.notes == (
        f"1 of {N_RECORDS} records of ludb.csv have no header in data",
        "1 records have no row in ludb.csv and are left out",
    )


@pytest.mark.parametrize("column", ["ID", "Rhythms", "Conduction abnormalities"])
def test_a_missing_column_is_named(copy, column):
    with pytest.raises(DatasetError, match=f"ludb.csv: column {column} is missing; found"):
        LUDB(copy(lambda table: table.drop(columns=column)))


def test_a_row_without_a_rhythm_is_refused(copy):
    def change(table):
        table.loc[4, "Rhythms"] = ""
        return table

    with pytest.raises(DatasetError, match="Rhythms is empty in row 5"):
        LUDB(copy(change))


def test_a_record_that_occurs_twice_is_refused(copy):
    with pytest.raises(DatasetError, match=r"ludb.csv: ID 1 occurs twice"):
        LUDB(copy(lambda table: pd.concat([table, table.iloc[:1]])))


@pytest.mark.parametrize(
    ("comments", "message"),
    [("", "no line '#<diagnoses>:'"), ("#<diagnoses>:\n", "nothing follows '#<diagnoses>:'; expected at least the")],
)
def test_a_header_without_diagnoses_is_refused_where_there_is_no_table(folder, tmp_path, comments, message):
    shutil.copytree(folder / "data", tmp_path / "data")
    header = tmp_path / "data" / "2.hea"
    header.write_text("".join(line for line in header.read_text().splitlines(True) if line[0] != "#") + comments)
    with pytest.raises(DatasetError, match=rf"2\.hea: {message}"):
        LUDB(tmp_path)


# The synthetic collection


def test_the_layouts_waves_are_whole_but_for_the_ends_of_the_record(folder):
    collection = LUDB(folder)
    for record in collection.records.index:
        waves = collection.waves(record, "V1")
        assert waves[["kind", "peak"]].notna().to_numpy().all()
        assert waves["onset"].iloc[1:].notna().all()
        assert waves["offset"].iloc[:-1].notna().all()
        times = waves[["onset", "peak", "offset"]].to_numpy(float).ravel()
        assert (np.diff(times[np.isfinite(times)]) >= 0).all()


def test_the_layout_has_the_publishers_files(folder):
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    suffixes = ("hea", "dat", *(lead.lower() for lead in LEADS))
    assert files == {"ludb.csv", "RECORDS"} | {f"data/{n}.{end}" for n in range(1, N_RECORDS + 1) for end in suffixes}
    assert (folder / "RECORDS").read_text().splitlines()[:2] == ["data/1", "data/2"]


def test_the_layouts_table_has_the_publishers_cells(folder):
    with (folder / "ludb.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert tuple(header) == LUDB_COLUMNS
    assert all(cell.endswith("\n") for row in rows for cell in row[1:] if cell)
    assert rows[-1][2] == ">89\n"
    assert any(row[7].count("\n") == 2 for row in rows)
    header = wfdb.rdheader(str(folder / "data" / "1"))
    assert header.sig_name == [lead.lower() for lead in LEADS]
    assert header.comments[2] == "<diagnoses>:"
    assert header.comments[3].startswith("Rhythm: ")
