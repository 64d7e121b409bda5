"""A user's own recordings: files by name, labels three-valued, everything that is left out or wrong said by row."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Folder, in_share, open_collection
from ecoscale.datasets.collections.label_table import label_columns, read_label_table
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import read_ecg

SIX = [finding.name for finding in CODE_FINDINGS]
ARRAYS = "rate: 400\nunit: mV\nleads: [I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6]\n"

# wfdb's own import and table code warn with a recent pandas; nothing here can answer for that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """What `ecoscale synth` writes: 6 WFDB records and labels.csv."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_wfdb(folder, synthetic_collection(6, seed=1, prevalence=EVEN_PREVALENCE))
    return folder


@pytest.fixture
def records(written, tmp_path):
    """Three of the records without a table: 00000, 00001 and, in a folder, 00002."""
    (tmp_path / "ward").mkdir()
    for name, place in (("00000", ""), ("00001", ""), ("00002", "ward")):
        for suffix in (".hea", ".dat"):
            shutil.copy(written / f"{name}{suffix}", tmp_path / place)
    return tmp_path


@pytest.fixture
def real(recordings, tmp_path):
    """Real recordings in four formats: WFDB, CODE HDF5, `.npy` and a CSV whose header names leads and unit."""
    for path in (recordings / "ptbxl-native" / "records100" / "00000").glob("00001_lr.*"):
        shutil.copy(path, tmp_path)
    part = tmp_path / "exams_part0.hdf5"
    shutil.copy(recordings / "code15" / part.name, part)
    signal = read_ecg(part, record="1594286").signal
    np.save(tmp_path / "clinic.npy", signal)
    header = ",".join(f"{lead} [mV]" for lead in LEADS)
    np.savetxt(tmp_path / "cart.csv", signal.T, delimiter=",", header=header, comments="")
    (tmp_path / "dataset.yaml").write_text(ARRAYS)
    (tmp_path / "labels.csv").write_text(
        "record,exam_id,AF\n00001_lr,,0\nexams_part0.hdf5,358121,1\nclinic.npy,,0\ncart.csv,,1\n"
        "exams_part0.hdf5,438277,unknown\n"
    )
    return tmp_path


def table(folder, text, name="labels.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_what_synth_writes_opens_with_its_six_findings(written):
    collection = open_collection(written, "folder")
    shown = [made.findings for made in synthetic_collection(6, seed=1, prevalence=EVEN_PREVALENCE)]
    expected = [[PRESENT if name in findings else ABSENT for name in SIX] for findings in shown]
    assert collection.labels(SIX).tolist() == expected
    assert collection.labels(["MI", "AF"])[:, 0].tolist() == [UNKNOWN] * 6
    found, left_out, patients = collection.notes
    assert found == (
        "labels.csv: findings 1dAVb, RBBB, LBBB, SB, ST, AF; every other finding is unknown in all records"
    )
    assert left_out.startswith("labels.csv: columns left out, being no labels: heart_rate ('")
    assert patients == "labels.csv: 6 rows state no patient; each counts as a patient of its own"
    for record in collection.records.index:
        assert collection.read(record).record == record


def test_real_recordings_of_every_format_are_read_with_what_their_files_do_not_state(real):
    collection = open_collection(real)
    assert isinstance(collection, Folder)
    exam = read_ecg(real / "exams_part0.hdf5", record="1594286")
    for record in ("clinic.npy", "cart.csv"):
        ecg = collection.read(record)
        assert (ecg.rate, ecg.leads) == (400, LEADS)
        np.testing.assert_allclose(ecg.signal, exam.signal, atol=1e-6)
    assert collection.read("00001_lr").rate == 100
    assert collection.read("exams_part0.hdf5/358121").record == "358121"
    labels = dict(zip(collection.records.index, collection.labels(["AF"]).ravel(), strict=True))
    assert labels["exams_part0.hdf5/358121"] == PRESENT
    assert labels["exams_part0.hdf5/438277"] == UNKNOWN
    assert "8 of 10 exams in HDF5 files have no row in labels.csv and are left out" in collection.notes


def test_exams_of_one_hdf5_follow_each_other_as_they_lie_in_it(real):
    index = Folder(real).records.index
    assert index.tolist() == [
        *("00001_lr", "exams_part0.hdf5/438277", "exams_part0.hdf5/358121", "clinic.npy", "cart.csv")
    ]


@pytest.mark.parametrize("named", ["00000", "00000.hea", "00000.dat", "./00000"])
def test_a_wfdb_record_goes_by_any_of_its_names(records, named):
    collection = Folder(table(records, f"record,AF\n{named},1\n"))
    assert collection.path(named) == records / "00000.hea"
    assert collection.read(named).record == "00000"


def test_a_column_for_the_file_leaves_record_to_be_a_name(records):
    collection = Folder(table(records, "record,path,AF\nanna,00000,1\nben,ward/00002.hea,0\n"))
    assert collection.records.index.tolist() == ["anna", "ben"]
    assert collection.read("ben").record == "00002"


def test_a_table_of_another_name_is_opened_by_its_path(records):
    path = table(records, "record,hyperkalaemia,AF\n00000,1,0\nward/00002,0,1\n", "ward_2024.csv") / "ward_2024.csv"
    collection = open_collection(path, "folder")
    assert (collection.directory, len(collection)) == (records, 2)
    assert collection.label_names == ("hyperkalaemia", "AF")
    with pytest.raises(DatasetError, match=r"ward_2024.csv: no such folder"):
        open_collection(path)


def test_a_single_lead_is_a_record_too(tmp_path):
    np.save(tmp_path / "watch.npy", np.ones((1, 300)))
    (tmp_path / "dataset.yaml").write_text("rate: 30\nunit: mV\nleads: [I]\n")
    assert Folder(table(tmp_path, "record,AF\nwatch.npy,1\n")).read("watch.npy").leads == ("I",)


def test_labels_of_the_users_own_are_kept_by_name(records):
    text = "record,hyperkalaemia,AF\n00000,1,unknown\n00001,,TRUE\nward/00002,False,0.0\n"
    collection = Folder(table(records, text))
    assert collection.labels(["hyperkalaemia", "AF", "SB"]).tolist() == [
        [PRESENT, UNKNOWN, UNKNOWN],
        [UNKNOWN, PRESENT, UNKNOWN],
        [ABSENT, ABSENT, UNKNOWN],
    ]
    assert collection.records["codes"].tolist() == [{"hyperkalaemia"}, {"AF"}, {"not hyperkalaemia", "not AF"}]
    assert collection.findings == ("AF",)
    assert collection.notes[0] == (
        "labels.csv: findings AF; labels of your own hyperkalaemia; every other finding is unknown in all records"
    )


def test_a_label_that_is_neither_a_column_nor_a_finding_is_refused(records):
    collection = Folder(table(records, "record,hyperkalaemia\n00000,1\n"))
    with pytest.raises(
        DatasetError, match=r"no row states hyperkalemia, which is no finding .* state is hyperkalaemia"
    ):
        collection.labels(["hyperkalemia"])


def test_a_column_named_as_one_of_the_contract_hides_none(records):
    collection = Folder(table(records, "record,codes,part\n00000,1,0\n"))
    assert collection.records["codes"].tolist() == [{"codes", "not part"}]
    assert collection.labels(["part", "codes"]).tolist() == [[ABSENT, PRESENT]]


def test_labels_follow_from_the_codes_of_the_rows_alone(records):
    """A prepared store keeps these, and not the table."""
    collection = Folder(table(records, "record,hyperkalaemia,AF\n00000,1,unknown\n00001,0,1\n"))
    np.testing.assert_array_equal(
        Folder.label(collection.records[["codes"]], ["AF", "hyperkalaemia"]), [[UNKNOWN, PRESENT], [PRESENT, ABSENT]]
    )


def test_patients_and_folds_are_those_of_the_table(records):
    text = "record,Patient_ID,fold,AF\n00000,p1,3,1\n00001,p1,4,0\nward/00002,,10,0\n"
    collection = Folder(table(records, text))
    assert collection.records["patient"].tolist() == ["p1", "p1", "record-ward/00002"]
    assert collection.records["fold"].tolist() == [3, 4, 10]
    assert "labels.csv: 1 rows state no patient; each counts as a patient of its own" in collection.notes
    assert in_share(collection.records["patient"], 0, 1).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.tsv", "record\tAF\n00000\t1\n"),
        ("labels.csv", "record;AF\r\n00000;1\r\n"),
        ("labels.csv", '\ufeffrecord, AF\n"00000", 1\n\n'),
    ],
)
def test_tables_as_spreadsheets_save_them_are_read(records, name, text):
    assert Folder(table(records, text, name)).labels(["AF"]).tolist() == [[PRESENT]]


def test_other_columns_are_left_out_and_said_with_a_value_of_theirs(records):
    text = "record,AF,age,remark,empty,is_male\n00000,1,63,,,1\n00001,0,70,pacemaker?,,0\n"
    _, left_out, *_ = Folder(table(records, text)).notes
    assert left_out == (
        "labels.csv: columns left out, being no labels: age ('63' in row 1), remark ('pacemaker?' in row 2), "
        "empty (empty)"
    )


def test_declared_labels_are_the_only_ones_and_each_value_must_be_one(records):
    (records / "dataset.yaml").write_text("labels: [AF, hyperkalaemia]\n")
    folder = table(records, "record,AF,hyperkalaemia,is_male\n00000,1,0,1\n")
    assert "is_male (not among the labels of dataset.yaml)" in Folder(folder).notes[1]
    with pytest.raises(DatasetError, match="no row states is_male"):
        Folder(folder).labels(["is_male"])
    table(records, "record,AF,hyperkalaemia\n00000,1,0\n00001,0,yes\n")
    with pytest.raises(DatasetError, match=r"hyperkalaemia is 'yes' in row 2; expected 1, 0, true, false, or nothing"):
        Folder(folder)
    table(records, "record,AF\n00000,1\n")
    with pytest.raises(DatasetError, match=r"no column hyperkalaemia, which dataset.yaml names among its labels"):
        Folder(folder)


def test_files_of_the_same_kinds_without_a_row_are_counted(records):
    (records / ".hidden.hea").touch()
    (records / "notes.txt").touch()
    collection = Folder(table(records, "record,AF\n00001,1\n"))
    assert collection.notes[-1] == "2 files (.hea) have no row in labels.csv and are left out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "record,AF\n00000,1\nnobody,0\n00009,1\n",
            r"record names what is not in .*: nobody \(row 2\), 00009 \(row 3\)",
        ),
        ("record,AF\n00000,1\n00000.dat,0\n", "rows 1 and 2 are of one recording, 00000.hea; expected a row each"),
        ("record,path,AF\na,00000,1\na,00001,0\n", "record is a in rows 1 and 2; expected a name each"),
        ("record,path,AF\n,00000,1\n", "record is empty in row 1"),
        ("record,AF\n00000,1\n,0\n", "record is empty in row 2; expected the name of a file"),
        ("record,AF\n00000,1\n00001,2\n", "AF is '2' in row 2; expected 1, 0, true, false, or nothing or 'unknown'"),
        ("record,AF\n00000,yes\n", "AF is 'yes' in row 1"),
        ("record,af\n00000,1\n", "column 'af' is spelled 'AF' in the vocabulary; write it so"),
        ("record,age\n00000,63\n", r"no label column; its other columns: age \('63' in row 1\). Expected one for each"),
        ("record\n00000\n", "no label column. Expected one for each finding, for example AF"),
        ("name,AF\n00000,1\n", "no column record, path or file, which names each row's file; found name, AF"),
        ("path,file,AF\n00000,00000,1\n", "columns path and file mean the same; keep one"),
        ("record,patient,patient_id,AF\n00000,a,b,1\n", "columns patient and patient_id mean the same"),
        ("record,fold,AF\n00000,1,1\n00001,train,0\n", "fold is 'train' in row 2; expected a whole number"),
        ("record,fold,AF\n00000,,1\n", "fold is '' in row 1"),
        ("record,AF,AF\n00000,1,0\n", "column 'AF' occurs twice"),
        ("record,AF\n00000,1\n00001\n", "row 2 has 1 cells; expected 2 as in the header"),
        ("record,AF\n00000,1,0\n", "row 1 has 3 cells; expected 2"),
        ("record,AF\n", "no rows; expected a header and a row for each recording"),
        ("", "no rows"),
        (
            "record,exam_id,AF\n00000,7,1\n",
            "exam_id is '7' in row 1, and 00000.hea is no HDF5 of exams; leave the cell",
        ),
    ],
)
def test_what_is_wrong_in_the_table_is_refused_by_row_and_column(records, text, message):
    with pytest.raises(DatasetError, match=rf"labels.csv: {message}"):
        Folder(table(records, text))


def test_a_table_in_another_encoding_is_refused(records):
    (records / "labels.csv").write_bytes("record,AF,anämie\n00000,1,0\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"labels.csv: cannot be read as a table .*; save it as CSV in UTF-8"):
        Folder(records)


@pytest.mark.parametrize(
    ("exam", "message"),
    [
        ("17", "exam_id is '17' in row 1; expected one of the 10 exams in exams_part0.hdf5, for example 438277"),
        ("", "exam_id is missing in row 1; expected one of the 10 exams in exams_part0.hdf5, for example 438277"),
    ],
)
def test_an_exam_that_an_hdf5_does_not_hold_is_refused(real, exam, message):
    with pytest.raises(DatasetError, match=message):
        Folder(table(real, f"record,exam_id,AF\nexams_part0.hdf5,{exam},1\n"))


def test_an_hdf5_of_one_exam_needs_no_exam_id(tmp_path, real):
    with h5py.File(real / "one.h5", "w") as file:
        file["tracings"], file["exam_id"] = (
            np.float32(read_ecg(real / "clinic.npy", rate=400, unit="mV", leads=LEADS).signal.T[None]),
            [7],
        )
    collection = Folder(table(real, "record,AF\none.h5,1\n"))
    assert collection.read("one.h5").record == "7"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "",
            r"no rate, unit or units, leads or channels, which clinic.npy \(row 1\) does not state; write for example "
            "'rate: 500'",
        ),
        ("rate: 400\nunit: mV\n", "no leads or channels, which clinic.npy"),
        ("rate: fast\n", "rate is 'fast'"),
        ("rate: -1\n", "rate is -1: Input should be greater than 0"),
        ("unit: kg\nleads: [I]\n", "unit is 'kg', which is not a unit of voltage; of leads expected V, mV, uV or nV"),
        ("leads: [I]\nchannels: [ppg]\n", "leads and channels mean the same; keep one"),
        ("channels: [a, b]\nunits: [g]\n", "1 units for 2 channels; expected one each"),
        ("units: [g]\n", "units are one a channel; give channels too, or one unit for all"),
        ("leads: [I, X]\n", "leads.1 is 'X': .*not one of the twelve leads"),
        ("labels: []\n", "labels is "),
        (
            "speed: 25\n",
            "speed is 25: Extra inputs are not permitted. It may state rate, unit, units, leads, channels, labels",
        ),
        ("- rate\n", "the file is "),
        ("rate: [\n", "cannot be read as YAML"),
    ],
)
def test_settings_that_are_wrong_or_missing_are_refused_by_key(real, settings, message):
    (real / "dataset.yaml").write_text(settings)
    with pytest.raises(DatasetError, match=rf"(?s)dataset.yaml: .*{message}"):
        Folder(table(real, "record,AF\nclinic.npy,1\n"))


def test_settings_do_not_touch_files_that_state_their_own(real):
    (real / "dataset.yaml").write_text("rate: 400\nunit: uV\nleads: [V1]\n")
    assert Folder(table(real, "record,AF\n00001_lr,1\n")).read("00001_lr").rate == 100


def test_settings_that_contradict_a_file_are_refused_when_it_is_read(real):
    (real / "dataset.yaml").write_text("rate: 400\nunit: V\n")
    with pytest.raises(FormatError, match="unit='V' was given"):
        Folder(table(real, "record,AF\ncart.csv,1\n")).read("cart.csv")


def test_two_tables_or_none_are_refused(records):
    with pytest.raises(DatasetError, match=r"neither of labels.csv and labels.tsv found; expected one of them"):
        Folder(records)
    table(table(records, "record,AF\n00000,1\n"), "record\tAF\n00000\t1\n", "labels.tsv")
    with pytest.raises(DatasetError, match=r"both of labels.csv and labels.tsv found"):
        Folder(records)


def test_a_table_beside_another_collection_does_not_make_it_a_folder(recordings, tmp_path):
    shutil.copytree(recordings / "code15", tmp_path, dirs_exist_ok=True)
    table(tmp_path, "record,exam_id,AF\nexams_part0.hdf5,438277,1\n")
    assert open_collection(tmp_path).name == "code15"
    assert open_collection(tmp_path, "folder").name == "folder"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "1.0", "true", "TRUE", "0", "0.0", "False", "", "unknown", "Unknown"]),
            st.sampled_from(["1", "0", "", "unknown"]),
        ),
        min_size=1,
    )
)
def test_every_spelling_of_a_label_keeps_its_value(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    path.write_text("record,AF,own\n" + "".join(f"r{n},{a},{b}\n" for n, (a, b) in enumerate(rows)))
    labels, _ = label_columns(read_label_table(path), path, ["AF", "own"])
    for number, cells in enumerate(rows):
        for name, cell in zip(("AF", "own"), cells, strict=True):
            text = cell.lower()
            expected = UNKNOWN if text in ("", "unknown") else PRESENT if text in ("1", "1.0", "true") else ABSENT
            assert labels[name][number] == expected
