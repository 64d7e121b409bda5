"""Files at URLs, by an S3 server over HTTP, and copies of them on this machine."""

import pytest

from ecoscale.errors import StorageError
from ecoscale.storage import files_below, is_url, local_copy, read_whole, write_whole


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
