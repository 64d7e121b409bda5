"""Files at URLs, by an S3 server over HTTP, and copies of them on this machine."""

import random
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from s3fs import S3FileSystem

from ecoscale import storage
from ecoscale.errors import DatasetError, MissingExtraError, StorageError
from ecoscale.storage import files_below, filesystem, is_url, local_copy, read_whole, upload, write_whole
from publisher import Fault


@pytest.mark.parametrize(
    "url", ["s3://bucket/store", "gs://b/x", "az://b/x", "https://host/x", "memory://x", "file:///x"]
)
def test_a_text_with_a_scheme_is_a_url(url):
    assert is_url(url)


@pytest.mark.parametrize(
    "path", ["stores/ptbxl", "/data/store", "C:\\data", "C://data", "s3:/bucket", "~/x", "", "//host/share"]
)
def test_a_path_is_none_on_any_system(path):
    assert not is_url(path)


def test_files_below_a_url_are_named_relative_to_it(bucket):
    for key in ("stores/a/signals.npy", "stores/a/deep/er.txt", "stores/ab/other.npy"):
        bucket.put(key, b"12345")
    found = files_below(f"{bucket.url}/stores/a")
    assert [(file.name, file.size) for file in found] == [("deep/er.txt", 5), ("signals.npy", 5)]


def test_what_is_written_is_read(bucket):
    write_whole(f"{bucket.url}/results/part-0.parquet", b"rows")
    assert read_whole(f"{bucket.url}/results/part-0.parquet") == b"rows"
    assert bucket.get("results/part-0.parquet") == b"rows"


def test_a_folder_is_copied_once(bucket, tmp_path):
    bucket.put("store/a.bin", b"a" * 1000)
    bucket.put("store/b/c.bin", b"")
    copy = local_copy(f"{bucket.url}/store", tmp_path)
    assert {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == {
        "a.bin": b"a" * 1000,
        "b/c.bin": b"",
    }
    before = (copy / "a.bin").stat().st_mtime_ns
    assert local_copy(f"{bucket.url}/store/", tmp_path) == copy
    assert (copy / "a.bin").stat().st_mtime_ns == before


def test_nothing_at_a_url_says_what_to_check(bucket):
    with pytest.raises(StorageError, match="s3://no-such-bucket/store: nothing is there"):
        files_below("s3://no-such-bucket/store")
    with pytest.raises(StorageError, match="nothing is there"):
        files_below(f"{bucket.url}/store")
    with pytest.raises(StorageError, match="nothing is there"):
        read_whole(f"{bucket.url}/store")


def test_a_url_of_one_file_is_copied_as_one(bucket, tmp_path):
    copy = local_copy(bucket.put("store/a.bin", b"abc"), tmp_path)
    assert (copy.name, copy.read_bytes()) == ("a.bin", b"abc")


def test_what_changed_at_a_url_is_copied_anew_beside_the_old(bucket, tmp_path):
    url = bucket.put("a.bin", b"old")
    old = local_copy(url, tmp_path)
    bucket.put("a.bin", b"new")
    assert (local_copy(url, tmp_path).read_bytes(), old.read_bytes()) == (b"new", b"old")


@pytest.fixture
def in_pieces_of_1000_bytes(monkeypatch):
    monkeypatch.setattr(storage, "PIECE", 1000)


class InterruptedHereError(Exception):
    pass


def test_an_interrupted_copy_goes_on_where_it_stopped(bucket, tmp_path, in_pieces_of_1000_bytes):
    content = random.Random(1).randbytes(9500)
    bucket.put("store/a.bin", content)
    bucket.put("store/b.bin", content[::-1])
    totals = []

    def interrupting(pieces, description, total):
        totals.append(total)
        for number, piece in enumerate(pieces):
            if number == 13 and len(totals) == 1:
                raise InterruptedHereError
            yield piece

    with pytest.raises(InterruptedHereError):
        local_copy(f"{bucket.url}/store", tmp_path, progress=interrupting)
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".partial", ".lock")]
    copy = local_copy(f"{bucket.url}/store", tmp_path, progress=interrupting)
    assert totals == [20, 7]
    assert ((copy / "a.bin").read_bytes(), (copy / "b.bin").read_bytes()) == (content, content[::-1])


def test_what_changes_while_it_is_copied_is_refused(bucket, tmp_path):
    bucket.put("store/a.bin", b"a" * 10)

    def meanwhile(pieces, *_):
        bucket.put("store/a.bin", b"b" * 10)
        return pieces

    with pytest.raises(StorageError, match="it changed while it was copied"):
        local_copy(f"{bucket.url}/store", tmp_path, progress=meanwhile)
    assert (local_copy(f"{bucket.url}/store", tmp_path) / "a.bin").read_bytes() == b"b" * 10


def test_a_copy_that_is_not_whole_is_taken_away(bucket, tmp_path):
    url = bucket.put("store/a.bin", b"damaged")

    def check(copy):
        if copy.read_bytes() == b"damaged":
            raise DatasetError("row 3 is not what was written")

    with pytest.raises(StorageError, match=r"not whole \(row 3 is not what was written\); upload it again"):
        local_copy(url, tmp_path, check=check)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]
    bucket.put("store/a.bin", b"mended")
    assert local_copy(url, tmp_path, check=check).read_bytes() == b"mended"


def test_who_wants_the_same_copy_meanwhile_waits_for_it(bucket, tmp_path):
    bucket.put("store/a.bin", b"a")
    copying, go_on = threading.Event(), threading.Event()
    copied_by = []

    def slowly(pieces, *_):
        copied_by.append(threading.current_thread().name)
        copying.set()
        assert go_on.wait(60)
        return pieces

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(local_copy, f"{bucket.url}/store", tmp_path, progress=slowly)
        assert copying.wait(60)
        second = pool.submit(local_copy, f"{bucket.url}/store", tmp_path, progress=slowly)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        assert first.result(60) == second.result(60)
    assert len(copied_by) == 1


def test_a_disk_too_small_is_found_out_before_anything_is_copied(bucket, tmp_path, monkeypatch):
    url = bucket.put("store/a.bin", b"a" * 1000)
    usage = shutil.disk_usage(tmp_path)._replace(free=999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        StorageError, match=r"0.00 GB are free there; make room, or choose another folder \(ECOSCALE_CACHE"
    ):
        local_copy(url, tmp_path)


def test_copies_lie_where_the_environment_says(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("ECOSCALE_CACHE", str(tmp_path / "node-local"))
    assert local_copy(bucket.put("a.bin", b"a")).is_relative_to(tmp_path / "node-local")


def test_a_file_url_is_read_in_place(tmp_path):
    assert local_copy(tmp_path.as_uri(), tmp_path / "cache") == tmp_path
    write_whole((tmp_path / "results" / "a.bin").as_uri(), b"whole")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["a.bin"]
    assert read_whole((tmp_path / "results" / "a.bin").as_uri()) == b"whole"


def test_any_file_system_of_fsspec_is_copied_from(tmp_path):
    for name in ("a.bin", "deep/b.bin", "deep/er/c.bin"):
        write_whole(f"memory://store/{name}", name.encode())
    copy = local_copy("memory://store", tmp_path)
    assert (copy / "deep" / "er" / "c.bin").read_bytes() == b"deep/er/c.bin"
    assert [file.name for file in files_below("memory://store")] == ["a.bin", "deep/b.bin", "deep/er/c.bin"]


def test_what_a_web_server_publishes_is_copied(publisher, tmp_path, in_pieces_of_1000_bytes):
    publisher.files["/store/a.bin"] = content = random.Random(1).randbytes(2500)
    publisher.files["/store"] = b'<a href="a.bin">a.bin</a>'
    assert local_copy(f"{publisher.url}/store/a.bin", tmp_path).read_bytes() == content
    assert (local_copy(f"{publisher.url}/store", tmp_path) / "a.bin").read_bytes() == content


def test_a_web_server_that_sends_whole_files_only_is_named(publisher, tmp_path, in_pieces_of_1000_bytes):
    publisher.files["/a.bin"] = bytes(2500)
    publisher.always["/a.bin"] = Fault(ignore_range=True)
    with pytest.raises(
        StorageError, match=r"2500 bytes came, 1000 were asked for; does this server send parts of files"
    ):
        local_copy(f"{publisher.url}/a.bin", tmp_path)


def test_a_name_that_leads_out_of_the_folder_is_refused(bucket, tmp_path):
    bucket.put("store/a/../../../evil", b"x")
    with pytest.raises(StorageError, match="a name that leads out of the folder"):
        local_copy(f"{bucket.url}/store", tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foo://bucket/x", "Protocol not known: foo; expected s3://, gs://, az://, https:// or file://"),
        ("az://bucket/x", "needs the package 'adlfs'; install it with: pip install adlfs"),
    ],
)
def test_a_scheme_without_a_file_system_is_refused(url, said):
    with pytest.raises(StorageError, match=re.escape(said)):
        files_below(url)


def test_the_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match=r"gs://bucket/x needs the package 'gcsfs'.*'ecoscale\[cloud\]'"):
        filesystem("gs://bucket/x")


def test_who_is_not_signed_in_is_told_what_to_set(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(
        StorageError, match=r"Unable to locate credentials.*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    ):
        files_below(f"{bucket.url}/store")
    S3FileSystem.clear_instance_cache()


def test_a_server_that_does_not_answer_is_named(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"s3://.*: cannot be reached .*127\.0\.0\.1:9"):
        files_below(f"{bucket.url}/store")
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    for name in ("a.bin", "manifest.json", "z.bin"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_an_uploaded_folder_is_whole_when_its_last_file_is_there_and_is_this_machines_copy(bucket, made, tmp_path):
    seen = []

    def watched(names, *_):
        for name in names:
            yield name
            seen.append(bucket.keys())

    copy = upload(made, f"{bucket.url}/store", last="manifest.json", cache=tmp_path / "cache", progress=watched)
    assert [len(keys) for keys in seen] == [1, 2, 3]
    assert "store/manifest.json" not in seen[1]
    assert not made.exists()
    assert local_copy(f"{bucket.url}/store", tmp_path / "cache", progress=unexpected) == copy
    assert (copy / "a.bin").read_bytes() == bucket.get("store/a.bin") == b"a.bin"


def test_uploading_makes_no_bucket(object_storage, bucket, made):
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/store \(a.bin\): nothing is there"):
        upload(made, "s3://no-such-bucket/store", last="manifest.json")


def unexpected(*_):
    raise AssertionError("something is copied")


def test_a_folder_is_uploaded_to_a_shared_file_system_too(made, tmp_path):
    place = tmp_path / "shared" / "store"
    assert upload(made, place.as_uri(), last="manifest.json") == place
    assert sorted(path.name for path in place.iterdir()) == ["a.bin", "manifest.json", "z.bin"]
