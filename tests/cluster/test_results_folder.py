"""Where a run's files lie: whole or not at all, here and in object storage."""

import pytest

from ecoscale.cluster.folder import ResultsFolder
from ecoscale.cluster.run import alone_in
from ecoscale.errors import ResultsError


@pytest.fixture(params=["here", "at a URL"])
def folder(request, tmp_path):
    if request.param == "here":
        return ResultsFolder(str(tmp_path / "out"))
    return ResultsFolder(request.getfixturevalue("bucket").url + "/out")


def test_what_is_written_is_there_by_name_and_is_read(folder):
    assert folder.names() == []
    assert folder.read("a/b") is None
    folder.write("a/b", b"1")
    folder.write("a/c/d", b"2")
    assert (folder.read("a/b"), folder.has("a/b"), folder.has("a/x")) == (b"1", True, False)
    assert folder.names() == ["a/b", "a/c/d"]
    assert folder.names("a/c") == ["a/c/d"]
    folder.write("a/b", b"3")
    assert folder.read("a/b") == b"3"
    folder.remove("a/b")
    folder.remove("a/b")
    assert folder.names() == ["a/c/d"]


def test_a_file_that_is_not_finished_does_not_appear(folder):
    def interrupted():
        with folder.new_file("a/b") as path:
            path.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert folder.names() == []
    assert not folder.has("a/b")


def test_a_disk_that_takes_no_more_is_said(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(ResultsError, match=r"out/a: cannot be written .*--resume goes on"):
        ResultsFolder(str(tmp_path / "out")).write("a", b"1")


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    folder = ResultsFolder(str(tmp_path))
    with alone_in(folder), pytest.raises(ResultsError, match="another run is writing it"), alone_in(folder):
        pass
    with alone_in(folder):
        pass
