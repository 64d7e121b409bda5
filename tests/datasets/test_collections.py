"""The contract of every collection, and opening one by its folder."""

import numpy as np
import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Collection, label_matrix, list_collections, open_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS

SIX = [finding.name for finding in CODE_FINDINGS]
FOLDERS = ("ptbxl-native", "code15")


def test_the_known_collections_state_their_source_and_licence():
    assert list(list_collections()) == ["challenge2020", "challenge2021", "chapman", "code15", "ptbxl"]
    for name, collection in list_collections().items():
        assert collection.name == name
        assert collection.source.startswith("https://doi.org/")
        assert collection.title
        assert collection.licence
        assert collection.looked_for


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_collection_keeps_the_contract(recordings, folder):
    collection = open_collection(recordings / folder)
    records = collection.records
    assert isinstance(collection, Collection)
    assert len(collection) == len(records) > 0
    assert records.index.is_unique
    assert all(isinstance(record, str) for record in records.index)
    assert all(isinstance(patient, str) for patient in records["patient"])
    assert all(isinstance(codes, frozenset) for codes in records["codes"])
    assert np.issubdtype(records["fold"].dtype, np.integer)
    labels = collection.labels(SIX)
    assert labels.shape == (len(records), 6)
    assert set(labels.ravel()) <= {PRESENT, ABSENT, UNKNOWN}
    for record in records.index[:3]:
        assert collection.read(record).leads == LEADS
        assert collection.path(record).parent.is_dir()
    assert repr(collection) == f"<{collection.title}: {len(records)} records in {recordings / folder}>"


@pytest.mark.parametrize("collection", list_collections().values(), ids=list_collections())
def test_the_six_findings_can_be_labelled_in_every_collection(collection):
    assert label_matrix([frozenset()], SIX, collection.scheme).shape == (1, 6)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: no such folder; give the folder that the publisher's archive"):
        open_collection(tmp_path / "nowhere")


def test_a_folder_that_holds_no_collection_is_refused_naming_what_is_looked_for(tmp_path):
    with pytest.raises(DatasetError, match=r"no collection is recognised here. What .*ptbxl: ptbxl_database.csv"):
        open_collection(tmp_path)


def test_an_unknown_name_is_refused_naming_those_there_are(tmp_path):
    with pytest.raises(DatasetError, match=f"no collection 'mimic'; there are {', '.join(list_collections())}"):
        open_collection(tmp_path, "mimic")


def test_a_name_is_taken_at_its_word(recordings):
    with pytest.raises(DatasetError, match=r"ptbxl_database.csv: not found"):
        open_collection(recordings / "code15", "ptbxl")


def test_a_finding_that_no_code_is_mapped_to_is_refused(recordings):
    with pytest.raises(DatasetError, match="no SCP code is mapped to WPW"):
        open_collection(recordings / "ptbxl-native").labels(["AF", "WPW"])
