"""Prepared stores and collections at URLs, by an S3 server over HTTP."""

import numpy as np
import pytest

from ecoscale.datasets import open_collection
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.remote import local_folder, prepare_at_url
from ecoscale.datasets.store import open_store
from ecoscale.errors import DatasetError, StorageError
from ecoscale.preparation import Preparation

PREPARATION = Preparation(rate=100, window=300, highpass=None, leads=("I", "V2"))


@pytest.fixture(scope="module")
def store(code15, tmp_path_factory):
    return prepare(open_collection(code15, "code15"), PREPARATION, tmp_path_factory.mktemp("made") / "store", workers=1)


def test_a_folder_is_itself(code15):
    assert local_folder(code15) == local_folder(str(code15)) == code15
    assert local_folder(code15.as_uri()) == code15


def test_a_store_at_a_url_is_read_as_one_in_a_folder(bucket, store, tmp_path):
    copy = open_store(local_folder(bucket.put_folder("stores/code15", store.path), tmp_path))
    np.testing.assert_array_equal(copy.read(np.arange(len(copy))), store.read(np.arange(len(store))))
    assert isinstance(copy.signals, np.memmap)
    assert copy.labels(["AF", "ST"]).tolist() == store.labels(["AF", "ST"]).tolist()


def test_a_damaged_store_at_a_url_is_refused_with_the_rows_and_not_kept(bucket, store, tmp_path):
    url = bucket.put_folder("store", store.path)
    content = bytearray(bucket.get("store/signals.npy"))
    content[-1] ^= 1
    bucket.put("store/signals.npy", bytes(content))
    with pytest.raises(StorageError, match=r"rows 0 to 119 of signals.npy are not what was written.*upload it again"):
        local_folder(url, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_collection_at_a_url_is_opened_as_one_in_a_folder(bucket, code15, tmp_path):
    copy = open_collection(local_folder(bucket.put_folder("code15", code15), tmp_path))
    assert copy.records.index.tolist() == open_collection(code15).records.index.tolist()


def test_a_store_is_made_for_a_url_once(bucket, code15, store, tmp_path):
    url, collection = f"{bucket.url}/stores/code15", open_collection(code15)
    made = prepare_at_url(collection, PREPARATION, url, cache=tmp_path, workers=1, verify=True)
    for name in ("manifest.json", "records.parquet", "signals.npy"):
        assert (
            bucket.get(f"stores/code15/{name}") == (store.path / name).read_bytes() == (made.path / name).read_bytes()
        )
    assert len(bucket.keys()) == 3

    def unexpected(*_):
        raise AssertionError("something is made or copied")

    assert prepare_at_url(collection, PREPARATION, url, cache=tmp_path, progress=unexpected).path == made.path


def test_another_store_at_the_url_is_not_replaced(bucket, code15, store):
    url = bucket.put_folder("store", store.path)
    with pytest.raises(DatasetError, match=r"s3://.*/store: holds another store \(preparation is .*choose another"):
        prepare_at_url(open_collection(code15), PREPARATION.model_copy(update={"rate": 50}), url)
    url = bucket.put("other/manifest.json", b"{}").removesuffix("/manifest.json")
    with pytest.raises(DatasetError, match="not the manifest of a prepared store; choose another place"):
        prepare_at_url(open_collection(code15), PREPARATION, url)
