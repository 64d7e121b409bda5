"""Downloading: right bytes whatever the server does, nothing fetched twice, room first, archives unpacked in place."""

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.datasets import Archive
from ecoscale.datasets.download import Failure, download, plan_download
from ecoscale.errors import DatasetError
from publisher import Fault, Publisher, zenodo_path

ZENODO = Archive("zenodo", "1", 1_000_000)
PHYSIONET = Archive("physionet", "set/1.0", 1_000_000)
LARGE = np.random.default_rng(0).bytes(600_000)
"""A file of several chunks, so that a server's version of it is remembered."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "collection"


def fetched(archive, folder, base, **options):
    """The report of a download that waits for nothing."""
    return download(plan_download(archive, folder, base_url=base, backoff=0, **options))


def contents(folder):
    """Bytes by path, without what the download keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".ecoscale-download")
    }


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_every_file_comes_to_its_place_and_is_not_fetched_again(publisher, folder):
    files = {"RECORDS": b"a\n", "empty.txt": b"", **{f"records/{i}/{i}.dat": bytes([i]) * 1000 for i in range(20)}}
    base = publisher.physionet("set/1.0", files)
    report = fetched(PHYSIONET, folder, base)
    assert contents(folder) == files
    assert (report.n_files, report.n_before, report.n_bytes, report.failures) == (22, 0, 20_002, ())
    publisher.asked.clear()
    report = fetched(PHYSIONET, folder, base)
    assert (report.n_files, report.n_before, report.n_bytes) == (22, 22, 0)
    assert [each.path for each in publisher.asked] == ["/files/set/1.0/SHA256SUMS.txt"]


def test_bytes_and_files_are_told_as_they_come(publisher, folder):
    base = publisher.zenodo("1", {"a": LARGE, "b": b"12"})
    told, done = [], []
    plan = plan_download(ZENODO, folder, base_url=base, backoff=0)
    assert plan.to_come == len(LARGE) + 2
    download(plan, received=told.append, finished=done.append)
    assert (sum(told), sum(done)) == (len(LARGE) + 2, 2)


@pytest.mark.parametrize("validators", [True, False])
def test_a_broken_connection_goes_on_from_where_it_stopped(publisher, folder, validators):
    publisher.validators = validators
    base = publisher.zenodo("1", {"a": LARGE})
    path = zenodo_path("1", "a")
    publisher.faults[path] = [Fault(drop_after=200_000), Fault(drop_after=0), Fault(drop_after=100_000)]
    fetched(ZENODO, folder, base)
    assert contents(folder) == {"a": LARGE}
    assert publisher.sent[path] == len(LARGE)
    asked = [each.headers.get("Range") for each in publisher.asked_for(path)]
    assert asked == [None, "bytes=200000-", "bytes=200000-", "bytes=300000-"]
    assert all(("If-Range" in each.headers) == validators for each in publisher.asked_for(path)[1:])


@settings(max_examples=40, deadline=None)
@given(
    content=st.binary(min_size=1, max_size=3000).map(lambda seed: seed * 100),
    drops=st.lists(st.integers(0, 300_000), max_size=4),
    ranges=st.booleans(),
    sized=st.booleans(),
)
def test_any_sequence_of_drops_ends_with_the_right_bytes(content, drops, ranges, sized):
    with Publisher() as publisher, tempfile.TemporaryDirectory() as folder:
        if sized:
            archive, base, path = ZENODO, publisher.zenodo("1", {"a": content}), zenodo_path("1", "a")
        else:
            archive, base, path = PHYSIONET, publisher.physionet("set/1.0", {"a": content}), "/files/set/1.0/a"
        publisher.faults[path] = [Fault(drop_after=drop, ignore_range=not ranges) for drop in drops]
        report = fetched(archive, Path(folder), base)
        assert report.failures == ()
        assert contents(Path(folder)) == {"a": content}
        if ranges:
            assert publisher.sent[path] == len(content)


def test_a_server_without_ranges_is_read_from_the_beginning(publisher, folder):
    base = publisher.zenodo("1", {"a": LARGE})
    path = zenodo_path("1", "a")
    publisher.always[path] = Fault(ignore_range=True)
    publisher.faults[path] = [Fault(drop_after=500_000)]
    told = []
    download(plan_download(ZENODO, folder, base_url=base, backoff=0), received=told.append)
    assert contents(folder) == {"a": LARGE}
    assert sum(told) == len(LARGE)
    assert publisher.sent[path] == 500_000 + len(LARGE)


def test_another_range_than_asked_for_is_not_believed(publisher, folder):
    base = publisher.zenodo("1", {"a": LARGE})
    path = zenodo_path("1", "a")
    publisher.faults[path] = [Fault(drop_after=200_000), Fault(shift_range=7)]
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}
    assert [each.headers.get("Range") for each in publisher.asked_for(path)] == [None, "bytes=200000-", None]


@pytest.mark.parametrize("off", [-100_000, 100_000])
@pytest.mark.parametrize("host", ["zenodo", "physionet"])
def test_a_stated_length_that_is_wrong_once_does_not_matter(publisher, folder, off, host):
    if host == "zenodo":
        archive, base, path = ZENODO, publisher.zenodo("1", {"a": LARGE}), zenodo_path("1", "a")
    else:
        archive, base, path = PHYSIONET, publisher.physionet("set/1.0", {"a": LARGE}), "/files/set/1.0/a"
    publisher.faults[path] = [Fault(add_to_length=off)]
    assert fetched(archive, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}


def test_a_length_that_is_always_too_long_is_found_out_by_the_range_that_is_not_there(publisher, folder):
    base = publisher.physionet("set/1.0", {"a": LARGE})
    publisher.always["/files/set/1.0/a"] = Fault(add_to_length=50)
    assert fetched(PHYSIONET, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}
    assert publisher.sent["/files/set/1.0/a"] == len(LARGE)


def test_an_answer_without_length_is_taken_to_its_end(publisher, folder):
    base = publisher.physionet("set/1.0", {"a": LARGE})
    publisher.always["/files/set/1.0/a"] = Fault(without_length=True)
    assert fetched(PHYSIONET, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(publisher, folder, status):
    base = publisher.zenodo("1", {"a": b"x"})
    publisher.faults[zenodo_path("1", "a")] = [Fault(status=status, headers={"Retry-After": "0"})] * 3
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": b"x"}


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_does_not_pass_is_said_and_the_other_files_are_fetched(publisher, folder, status):
    base = publisher.zenodo("1", {"a": b"x", "b": b"y"})
    publisher.always[zenodo_path("1", "a")] = Fault(status=status)
    report = fetched(ZENODO, folder, base)
    (failure,) = report.failures
    assert failure.path == "a"
    assert failure.reason.startswith(f"a: the server answers {status} ")
    assert "--mirror" in failure.reason
    assert contents(folder) == {"b": b"y"}
    assert report.n_files == 1


def test_a_redirection_is_followed_and_asked_again_on_resuming(publisher, folder):
    """figshare's lead to an address that is good for seconds only."""
    base = publisher.zenodo("1", {"a": LARGE})
    path = zenodo_path("1", "a")
    publisher.files["/signed"] = LARGE
    publisher.always[path] = Fault(status=302, headers={"Location": f"{publisher.url}/signed"})
    publisher.faults["/signed"] = [Fault(drop_after=400_000)]
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}
    assert publisher.sent["/signed"] == len(LARGE)
    assert len(publisher.asked_for(path)) == 2


@pytest.mark.parametrize("wrong", [b"X" * len(LARGE), b"short", LARGE + b"more", b""])
def test_a_wrong_file_is_fetched_once_more_from_zero(publisher, folder, wrong):
    base = publisher.physionet("set/1.0", {"a": LARGE})
    publisher.faults["/files/set/1.0/a"] = [Fault(content=wrong)]
    assert fetched(PHYSIONET, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}
    assert [each.headers.get("Range") for each in publisher.asked_for("/files/set/1.0/a")] == [None, None]


def test_a_file_that_stays_wrong_is_named_with_both_checksums_and_leaves_nothing(publisher, folder):
    base = publisher.zenodo("1", {"a": LARGE, "b": b"y"})
    wrong = b"X" * len(LARGE)
    publisher.always[zenodo_path("1", "a")] = Fault(content=wrong)
    (failure,) = fetched(ZENODO, folder, base).failures
    found, published = (f"md5:{hashlib.md5(content).hexdigest()}" for content in (wrong, LARGE))
    assert failure.reason.startswith(f"a: the checksum is {found} where {published} is published, after two attempts")
    assert contents(folder) == {"b": b"y"}
    assert len(publisher.asked_for(zenodo_path("1", "a"))) == 2


def test_more_than_was_listed_is_not_taken(publisher, folder):
    base = publisher.zenodo("1", {"a": b"x" * 10})
    publisher.always[zenodo_path("1", "a")] = Fault(content=b"x" * 3_000_000)
    report = fetched(ZENODO, folder, base)
    assert [failure.path for failure in report.failures] == ["a"]
    assert report.n_bytes < 1_000_000


def test_a_connection_that_always_breaks_is_given_up_and_its_bytes_are_kept(publisher, folder):
    base = publisher.zenodo("1", {"a": LARGE})
    path = zenodo_path("1", "a")
    publisher.always[path] = Fault(drop_after=0)
    publisher.faults[path] = [Fault(drop_after=1000)]
    (failure,) = fetched(ZENODO, folder, base).failures
    assert failure.reason.startswith("a: 1,000 of 600,000 bytes came over 6 connections")
    assert "the same command goes on from there" in failure.reason
    del publisher.always[path]
    assert plan_download(ZENODO, folder, base_url=base, backoff=0).to_come == len(LARGE) - 1000
    assert fetched(ZENODO, folder, base).n_bytes == len(LARGE) - 1000
    assert contents(folder) == {"a": LARGE}


def begun(publisher, folder, content=LARGE):
    """A file `a` of which 1000 bytes have come; the base address."""
    base = publisher.zenodo("1", {"a": content})
    path = zenodo_path("1", "a")
    publisher.always[path], publisher.faults[path] = Fault(drop_after=0), [Fault(drop_after=1000)]
    assert fetched(ZENODO, folder, base).failures
    del publisher.always[path]
    publisher.asked.clear()
    return base


def test_a_part_of_another_version_is_not_gone_on_with(publisher, folder):
    base, newer = begun(publisher, folder), LARGE[::-1]
    assert publisher.zenodo("1", {"a": newer}) == base
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": newer}
    assert [each.headers.get("Range") for each in publisher.asked_for(zenodo_path("1", "a"))] == [None]


def test_a_server_whose_version_changed_without_its_listing_sends_it_whole(publisher, folder):
    base = begun(publisher, folder)
    publisher.faults[zenodo_path("1", "a")] = [Fault(content=LARGE[::-1])]
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}


@pytest.mark.parametrize("beside", [None, "{", "[]"])
def test_a_part_without_what_lies_beside_it_is_gone_on_with_all_the_same(publisher, folder, beside):
    base = begun(publisher, folder)
    (folder / "a.part.json").unlink()
    if beside is not None:
        (folder / "a.part.json").write_text(beside)
    assert fetched(ZENODO, folder, base).n_bytes == len(LARGE) - 1000
    assert contents(folder) == {"a": LARGE}


def test_a_part_whose_bytes_went_wrong_is_found_out(publisher, folder):
    base = begun(publisher, folder)
    (folder / "a.part").write_bytes(b"X" * 1000)
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == {"a": LARGE}


@pytest.mark.parametrize("length", [600_000, 700_000])
def test_a_part_that_is_as_long_as_the_file_or_longer(publisher, folder, length):
    base = begun(publisher, folder)
    (folder / "a.part").write_bytes((LARGE + LARGE)[:length])
    assert fetched(ZENODO, folder, base).n_bytes == (0 if length == len(LARGE) else len(LARGE))
    assert contents(folder) == {"a": LARGE}


def test_files_that_came_otherwise_are_verified_by_checksum_once(publisher, folder):
    base = publisher.physionet("set/1.0", {"a": b"1234", "b": b"5678"})
    folder.mkdir()
    (folder / "a").write_bytes(b"1234")
    (folder / "b").write_bytes(b"567X")  # as long as it should be, and wrong
    report = fetched(PHYSIONET, folder, base)
    assert (report.n_before, report.n_bytes) == (1, 4)
    assert contents(folder) == {"a": b"1234", "b": b"5678"}


def test_a_copied_folder_is_read_again_but_not_fetched_again(publisher, folder, tmp_path):
    base = publisher.zenodo("1", {"a.zip": zipped({"a.csv": b"1"}), "b": b"2"})
    fetched(ZENODO, folder, base)
    other = tmp_path / "copy"
    shutil.copytree(folder, other, copy_function=shutil.copyfile)
    assert fetched(ZENODO, other, base).n_bytes == 0
    assert contents(other) == {"a.csv": b"1", "b": b"2"}


def test_a_file_that_changed_is_fetched_again(publisher, folder):
    base = publisher.zenodo("1", {"a": b"1234"})
    fetched(ZENODO, folder, base)
    (folder / "a").write_bytes(b"123")
    assert fetched(ZENODO, folder, base).n_bytes == 4
    assert contents(folder) == {"a": b"1234"}


def test_bits_that_rot_are_found_by_reading_everything_again(publisher, folder):
    base = publisher.zenodo("1", {"a": b"1234"})
    fetched(ZENODO, folder, base)
    found = (folder / "a").stat()
    (folder / "a").write_bytes(b"123X")
    os.utime(folder / "a", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert fetched(ZENODO, folder, base).n_bytes == 0
    assert fetched(ZENODO, folder, base, reread=True).n_bytes == 4
    assert contents(folder) == {"a": b"1234"}


def test_what_is_remembered_may_be_lost_or_cut_off(publisher, folder):
    base = publisher.zenodo("1", {"a": b"1", "b": b"2", "c": b"3"})
    fetched(ZENODO, folder, base)
    (remembered,) = folder.glob(".ecoscale-download*")
    text = remembered.read_text()
    for damaged in ("", text[:-10], "\x00\n[]\n{}\n" + text):
        remembered.write_text(damaged)
        report = fetched(ZENODO, folder, base)
        assert (report.n_before, report.n_bytes) == (3, 0)
        whole = remembered.read_text()
        assert fetched(ZENODO, folder, base).n_before == 3
        assert remembered.read_text() == whole  # nothing had to be read again


def test_only_what_fits_a_pattern_is_fetched(publisher, folder):
    base = publisher.physionet("set/1.0", {f"records{rate}/{i}.dat": b"x" for rate in (100, 500) for i in range(3)})
    fetched(PHYSIONET, folder, base, only=["records100/*", "*/2.dat"])
    assert sorted(contents(folder)) == [f"records100/{i}.dat" for i in range(3)] + ["records500/2.dat"]


def test_a_pattern_that_fits_nothing_is_answered_by_what_there_is(publisher, folder):
    base = publisher.zenodo("1", {"exams.csv": b"x"})
    with pytest.raises(DatasetError, match=r"no file fits 'exam.csv'; there are 1, such as exams.csv"):
        plan_download(ZENODO, folder, base_url=base, only=["exam.csv"])
    assert not folder.exists()


def test_a_file_without_a_published_checksum_is_refused_before_the_first_byte(publisher, folder):
    base = publisher.figshare("1", {5: {"a": b"x"}})
    path = "/v2/articles/5/files"
    publisher.files[path] = publisher.files[path].replace(hashlib.md5(b"x").hexdigest().encode(), b"")
    with pytest.raises(DatasetError, match="a: no checksum is published, nor of 0 more; fetch it by hand"):
        plan_download(Archive("figshare", "1", 10), folder, base_url=base)


@pytest.mark.parametrize("connections", [0, 9])
def test_no_more_connections_than_is_polite(folder, connections):
    with pytest.raises(DatasetError, match=f"{connections} connections; expected 1 to 8"):
        plan_download(ZENODO, folder, connections=connections)


def test_zip_and_tar_are_unpacked_removed_and_not_fetched_again(publisher, folder):
    inside = {"data/a.csv": b"1", "b.hdf5": LARGE}
    packed = {"a.zip": zipped(inside), "b.tar.gz": tarred({"records/r.h5": b"5"}), "c.tar.gz": tarred({"c": b"3"}, "w")}
    base = publisher.zenodo("1", packed | {"exams.csv": b"csv"})
    assert fetched(ZENODO, folder, base).failures == ()
    assert contents(folder) == inside | {"records/r.h5": b"5", "c": b"3", "exams.csv": b"csv"}
    assert len(os.listdir(folder)) == 6  # noqa: PTH208 - hidden ones too: nothing is left but what is remembered
    assert fetched(ZENODO, folder, base).n_bytes == 0


def test_archives_may_be_kept_and_stay_when_the_download_is_repeated(publisher, folder):
    packed = zipped({"a.csv": b"1"})
    base = publisher.zenodo("1", {"a.zip": packed})
    fetched(ZENODO, folder, base, keep_archives=True)
    fetched(ZENODO, folder, base)
    assert contents(folder) == {"a.zip": packed, "a.csv": b"1"}


def test_an_unpacked_file_that_is_lost_brings_its_archive_back(publisher, folder):
    base = publisher.zenodo("1", {"a.zip": zipped({"a.csv": b"1", "b.csv": b"2"})})
    fetched(ZENODO, folder, base)
    (folder / "b.csv").unlink()
    assert fetched(ZENODO, folder, base).n_bytes > 0
    assert contents(folder) == {"a.csv": b"1", "b.csv": b"2"}


def test_an_archive_that_came_otherwise_is_unpacked_without_being_fetched(publisher, folder):
    packed = zipped({"a.csv": b"1"})
    base = publisher.zenodo("1", {"a.zip": packed})
    folder.mkdir()
    (folder / "a.zip").write_bytes(packed)
    assert fetched(ZENODO, folder, base).n_bytes == 0
    assert contents(folder) == {"a.csv": b"1"}


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.zip", zipped({"good": b"1", "../evil": b"2"})),
        ("a.zip", zipped({"good": b"1", "/evil": b"2"})),
        ("a.zip", zipped({"good": b"1", ".ecoscale-download.jsonl": b"2"})),
        ("a.tar.gz", tarred({"good": b"1", "../evil": b"2"})),
        ("a.tar.gz", tarred({"good": b"1", ".ecoscale-download.jsonl": b"2"})),
        ("a.zip", b"no archive"),
        ("a.zip", zipped({"good": LARGE})[:-400]),
        ("a.tar.gz", tarred({"good": LARGE})[:-400]),
    ],
)
def test_an_archive_that_leads_outside_or_is_damaged_is_refused_whole(publisher, folder, tmp_path, name, packed):
    base = publisher.zenodo("1", {name: packed, "b": b"2"})
    (failure,) = fetched(ZENODO, folder, base).failures
    assert failure.path == name
    assert "expected a path inside its folder" in failure.reason or "cannot be unpacked" in failure.reason
    assert contents(folder) == {name: packed, "b": b"2"}
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_link_out_of_the_folder_is_refused(publisher, folder):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    base = publisher.zenodo("1", {"a.tar": stream.getvalue()})
    (failure,) = fetched(ZENODO, folder, base).failures
    assert "cannot be unpacked" in failure.reason
    assert not (folder / "link").is_symlink()


@pytest.fixture
def free(monkeypatch):
    """Sets the free room that the disk seems to have."""

    def with_room(n_bytes):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 0, n_bytes))

    return with_room


def test_room_is_checked_before_the_first_byte(publisher, folder, free):
    base = publisher.zenodo("1", {"a": LARGE})
    free(len(LARGE) - 1)
    plan = plan_download(ZENODO, folder, base_url=base)
    with pytest.raises(DatasetError, match=r"600.0 kB are needed there, and 600.0 kB are free; make room"):
        download(plan)
    assert not folder.exists()
    assert not publisher.asked_for(zenodo_path("1", "a"))
    free(len(LARGE))
    assert fetched(ZENODO, folder, base).failures == ()


def test_room_for_what_archives_hold_is_needed_too_and_less_if_they_go(publisher, folder):
    packed = {f"{i}.zip": zipped({f"{i}.csv": LARGE}) for i in range(6)}
    size = len(packed["0.zip"])
    base = publisher.zenodo("1", packed)
    archive = Archive("zenodo", "1", 6 * size, unpacked=12 * size)
    assert plan_download(archive, folder, base_url=base, keep_archives=True).needed == 18 * size
    assert plan_download(archive, folder, base_url=base, connections=2).needed == 14 * size
    assert plan_download(archive, folder, base_url=base).estimated


def test_room_is_not_needed_for_what_is_there(publisher, folder, free):
    base = begun(publisher, folder)
    free(len(LARGE) - 1000)
    assert fetched(ZENODO, folder, base).failures == ()
    free(0)
    assert fetched(ZENODO, folder, base).failures == ()


def test_an_archive_that_holds_more_than_there_is_room_for_is_not_unpacked(publisher, folder, free):
    packed = zipped({"zeros": bytes(50_000_000)})
    base = publisher.zenodo("1", {"a.zip": packed})
    free(1_000_000)
    (failure,) = fetched(ZENODO, folder, base).failures
    assert "holds 50.0 MB, but 1.0 MB are free; make room" in failure.reason
    assert contents(folder) == {"a.zip": packed}


def test_sizes_that_are_not_listed_are_estimated_from_one_file_of_each_kind(publisher, folder):
    base = publisher.physionet("set/1.0", {f"records/{i}.dat": bytes(1000) for i in range(30)} | {"a.csv": bytes(50)})
    plan = plan_download(PHYSIONET, folder, base_url=base)
    assert (plan.to_come, plan.needed, plan.estimated) == (30_050, 30_050, True)


@pytest.mark.parametrize("folder_in_the_way", [False, True])
def test_what_lies_in_the_way_of_a_file_fails_that_file_alone(publisher, folder, folder_in_the_way):
    base = publisher.physionet("set/1.0", {"records/a.dat": b"1", "b": b"2"})
    folder.mkdir()
    if folder_in_the_way:
        (folder / "records" / "a.dat").mkdir(parents=True)
    else:
        (folder / "records").write_text("a file")
    (failure,) = fetched(PHYSIONET, folder, base).failures
    assert failure.path == "records/a.dat"
    assert isinstance(failure, Failure)
    assert (folder / "b").read_bytes() == b"2"


def test_two_downloads_into_one_folder_are_refused(publisher, folder):
    base = publisher.zenodo("1", {"a": b"1"})
    plan = plan_download(ZENODO, folder, base_url=base, backoff=0)
    second = plan_download(ZENODO, folder, base_url=base, backoff=0)

    def meanwhile(_n_bytes):
        with pytest.raises(DatasetError, match="another download writes to it; wait for its end"):
            download(second)

    assert download(plan, received=meanwhile).failures == ()


def test_an_error_in_a_callback_ends_it_and_is_seen(publisher, folder):
    base = publisher.zenodo("1", {"a": b"1", "b": b"2"})

    def wrong(_n_bytes):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        download(plan_download(ZENODO, folder, base_url=base, backoff=0), received=wrong)
    assert fetched(ZENODO, folder, base).failures == ()


@pytest.mark.parametrize("step", ["unlink", "replace"])
@pytest.mark.parametrize("host", ["zenodo", "physionet"])
def test_ended_between_the_last_byte_and_its_place_nothing_is_left_beside_the_file(
    publisher, folder, monkeypatch, step, host
):
    if host == "zenodo":
        archive, base = ZENODO, publisher.zenodo("1", {"a": LARGE})
    else:
        archive, base = PHYSIONET, publisher.physionet("set/1.0", {"a": LARGE})

    def end(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as ending:
        ending.setattr(Path, step, end)
        with pytest.raises(ZeroDivisionError):
            fetched(archive, folder, base)
    assert fetched(archive, folder, base).n_bytes == 0
    assert sorted(os.listdir(folder)) == [".ecoscale-download.jsonl", "a"]  # noqa: PTH208 - hidden ones too


def test_a_disk_that_fills_up_ends_it_with_what_to_do(publisher, folder, monkeypatch):
    base = publisher.zenodo("1", {"a": b"1", "b": b"2"})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DatasetError, match=r"the disk is full at [ab]; what has come is kept: make room"):
        fetched(ZENODO, folder, base)
