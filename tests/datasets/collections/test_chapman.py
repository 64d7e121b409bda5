"""Chapman and Ningbo: labels from the headers of the records, and what those headers may lack."""

import shutil
import subprocess
import sys

import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Chapman, open_collection
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.findings import CODE_FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]
N_RECORDS = 24

# Read from `#Dx:` of the headers, in the order of SIX.
SHOWN = {
    "JS00001": "RBBB AF",
    "JS00002": "SB",
    "JS00004": "SB",
    "JS00005": "",  # atrial flutter, which is not fibrillation
    "JS00006": "SB",
    "JS00007": "AF",
    "JS00008": "",
    "JS00009": "SB",
    "JS00010": "SB",
    "JS00011": "SB",
    "JS00012": "ST",
    "JS00014": "SB",
    "JS00016": "AF",
    "JS00017": "SB",
    "JS00018": "RBBB SB",
    "JS00019": "1dAVb SB",
    "JS00021": "",
    "JS00022": "SB",
    "JS00024": "ST",
    "JS00025": "LBBB SB",
    "JS00027": "SB",
    "JS00029": "",
    "JS00030": "AF",
    "JS00031": "SB",
}


@pytest.fixture(scope="session")
def unpacked(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    command = [sys.executable, str(recordings / "unpack.py"), str(folder), "chapman", "--first", str(N_RECORDS)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "ecg-arrhythmia"


@pytest.fixture
def folder(unpacked, tmp_path):
    """Two of the records, to be altered."""
    for path in (unpacked / "WFDBRecords" / "01" / "010").glob("JS0000[12].*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_real_record_is_read(unpacked):
    collection = Chapman(unpacked)
    assert len(collection) == N_RECORDS
    for record in collection.records.index:
        ecg = collection.read(record)
        assert (ecg.rate, ecg.signal.shape, ecg.leads, ecg.record) == (500, (12, 5000), LEADS, record)


def test_labels_are_those_of_the_headers(unpacked):
    collection = Chapman(unpacked)
    found = {
        record: " ".join(name for name, value in zip(SIX, row, strict=True) if value == PRESENT)
        for record, row in zip(collection.records.index, collection.labels(SIX), strict=True)
    }
    assert found == SHOWN


def test_a_block_of_unstated_degree_leaves_1davb_unknown(unpacked):
    """JS00029: atrial flutter (164890007) and an atrioventricular block (233917008)."""
    collection = Chapman(unpacked)
    labels = collection.labels(SIX)[collection.records.index.get_loc("JS00029")]
    assert dict(zip(SIX, labels, strict=True)) == dict.fromkeys(SIX, ABSENT) | {"1dAVb": UNKNOWN}


def test_each_record_is_a_patient_and_there_are_no_folds(unpacked):
    records = Chapman(unpacked).records
    assert records["patient"].tolist() == records.index.tolist()
    assert set(records["fold"]) == {0}


def test_it_is_recognised_by_its_headers_from_either_folder(unpacked):
    for folder in (unpacked, unpacked / "WFDBRecords"):
        collection = open_collection(folder)
        assert isinstance(collection, Chapman)
        assert len(collection) == N_RECORDS
        assert collection.read("JS00001").record == "JS00001"


def test_a_header_without_diagnoses_is_refused_by_name(folder):
    replace(folder / "JS00002.hea", "#Dx:", "#Rhythm:")
    with pytest.raises(DatasetError, match=r"JS00002.hea: no line '#Dx:' with SNOMED codes, nor in 0 more headers"):
        Chapman(folder)


@pytest.mark.parametrize("stated", ["", "Unknown", ","])
def test_a_diagnosis_without_a_code_leaves_every_label_unknown(folder, stated):
    replace(folder / "JS00002.hea", "#Dx: 426177001,164934002", f"#Dx: {stated}")
    assert Chapman(folder).labels(SIX).tolist() == [[ABSENT, PRESENT, ABSENT, ABSENT, ABSENT, PRESENT], [UNKNOWN] * 6]


@pytest.mark.parametrize("line", ["# Dx: 164889003 , 59118001", "#Dx:164889003,59118001", "#\tDx : 59118001,164889003"])
def test_spaces_in_the_line_of_diagnoses_do_not_matter(folder, line):
    replace(folder / "JS00001.hea", "#Dx: 164889003,59118001,164934002", line)
    assert Chapman(folder).records.loc["JS00001", "codes"] == {"164889003", "59118001"}


def test_the_two_malformed_headers_of_the_archive_keep_their_labels_and_are_refused_on_reading(folder):
    """JS01052 and JS23074 are published without the line break that ends the record line."""
    replace(folder / "JS00002.hea", "500 5000\n", "500 5000")
    collection = Chapman(folder)
    assert collection.labels(["SB"]).tolist() == [[ABSENT], [PRESENT]]
    with pytest.raises(FormatError, match=r"JS00002"):
        collection.read("JS00002")
    assert collection.read("JS00001").n_leads == 12


def test_a_record_that_occurs_twice_is_refused(folder):
    (folder / "again").mkdir()
    shutil.copy(folder / "JS00001.hea", folder / "again")
    with pytest.raises(DatasetError, match="record JS00001 occurs more than once"):
        Chapman(folder)


def test_the_two_hospitals_are_parts_and_ningbo_does_not_tell_flutter_from_fibrillation(folder):
    for old, new in (("JS00001", "JS10646"), ("JS00002", "JS10647")):
        (folder / f"{old}.hea").rename(folder / f"{new}.hea")
    replace(folder / "JS10647.hea", "#Dx: 426177001,164934002", "#Dx: 164890007")
    collection = Chapman(folder)
    assert collection.records["part"].to_dict() == {"JS10646": "chapman_shaoxing", "JS10647": "ningbo"}
    assert collection.labels(["AF", "AFL", "SB"]).tolist() == [[PRESENT, ABSENT, ABSENT], [UNKNOWN, UNKNOWN, ABSENT]]


def test_records_under_other_names_are_not_taken_for_chapman(unpacked, folder):
    assert Chapman.recognises(folder)  # JS00001 and JS00002 by themselves
    (folder / "JS00002.hea").rename(folder / "A0002.hea")
    with pytest.raises(DatasetError, match=r"A0002.hea: not a record of Chapman.*called JS00001 to JS45551; nor are 0"):
        Chapman(folder)
    assert Chapman.recognises(unpacked)


def test_other_wfdb_records_with_diagnoses_are_not_taken_for_chapman(tmp_path):
    write_wfdb(tmp_path, synthetic_collection(2, findings=["AF"], duration=2))
    assert not Chapman.recognises(tmp_path)
    assert open_collection(tmp_path).name == "folder"


def test_a_folder_without_headers_is_refused(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no WFDB headers \(\*.hea\) below it; expected WFDBRecords/01/010/JS00001.hea"
    ):
        Chapman(tmp_path)


def test_a_record_that_it_does_not_have_is_refused_by_name(folder):
    with pytest.raises(DatasetError, match="has no record 'JS99999' here"):
        Chapman(folder).read("JS99999")
