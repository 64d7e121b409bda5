"""A synthetic CODE-15% is laid out as the publisher's, its traps included; WFDB records say what they show."""

import csv
import hashlib
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ecoscale.cli import app
from ecoscale.datasets import open_collection
from ecoscale.datasets.layouts import PLAIN, write_code15, write_wfdb
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection
from ecoscale.datasets.synthetic_heart import GENERATED
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import DatasetError, SignalError

N_EXAMS = 150

# wfdb's own import and table code warn with a recent pandas; nothing here can answer for that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")


@pytest.fixture(scope="module")
def code15(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code15")
    write_code15(folder, N_EXAMS, n_parts=3, seed=1, prevalence=EVEN_PREVALENCE, compression=1)
    return folder


@pytest.fixture(scope="module")
def rows(code15):
    """The tracings by exam id, padding rows apart."""
    found = {}
    for path in sorted(code15.glob("*.hdf5")):
        with h5py.File(path) as file:
            found |= dict(zip(file["exam_id"][:-1].tolist(), file["tracings"][:-1], strict=True))
    return found


@pytest.fixture(scope="module")
def table(code15):
    return pd.read_csv(code15 / "exams.csv")


def test_parts_have_the_publishers_names_types_and_chunks(code15):
    assert sorted(path.name for path in code15.iterdir()) == ["exams.csv", *(f"exams_part{i}.hdf5" for i in range(3))]
    for path in code15.glob("*.hdf5"):
        with h5py.File(path) as file:
            assert set(file) == {"exam_id", "tracings"}
            n_rows = len(file["exam_id"])
            assert file["exam_id"].dtype == np.int64
            assert file["exam_id"].shape == (n_rows,)
            assert file["tracings"].dtype == np.float32
            assert file["tracings"].shape == (n_rows, 4096, 12)
            assert file["tracings"].chunks == (1, 4096, 12)
            assert file["tracings"].compression == "gzip"


def test_compression_is_the_publishers_unless_told_otherwise(tmp_path):
    for name, options, expected in (("a", {}, ("gzip", 4)), ("b", {"compression": None}, (None, None))):
        write_code15(tmp_path / name, 2, n_parts=1, **options)
        with h5py.File(tmp_path / name / "exams_part0.hdf5") as file:
            assert (file["tracings"].compression, file["tracings"].compression_opts) == expected


def test_each_part_ends_in_an_empty_row_that_no_exam_matches(code15, table):
    for path in code15.glob("*.hdf5"):
        with h5py.File(path) as file:
            assert file["exam_id"][-1] == 0
            assert not file["tracings"][-1].any()
            assert np.all(file["exam_id"][:-1] > 0)
    assert 0 not in set(table["exam_id"])


def test_exams_csv_has_the_publishers_columns_and_spelling(code15):
    lines = (code15 / "exams.csv").read_text().splitlines()
    assert lines[0] == (
        "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
    )
    boolean = "(True|False)"
    pattern = rf"\d+,\d+,{boolean},\d+\.\d+,({boolean},){{6}}\d+,({boolean},\d+\.\d+|,),{boolean},exams_part\d\.hdf5"
    for line in lines[1:]:
        assert re.fullmatch(pattern, line), line


def test_the_genuine_exams_csv_is_spelled_the_same(code15, recordings):
    genuine, ours = (pd.read_csv(folder / "exams.csv") for folder in (recordings / "code15", code15))
    assert list(genuine.columns) == list(ours.columns)
    assert genuine.dtypes.equals(ours.dtypes)
    with (
        h5py.File(recordings / "code15" / "exams_part0.hdf5") as theirs,
        h5py.File(code15 / "exams_part0.hdf5") as file,
    ):
        for name in ("exam_id", "tracings"):
            assert theirs[name].dtype == file[name].dtype
            assert theirs[name].chunks == file[name].chunks
            assert theirs[name].shape[1:] == file[name].shape[1:]


def test_rows_of_the_table_are_in_another_order_and_name_their_part(code15, table):
    order = []
    for path in sorted(code15.glob("*.hdf5")):
        with h5py.File(path) as file:
            ids = file["exam_id"][:-1].tolist()
        assert set(table.loc[table["trace_file"] == path.name, "exam_id"]) == set(ids)
        order += ids
    assert len(set(order)) == N_EXAMS == len(table)
    assert table["exam_id"].tolist() != order


def test_a_third_of_the_exams_are_repeats_and_patients_straddle_the_parts(table):
    repeats = 1 - table["patient_id"].nunique() / N_EXAMS
    assert repeats == pytest.approx(1 - 233_770 / 345_779, abs=0.01)
    assert table.groupby("patient_id")["trace_file"].nunique().max() > 1


def test_death_and_its_time_are_known_for_one_exam_of_each_patient(table):
    known = table.dropna(subset=["timey"])
    assert known["patient_id"].is_unique
    assert len(known) == table["patient_id"].nunique()
    assert (table["death"].isna() == table["timey"].isna()).all()


def test_a_blocked_branch_stays_blocked(table):
    assert table.groupby("patient_id")[["RBBB", "LBBB"]].nunique().to_numpy().max() == 1


def test_most_exams_are_padded_on_both_sides_and_few_are_empty(rows):
    lengths = []
    for row in rows.values():
        samples = np.flatnonzero(row.any(axis=1))
        if len(samples):
            lengths.append((samples[0], samples[-1] + 1))
    assert 1 <= len(rows) - len(lengths) <= 3
    assert set(lengths) == {(581, 3515), (0, 4096)}
    # Four standard errors of a proportion of 0.6.
    assert np.mean([first == 581 for first, _ in lengths]) == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / N_EXAMS))


def test_rows_are_in_millivolt_in_the_publishers_lead_order(rows):
    for row in rows.values():
        if row.any():
            ecg = ECG(row[row.any(axis=1)].T, 400)
            assert 0.3 < np.abs(ecg.signal).max() < 6
            np.testing.assert_allclose(ecg.signal[2], ecg.signal[1] - ecg.signal[0], atol=1e-6)
            np.testing.assert_allclose(ecg.signal[3], -(ecg.signal[0] + ecg.signal[1]) / 2, atol=1e-6)


def test_every_finding_occurs_and_a_normal_ecg_has_none(table):
    assert (table[list(GENERATED)].sum() >= 5).all()
    assert table["normal_ecg"].any()
    assert not table.loc[table["normal_ecg"], list(GENERATED)].to_numpy().any()


def digests(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        write_code15(tmp_path / name, 6, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_progress_counts_every_exam(tmp_path):
    steps = []
    write_code15(tmp_path, 5, progress=steps.append)
    assert sum(steps) == 5


@pytest.mark.parametrize(("n_exams", "n_parts"), [(0, 1), (2, 3), (5, 0)])
def test_fewer_exams_than_parts_are_refused(tmp_path, n_exams, n_parts):
    with pytest.raises(DatasetError, match=f"{n_exams} exams in {n_parts} parts"):
        write_code15(tmp_path, n_exams, n_parts=n_parts)


def test_an_impossible_prevalence_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SignalError, match="prevalence"):
        write_code15(tmp_path / "out", 5, prevalence={"SB": 0.7, "AF": 0.7})
    assert not (tmp_path / "out").exists()


def test_wfdb_records_hold_the_signal_and_state_the_findings(tmp_path):
    import wfdb

    made = list(synthetic_collection(2, findings=["1dAVb", "RBBB"], seed=9, rate=250, duration=5))
    assert write_wfdb(tmp_path, made) == ["00000", "00001"]
    for one in made:
        record = wfdb.rdrecord(str(tmp_path / one.ecg.record))
        assert record.sig_name == list(LEADS)
        assert (record.fs, record.units[0], record.sig_len) == (250, "mV", 1250)
        # One step of the converter is 1 uV.
        np.testing.assert_allclose(record.p_signal.T, one.ecg.signal, atol=0.0006)
        assert f"Dx: 426783006,{GENERATED['1dAVb'].snomed},{GENERATED['RBBB'].snomed}" in record.comments
    with (tmp_path / "labels.csv").open() as stream:
        labels = list(csv.DictReader(stream))
    assert [row["record"] for row in labels] == ["00000", "00001"]
    for row, one in zip(labels, made, strict=True):
        assert [name for name in GENERATED if row[name] == "1"] == ["1dAVb", "RBBB"]
        assert float(row["pr_interval"]) == pytest.approx(one.heart.pr_interval, abs=1e-4)
        assert float(row["heart_rate"]) == pytest.approx(one.heart.rate, abs=0.01)


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["synth", *map(str, arguments)])


def test_synth_writes_wfdb_records(run, tmp_path):
    out = tmp_path / "out"
    done = run(out, "--findings", "AF,RBBB", "--n", 3, "--rate", 250, "--duration", 6, "--seed", 2, "--format", "wfdb")
    assert done.exit_code == 0, done.output
    assert len(list(out.glob("*.hea"))) == len(list(out.glob("*.dat"))) == 3
    labels = pd.read_csv(out / "labels.csv")
    assert (labels[["AF", "RBBB"]] == 1).all(axis=None)
    assert labels["pr_interval"].isna().all()


def test_synth_writes_normal_and_drawn_findings(run, tmp_path):
    assert run(tmp_path / "normal", "--findings", "normal", "--n", 2).exit_code == 0
    assert not pd.read_csv(tmp_path / "normal" / "labels.csv")[list(GENERATED)].to_numpy().any()
    assert run(tmp_path / "drawn", "--prevalence", "even", "--n", 12, "--duration", 2).exit_code == 0
    assert pd.read_csv(tmp_path / "drawn" / "labels.csv")[list(GENERATED)].to_numpy().any()


def test_synth_writes_a_code15(run, tmp_path):
    done = run(tmp_path / "out", "--layout", "code15", "--n", 5, "--parts", 2)
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "exams.csv",
        "exams_part0.hdf5",
        "exams_part1.hdf5",
    }


def test_synth_refuses_a_folder_that_is_not_empty_unless_forced(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    refused = run(tmp_path, "--n", 1)
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert run(tmp_path, "--n", 1, "--force").exit_code == 0
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    assert (tmp_path / "labels.csv").exists()


def test_synth_refuses_what_cannot_be_and_writes_nothing(run, tmp_path):
    for findings in ("AF,SB", "WPW"):
        refused = run(tmp_path / "out", "--findings", findings)
        assert refused.exit_code == 2
        assert findings.split(",")[0] in refused.output
    for foreign in (("--findings", "AF"), ("--rate", 500), ("--duration", 10)):
        assert run(tmp_path / "out", "--layout", "code15", *foreign).exit_code == 2
    assert run(tmp_path / "out", "--parts", 3).exit_code == 2
    assert run(tmp_path / "out", "--layout", "code15", "--n", 1).exit_code == 2
    assert not (tmp_path / "out").exists()
    file = tmp_path / "file"
    file.touch()
    assert run(file).exit_code == 2


@pytest.mark.parametrize("layout", sorted(PLAIN))
def test_synth_writes_the_layout_of_every_collection(run, tmp_path, layout):
    result = run(tmp_path / "out", "--layout", layout, "--n", 2)
    assert result.exit_code == 0, result.output
    collection = open_collection(tmp_path / "out", layout)
    assert f"{len(collection)} synthetic ECGs" in result.output
    assert collection.read(collection.records.index[0]).n_leads == 12


def test_synth_refuses_options_that_a_publishers_layout_has_no_use_for(run, tmp_path):
    for option in (("--noise", 0), ("--prevalence", "even"), ("--rate", 100), ("--findings", "AF"), ("--parts", 3)):
        result = run(tmp_path / "out", "--layout", "ludb", *option)
        assert result.exit_code == 2
        assert "given by its publisher" in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


# INCART's half hours make a Challenge slow to write.
@pytest.mark.parametrize("layout", sorted(set(PLAIN) - {"challenge2021"}))
def test_in_every_layout_the_same_seed_gives_the_same_bytes(tmp_path, layout):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        PLAIN[layout](tmp_path / name, 3, seed=seed)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
