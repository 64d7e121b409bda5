"""The contract of every collection, and opening one by its folder."""

import pickle

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, Collection, list_collections, open_collection
from ecoscale.datasets.checking import check_collection
from ecoscale.datasets.layouts import (
    write_challenge,
    write_challenge2025,
    write_code_test,
    write_ludb,
    write_samitrop,
    write_sph,
    write_wfdb,
)
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.synthetic import synthetic_collection
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.preparation import Preparation

SIX = [finding.name for finding in CODE_FINDINGS]
REAL = {"code15": "code15", "ptbxl": "ptbxl-native"}
WRITTEN = {
    "challenge2020": lambda folder: write_challenge(folder, 2, sources=["ptb", "georgia"]),
    "challenge2021": lambda folder: write_challenge(folder, 2, incart_duration=20),
    "chapman": lambda folder: write_challenge(folder, 3, sources=["chapman_shaoxing"]),
    "challenge2025": lambda folder: write_challenge2025(folder, 2),
    "code_test": lambda folder: write_code_test(folder, 4),
    "folder": lambda folder: write_wfdb(folder, synthetic_collection(3)),
    "ludb": lambda folder: write_ludb(folder, 2),
    "sph": lambda folder: write_sph(folder, 3),
    "samitrop": lambda folder: write_samitrop(folder, 3),
}

# wfdb's own import and table code warn with a recent pandas; nothing here can answer for that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")


@pytest.fixture(params=[*REAL, *WRITTEN])
def collection(request, tmp_path):
    """Each collection, from real recordings where some are at hand, else as its layout is written."""
    name = request.param
    if name in REAL:
        folder = request.getfixturevalue("recordings") / REAL[name]
    else:
        folder = tmp_path
        WRITTEN[name](folder)
    return open_collection(folder, name)


def test_all_of_them_are_tried_here():
    assert sorted([*REAL, *WRITTEN]) == list(list_collections())


def test_the_known_collections_state_their_source_and_licence():
    assert list(list_collections()) == [
        *("challenge2020", "challenge2021", "challenge2025", "chapman", "code15", "code_test", "folder", "ludb"),
        *("ptbxl", "samitrop", "sph"),
    ]
    for name, collection in list_collections().items():
        assert collection.name == name
        assert collection.source.startswith("https://doi.org/") or name == "folder"
        assert collection.title
        assert collection.licence
        assert collection.looked_for


def test_collections_with_recordings_in_common_name_each_other():
    collections = list_collections()
    for name, cls in collections.items():
        for other in cls.shares_records_with:
            assert name in collections[other].shares_records_with, (name, other)


def test_a_collection_keeps_the_contract(collection):
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
        assert pickle.loads(pickle.dumps(collection.recording(record))) == collection.recording(record)
    assert repr(collection) == f"<{collection.title}: {len(records)} records in {collection.directory}>"


def test_a_collection_is_checked_and_prepared(collection, tmp_path):
    check = check_collection(collection)
    assert (check.records, check.readable) == (len(collection), len(collection) - unread(check))
    store = prepare(collection, Preparation(window=500), tmp_path / "store")
    assert len(store) == check.readable
    where = collection.records.index.get_indexer(store.records.index)
    findings = [*SIX, *collection.findings]
    np.testing.assert_array_equal(store.labels(findings), collection.labels(findings)[where])
    for task in collection.tasks:
        expected = collection.labels(task.names, task.name)[where]
        np.testing.assert_array_equal(store.labels(task.names, task.name), expected)


def unread(check):
    return sum(one.count for one in check.observations if one.code in ("unreadable", "empty"))


@pytest.mark.parametrize("collection", list_collections().values(), ids=list_collections())
def test_the_six_findings_can_be_labelled_in_every_collection(collection):
    nothing_said = pd.DataFrame({"codes": [frozenset()]}, index=["record"])
    labels = collection.label(nothing_said, SIX)
    assert labels.shape == (1, 6)
    assert set(labels.ravel()) <= {ABSENT, UNKNOWN}


def test_what_a_collection_does_not_annotate_is_unknown_though_its_scheme_has_no_code_for_it(tmp_path):
    write_samitrop(tmp_path, 2)
    assert open_collection(tmp_path).labels(["AF", "Chagas", "SB"]).tolist() == [[UNKNOWN, PRESENT, UNKNOWN]] * 2


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
