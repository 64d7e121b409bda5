"""Recordings in object storage, by an S3 server over HTTP: found, fetched and read as on this machine."""

import shutil

import numpy as np
import pandas as pd
import pytest

from cli.conftest import made_bundle
from ecoscale.datasets import open_collection
from ecoscale.datasets.layouts import write_code15, write_wfdb
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.synthetic import synthetic_collection, synthetic_ecg
from ecoscale.errors import DatasetError, FormatError, StorageError
from ecoscale.formats import find_recordings
from ecoscale.formats.writing import write_ecg
from ecoscale.formats.writing.parquet_records import write_records
from ecoscale.inference import Classifier, Failure
from ecoscale.preparation import Preparation
from ecoscale.sources import fetched, find_records, from_row, to_row
from ecoscale.sources.remote import FETCHED_AHEAD
from ecoscale.storage import filesystem

PREPARATION = Preparation()


@pytest.fixture
def found(monkeypatch, tmp_path):
    """The records at URLs, in the order of their names."""
    monkeypatch.setenv("ECOSCALE_CACHE", str(tmp_path / "cache"))
    return lambda *urls, **options: list(find_records(urls, PREPARATION, options.pop("options", None), **options))


def named(records, url):
    return [(str(each.path).removeprefix(f"{url}/"), each.record) for each in records]


@pytest.fixture
def mixed(tmp_path):
    """A folder of recordings in several formats, and of files that are none."""
    folder = tmp_path / "mixed"
    write_wfdb(folder / "a" / "b", [synthetic_ecg(seed=1, record="r1"), synthetic_ecg(seed=2, record="r2")])
    ecg = synthetic_ecg(("AF",), seed=3, record="c").ecg
    for name in ("c.dcm", "d.edf", "e.parquet"):
        write_ecg(ecg, folder / name)
    write_records([made.ecg for made in synthetic_collection(3, seed=4, rate=100)], folder / "many.parquet")
    (folder / "README.txt").write_text("Not a recording\n")
    (folder / ".hidden.hea").write_text("junk\n")
    (folder / "broken.hea").write_text("junk\n")
    pd.DataFrame({"record": ["a"], "AF": [1]}).to_parquet(folder / "labels.parquet")
    return folder


def test_what_is_found_and_read_is_what_is_on_this_machine(mixed, bucket, found):
    url = bucket.put_folder("archive", mixed)
    here = {(each.path.relative_to(mixed).as_posix(), each.record): each for each in find_recordings([mixed])}
    there = found(url)
    assert sorted(named(there, url), key=str) == sorted(here, key=str)
    for record in fetched(there):
        local = here[(str(record.path).removeprefix(f"{url}/"), record.record)]
        try:
            expected = local.read()
        except FormatError:
            with pytest.raises(FormatError, match=f"^{record.path}: .*WFDB header"):
                record.read()
            continue
        read = record.read()
        np.testing.assert_array_equal(read.signal, expected.signal)
        assert (read.rate, read.leads, read.record) == (expected.rate, expected.leads, expected.record)
        assert read.source == record.path


def test_a_record_that_was_written_down_is_read_again(mixed, bucket, found):
    url = bucket.put_folder("archive", mixed)
    for record in found(url):
        again = from_row(to_row(record), record.options)
        assert again == record


def test_a_file_and_a_pattern_may_be_named(mixed, bucket, found):
    url = bucket.put_folder("archive", mixed)
    assert named(found(f"{url}/c.dcm"), url) == [("c.dcm", None)]
    assert named(found(f"{url}/a/b/*.hea"), url) == [("a/b/r1.hea", None), ("a/b/r2.hea", None)]


def test_where_nothing_is_is_an_error_and_so_is_a_folder_without_recordings(bucket, found):
    with pytest.raises(StorageError, match="nothing is there"):
        found(f"{bucket.url}/nowhere")
    url = bucket.put("notes/README.txt", b"Not a recording\n").removesuffix("/README.txt")
    with pytest.raises(StorageError, match="holds no recording"):
        found(url)


def test_a_record_that_is_gone_fails_and_the_others_go_on(tmp_path, bucket, found):
    write_wfdb(tmp_path / "x", [synthetic_ecg(seed=1, record="r1"), synthetic_ecg(seed=2, record="r2")])
    records = found(bucket.put_folder("x", tmp_path / "x"))
    bucket._client.delete_object(Bucket=bucket.name, Key="x/r1.hea")
    first, second = fetched(records)
    with pytest.raises(FormatError, match=rf"{bucket.url}/x/r1\.hea: the file cannot be read"):
        first.read()
    assert second.read().record == "r2"


def test_storage_that_cannot_be_reached_is_no_fault_of_a_record(tmp_path, bucket, found, monkeypatch):
    write_wfdb(tmp_path / "x", [synthetic_ecg(seed=1, record="r1")])
    records = found(bucket.put_folder("x", tmp_path / "x"))

    def unplugged(*_):
        raise OSError("network is unreachable")

    monkeypatch.setattr(filesystem(bucket.url)[0], "get_file", unplugged)
    with pytest.raises(StorageError, match=r"cannot be reached .*network is unreachable"):
        list(fetched(records))


def test_few_are_fetched_ahead_and_what_was_fetched_is_gone_when_it_was_read(tmp_path, bucket, found, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    ecg = synthetic_ecg(seed=1, record="r").ecg
    write_ecg(ecg, tmp_path / "r.dcm")
    content = (tmp_path / "r.dcm").read_bytes()
    for number in range(FETCHED_AHEAD + 20):
        bucket.put(f"x/{number:03}.dcm", content)
    most = 0
    for record in fetched(found(f"{bucket.url}/x")):
        record.read()
        most = max(most, len(list(scratch.iterdir())))
        del record
    assert most <= FETCHED_AHEAD + 1
    assert not list(scratch.iterdir())


def test_an_hdf5_of_many_exams_is_copied_once(tmp_path, bucket, found):
    write_code15(tmp_path / "code15", 6, seed=3, compression=None)
    url = bucket.put_folder("code15", tmp_path / "code15")
    local = {each.record: each for each in find_recordings([tmp_path / "code15"])}
    records = found(url)
    assert {each.record for each in records} == local.keys()
    for record in list(fetched(records))[1:3]:  # the first is empty
        np.testing.assert_array_equal(record.read().signal, local[record.record].read().signal)
    assert len(list((tmp_path / "cache").rglob("exams_part*.hdf5"))) == len(list((tmp_path / "code15").glob("*.hdf5")))


@pytest.fixture(scope="module")
def made_store(tmp_path_factory):
    """A prepared store of 140 exams, in two blocks."""
    folder = tmp_path_factory.mktemp("stored")
    write_code15(folder / "code15", 140, seed=3, compression=None)
    return prepare(open_collection(folder / "code15", "code15"), PREPARATION, folder / "store", workers=1)


@pytest.fixture
def store(made_store, bucket):
    """The store, here and at a URL."""
    return made_store, bucket.put_folder("store", made_store.path)


def test_a_store_at_a_url_is_read_by_blocks_to_the_same_rows(store, tmp_path, found):
    made, url = store
    classifier = Classifier.load(made_bundle(tmp_path / "bundle"), threads=1)
    both = [list(classifier.classify(find_records([place], PREPARATION), workers=0)) for place in (made.path, url)]
    assert len(both[0]) == len(made.manifest.unreadable) + len(made) == 140
    for here, there in zip(*both, strict=True):
        if isinstance(here, Failure):
            assert (there.record, there.source) == (here.record, url)
            continue
        assert there[1].findings == here[1].findings
        assert there[1].warnings == here[1].warnings
        assert (there[1].source, there[1].record) == (url, here[1].record)
    assert not list((tmp_path / "cache").rglob("signals.npy"))


def test_a_damaged_block_of_a_store_at_a_url_fails_its_records_by_name(store, bucket, found):
    made, url = store
    content = bytearray((made.path / "signals.npy").read_bytes())
    content[-1] ^= 1
    bucket.put("store/signals.npy", bytes(content))
    records = found(url)
    first = next(each for each in records if made.records.loc[each.record, "row"] == 0)
    last = next(each for each in records if made.records.loc[each.record, "row"] >= 128)
    assert first.read().n_samples == 1000
    with pytest.raises(DatasetError, match="rows 128 to 139 are not what was written"):
        last.read()


def test_a_file_url_is_read_in_place(mixed, found):
    url = f"file://{mixed}"
    assert ("a/b/r1.hea", None) in named(found(url), url)
    shutil.rmtree(mixed)
