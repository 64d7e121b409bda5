"""Listings of PhysioNet, Zenodo and figshare: read as they are, refused when they would lead out of the folder."""

import hashlib
import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale import __version__
from ecoscale.datasets import Archive, RemoteFile, list_collections, list_files
from ecoscale.datasets.archive import BASE_URLS, estimated_sizes, published_path
from ecoscale.datasets.transfer import open_session
from ecoscale.errors import DatasetError
from publisher import Fault, zenodo_path

PHYSIONET = Archive("physionet", "ptb-xl/1.0.3", 1000)
ZENODO = Archive("zenodo", "4916206", 1000)
FIGSHARE = Archive("figshare", "5779802", 1000)
DIGEST = "ab" * 32


def listed(archive, base):
    """The listing, without waiting between attempts."""
    with open_session(backoff=0) as session:
        return list_files(archive, base, session=session)


def test_physionet_is_listed_by_its_sums_each_path_quoted(publisher):
    base = publisher.physionet("ptb-xl/1.0.3", {"RECORDS": b"1", "records100/a b#.dat": b"22"})
    first, second = listed(PHYSIONET, base)
    assert first == RemoteFile(
        "RECORDS", f"{base}/ptb-xl/1.0.3/RECORDS", None, f"sha256:{hashlib.sha256(b'1').hexdigest()}"
    )
    assert second.path == "records100/a b#.dat"
    assert second.url.endswith("/ptb-xl/1.0.3/records100/a%20b%23.dat")


def test_sums_in_binary_form_and_empty_lines_are_read(publisher):
    publisher.files["/files/ptb-xl/1.0.3/SHA256SUMS.txt"] = f"\n{DIGEST.upper()} *./a.dat\r\n\n".encode()
    (file,) = listed(PHYSIONET, f"{publisher.url}/files")
    assert (file.path, file.checksum) == ("a.dat", f"sha256:{DIGEST}")


@pytest.mark.parametrize("text", ["<html>", f"{DIGEST[:-1]}  a", DIGEST])
def test_sums_that_are_none_are_refused_with_the_line(publisher, text):
    publisher.files["/files/ptb-xl/1.0.3/SHA256SUMS.txt"] = f"{DIGEST}  a\n{text}\n".encode()
    with pytest.raises(DatasetError, match=r"SHA256SUMS.txt: line 2 is .*expected a SHA-256 and a path"):
        listed(PHYSIONET, f"{publisher.url}/files")


def test_zenodo_is_listed_by_its_interface_and_a_mirror_is_asked_for_the_files(publisher):
    base = publisher.zenodo("4916206", {"exams.csv": b"csv", "exams_part0.zip": b"zip!"})
    files = listed(ZENODO, base)
    assert [(file.path, file.size) for file in files] == [("exams.csv", 3), ("exams_part0.zip", 4)]
    assert files[0].checksum == f"md5:{hashlib.md5(b'csv').hexdigest()}"
    assert files[0].url == publisher.url + zenodo_path("4916206", "exams.csv")


def test_a_link_to_elsewhere_is_left_as_it_is(publisher):
    row = {"key": "a", "size": 1, "checksum": "md5:" + "0" * 32, "links": {"self": "https://elsewhere.org/a"}}
    publisher.files["/api/records/4916206"] = json.dumps({"files": [row]}).encode()
    assert listed(ZENODO, f"{publisher.url}/api")[0].url == "https://elsewhere.org/a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "not a Zenodo record with its files"),
        ({"files": []}, "lists no files of 4916206; is access to them restricted"),
        ({"files": [{"key": "a"}]}, "not a Zenodo record with its files"),
        (
            {"files": [{"key": "a", "size": 1, "checksum": "crc:0", "links": {"self": "x"}}]},
            "a has checksum 'crc:0'; expected md5:... or sha256:...",
        ),
    ],
)
def test_a_record_that_is_none_is_refused(publisher, content, message):
    publisher.files["/api/records/4916206"] = json.dumps(content).encode()
    with pytest.raises(DatasetError, match=message):
        listed(ZENODO, f"{publisher.url}/api")


def test_a_page_in_place_of_json_is_refused_with_its_beginning(publisher):
    publisher.files["/api/records/4916206"] = b"<html>sign in</html>"
    with pytest.raises(DatasetError, match=r"records/4916206: expected JSON, found '<html>sign in"):
        listed(ZENODO, f"{publisher.url}/api")


def test_a_figshare_collection_is_all_its_articles(publisher):
    base = publisher.figshare("5779802", {11: {"records.tar.gz": b"tar"}, 12: {"metadata.csv": b"m", "code.csv": b"c"}})
    files = listed(FIGSHARE, base)
    assert [file.path for file in files] == ["records.tar.gz", "metadata.csv", "code.csv"]
    assert files[0].checksum == f"md5:{hashlib.md5(b'tar').hexdigest()}"
    assert files[0].url == f"{publisher.url}/files/110"


@pytest.mark.parametrize("at_a_time", [1000, 100, 10_000])
def test_a_figshare_article_is_listed_over_all_its_pages(publisher, at_a_time):
    publisher.most_rows = at_a_time
    base = publisher.figshare("1", {11: {f"{number}.csv": b"x" for number in range(1001)}})
    assert len(listed(Archive("figshare", "articles/11", 1), base)) == 1001


def test_a_mirror_of_plain_files_that_knows_no_pages_is_listed_once(publisher):
    base = publisher.figshare("1", {11: {"a.csv": b"x"}})
    publisher.always["/v2/articles/11/files"] = Fault(content=b" " + publisher.files["/v2/articles/11/files"])
    assert len(listed(Archive("figshare", "articles/11", 1), base)) == 1


def test_a_figshare_file_without_checksum_says_so(publisher):
    base = publisher.figshare("5779802", {11: {"a": b"x"}})
    path = "/v2/articles/11/files"
    (row,) = json.loads(publisher.files[path])
    publisher.files[path] = json.dumps([row | {"computed_md5": "", "supplied_md5": ""}]).encode()
    assert listed(FIGSHARE, base)[0].checksum is None


def test_what_is_no_figshare_list_is_refused(publisher):
    publisher.files["/v2/collections/5779802/articles"] = b'{"message": "no"}'
    with pytest.raises(DatasetError, match=r"not a list of figshare's .*is 5779802 right"):
        listed(FIGSHARE, f"{publisher.url}/v2")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a", "a/../../b", "a\\b", "C:/a", "a\x07b", ".", ".ecoscale-download.jsonl"]
)
def test_a_path_out_of_the_folder_is_refused(publisher, path):
    base = publisher.zenodo("4916206", {"good.csv": b"", path: b""})
    with pytest.raises(DatasetError, match="expected a path inside its folder, so nothing of it is used"):
        listed(ZENODO, base)


@given(st.text(max_size=30))
def test_whatever_a_listing_names_lies_in_the_folder_or_is_refused(text):
    try:
        path = PurePosixPath(published_path(text, "a listing"))
    except DatasetError:
        return
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert PurePosixPath("folder") in (PurePosixPath("folder") / path).parents


@pytest.mark.parametrize("second", ["a", "./a", "a.part"])
def test_two_files_for_one_place_are_refused(publisher, second):
    base = publisher.zenodo("4916206", {"a": b"1"})
    record = json.loads(publisher.files["/api/records/4916206"])
    record["files"].append(record["files"][0] | {"key": second})
    publisher.files["/api/records/4916206"] = json.dumps(record).encode()
    with pytest.raises(DatasetError, match=r"4916206 lists a(\.part)? twice, or beside another of the same name"):
        listed(ZENODO, base)


def test_a_missing_listing_is_said_with_its_address(publisher):
    with pytest.raises(DatasetError, match=r"files/ptb-xl/1.0.3/SHA256SUMS.txt: the server answers 404 Not Found"):
        listed(PHYSIONET, f"{publisher.url}/files")


def test_a_server_that_is_not_there_is_said(publisher):
    with pytest.raises(DatasetError, match=r"the list of files cannot be fetched .*try again later"):
        listed(PHYSIONET, "http://127.0.0.1:1/files")


def test_a_busy_server_is_asked_again_by_a_client_that_says_who_it_is(publisher):
    base = publisher.zenodo("4916206", {"a": b"1"})
    publisher.faults["/api/records/4916206"] = [Fault(status=429, headers={"Retry-After": "0"}), Fault(status=503)]
    assert len(listed(ZENODO, base)) == 1
    asked = publisher.asked_for("/api/records/4916206")
    assert len(asked) == 3
    assert {each.headers["User-Agent"] for each in asked} == {f"ecoscale/{__version__}"}


def test_sizes_that_are_not_listed_are_asked_once_for_each_kind(publisher):
    files = {
        f"records{rate}/{i}.{suffix}": b"x" * rate for rate in (100, 500) for i in range(9) for suffix in ("dat", "hea")
    }
    base = publisher.physionet("ptb-xl/1.0.3", files | {"LICENSE.txt": b"12345"})
    with open_session(backoff=0) as session:
        listing = list_files(PHYSIONET, base, session=session)
        sizes = estimated_sizes(listing, session, otherwise=7)
        assert sizes == {path: len(content) for path, content in files.items()} | {"LICENSE.txt": 5}
        assert sum(each.method == "HEAD" for each in publisher.asked) == 5
        del publisher.files["/files/ptb-xl/1.0.3/LICENSE.txt"]
        assert estimated_sizes(listing[-1:], session, otherwise=7) == {"LICENSE.txt": 7}


def test_every_collection_that_can_be_downloaded_says_from_where():
    for cls in list_collections().values():
        if cls.archive is not None:
            assert cls.archive.host in BASE_URLS
            assert cls.archive.size > 1_000_000
            assert cls.archive.unpacked is None or cls.archive.unpacked > cls.archive.size
