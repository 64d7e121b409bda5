"""The Challenge 2025's records: the disease by its header line, sources apart, patients where anything tells them."""

import h5py
import numpy as np
import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Challenge2025, open_collection
from ecoscale.datasets.layouts import write_challenge2025
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import read_ecg

N = 6

# wfdb's own import and table code warn with a recent pandas; nothing here can answer for that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")


@pytest.fixture
def written(tmp_path):
    write_challenge2025(tmp_path, N, seed=3, chagas=0.5)
    return tmp_path


def headers(folder, source):
    return sorted(folder.glob(f"{source}*/**/*.hea"))


def test_headers_read_as_the_challenges_scripts_write_them(written):
    header = headers(written, "code15")[0]
    lines = header.read_text().splitlines()
    assert lines[0].split() in ([header.stem, "12", "400", "2934"], [header.stem, "12", "400", "4096"])
    assert lines[4].startswith(f"{header.stem}.dat 16 1000(0)/mV 16 0 ")
    assert [line.split()[-1] for line in lines[1:13]] == [lead.upper() for lead in LEADS]
    assert [line.split(":")[0] for line in lines[13:]] == ["# Age", "# Sex", "# Chagas label", "# Source"]
    assert lines[-1] == "# Source: CODE-15%"
    assert headers(written, "ptbxl")[0].read_text().splitlines()[0] == "00001_hr 12 500 5000 09:17:34 09/11/1984 "


def test_every_record_is_read_and_nothing_about_it_is_doubtful(written):
    collection = open_collection(written)
    assert isinstance(collection, Challenge2025)
    assert len(collection) == 3 * N
    rates = {"CODE-15%": 400, "SaMi-Trop": 400, "PTB-XL": 500}
    for record in collection.records.index:
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads, ecg.record) == (rates[collection.records.loc[record, "part"]], LEADS, record)
        assert ecg.check() == ()


def test_labels_are_those_of_the_headers_and_the_six_findings_are_unknown(written):
    collection = Challenge2025(written)
    stated = [
        "# Chagas label: True" in (written / path).read_text().splitlines() for path in collection.records["path"]
    ]
    assert collection.labels(["Chagas"]).ravel().tolist() == [PRESENT if label else ABSENT for label in stated]
    of = collection.records["part"].to_numpy()
    labels = collection.labels(["Chagas"]).ravel()
    assert set(labels[of == "CODE-15%"]) == {PRESENT, ABSENT}
    assert set(labels[of == "SaMi-Trop"]) == {PRESENT}
    assert set(labels[of == "PTB-XL"]) == {ABSENT}
    assert (collection.labels([finding.name for finding in CODE_FINDINGS]) == UNKNOWN).all()


def test_a_header_without_the_label_leaves_it_unknown_and_is_counted(written):
    header = headers(written, "code15")[0]
    header.write_text("".join(line for line in header.read_text().splitlines(True) if "Chagas" not in line))
    collection = Challenge2025(written)
    assert collection.labels(["Chagas"])[collection.records.index.get_loc(header.stem)] == UNKNOWN
    assert "1 headers have no line '# Chagas label:'; Chagas is unknown there" in collection.notes


@pytest.mark.parametrize(("value", "label"), [("1", PRESENT), ("TRUE", PRESENT), ("0", ABSENT), ("false", ABSENT)])
def test_other_spellings_of_the_label_are_read(written, value, label):
    header = headers(written, "samitrop")[0]
    header.write_text(header.read_text().replace("Chagas label: True", f"Chagas label: {value}"))
    collection = Challenge2025(written)
    assert collection.labels(["Chagas"])[collection.records.index.get_loc(header.stem)] == label


def test_a_label_that_is_neither_is_refused_by_file(written):
    header = headers(written, "samitrop")[0]
    header.write_text(header.read_text().replace("Chagas label: True", "Chagas label: maybe"))
    with pytest.raises(DatasetError, match=rf"{header.name}: '# Chagas label:' is 'maybe'; expected True or False"):
        Challenge2025(written)


def test_patients_of_code15_come_from_its_table(written):
    records = Challenge2025(written).records
    table = dict(line.split(",") for line in (written / "exams.csv").read_text().split()[1:])
    of_code15 = records[records["part"] == "CODE-15%"]
    assert of_code15["patient"].to_dict() == {record: table[record] for record in of_code15.index}
    assert of_code15["patient"].nunique() < N
    others = records[records["part"] != "CODE-15%"]
    assert others["patient"].tolist() == [f"record-{record}" for record in others.index]


def test_without_the_table_each_record_is_a_patient_and_the_danger_is_said(written):
    (written / "exams.csv").unlink()
    collection = Challenge2025(written)
    assert collection.records["patient"].is_unique
    first, second = collection.notes
    assert first.startswith(
        "6 records state no patient, and each counts as a patient of its own; a third of CODE-15%'s"
    )
    assert second == "6 records of other sources state no patient: each counts as a patient of its own"


def test_headers_of_the_first_months_state_the_patient_and_no_source(tmp_path):
    write_challenge2025(tmp_path, N, seed=3, old_headers=True, patients=False)
    collection = Challenge2025(tmp_path)
    assert set(collection.records["part"]) == {"unstated"}
    stated = collection.records.loc[[header.stem for header in headers(tmp_path, "code15")], "patient"]
    assert stated.str.isdecimal().all()
    assert f"{3 * N} headers have no line '# Source:'; their part is 'unstated'" in collection.notes


def test_a_real_exam_prepared_as_the_script_does_is_the_same_signal(recordings, tmp_path):
    """By the steps of prepare_code15_data.py: cut off the padding, round to 1 uV, clip to 16 bit."""
    import wfdb

    part = recordings / "code15" / "exams_part0.hdf5"
    with h5py.File(part) as file:
        exam, tracing = str(file["exam_id"][0]), file["tracings"][0]
    inside = np.flatnonzero(tracing.any(axis=1))
    steps = np.clip(np.round(1000 * tracing[inside[0] : inside[-1] + 1]), -32767, 32767).astype(np.int32)
    wfdb.wrsamp(
        exam,
        fs=400,
        units=["mV"] * 12,
        sig_name=[lead.upper() for lead in LEADS],
        d_signal=steps,
        fmt=["16"] * 12,
        adc_gain=[1000] * 12,
        baseline=[0] * 12,
        comments=["Age: 50", "Sex: Male", "Chagas label: False", "Source: CODE-15%"],
        write_dir=str(tmp_path),
    )
    ecg, raw = open_collection(tmp_path).read(exam), read_ecg(part, record=exam)
    small = np.abs(raw.signal) < 32.7
    np.testing.assert_allclose(ecg.signal[small], raw.signal[small], atol=0.0006)
    assert ecg.n_samples == raw.n_samples == 2934


def test_it_is_recognised_by_its_label_alone(written, recordings, tmp_path):
    assert Challenge2025.recognises(written / "ptbxl")
    assert not Challenge2025.recognises(recordings / "ptbxl-native")
    with pytest.raises(DatasetError, match=r"none of 40 WFDB headers .* has a line '# Chagas label:'"):
        Challenge2025(recordings / "ptbxl-native")


def test_a_record_that_occurs_twice_is_refused(written):
    header = headers(written, "samitrop")[0]
    (written / "again").mkdir()
    (written / "again" / header.name).write_text(header.read_text())
    with pytest.raises(DatasetError, match=f"record {header.stem} occurs more than once"):
        Challenge2025(written)


def test_nothing_is_written_without_a_record(tmp_path):
    with pytest.raises(DatasetError, match="0 records; expected one at least"):
        write_challenge2025(tmp_path, 0)
