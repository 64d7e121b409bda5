import os

import pytest

from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.watching.inbox import Arrival, Inbox, Settling


def arrival(name, state="1-1"):
    return Arrival(((name, state),))


@pytest.fixture
def inbox(tmp_path):
    write_wfdb(tmp_path / "sub", [synthetic_ecg((), seed=1, record="a")])
    (tmp_path / "b.dcm").write_bytes(b"b")
    return tmp_path


def keys(inbox):
    return [[path for path, _ in each.files] for each in Inbox(inbox).scan()[0]]


def test_a_header_and_the_signal_files_that_it_names_are_one_arrival(inbox):
    assert keys(inbox) == [["b.dcm"], ["sub/a.hea", "sub/a.dat"], ["sub/labels.csv"]]


def test_of_a_record_that_is_still_being_copied_each_file_is_one_until_the_header_is_there(inbox):
    (inbox / "sub" / "a.hea").rename(inbox / "a.hea")
    assert keys(inbox) == [["a.hea"], ["b.dcm"], ["sub/a.dat"], ["sub/labels.csv"]]
    watched = Inbox(inbox)
    watched.scan()
    (inbox / "sub" / "a.dat").rename(inbox / "a.dat")
    assert [path for path, _ in watched.scan()[0][0].files] == ["a.hea", "a.dat"]


def test_a_dialect_goes_with_its_table_and_that_of_a_folder_stays(tmp_path):
    for name in ("a.csv", "a.csv.yaml", "b.csv", "c.yaml", "ecg-dialect.yaml"):
        (tmp_path / name).write_text("content")
    assert keys(tmp_path) == [["a.csv", "a.csv.yaml"], ["b.csv"], ["c.yaml"]]


@pytest.mark.parametrize("name", [".hidden", "a.dcm.part", "a.filepart", "A.TMP", "a.dcm~", ".folder/a.dcm"])
def test_hidden_names_and_those_of_unfinished_files_are_ignored(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"content")
    assert keys(tmp_path) == []


def test_what_is_no_file_is_ignored(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "link.dcm").symlink_to(tmp_path / "nowhere")
    assert keys(tmp_path) == []


def test_a_folder_that_is_gone_is_said(tmp_path):
    arrivals, errors = Inbox(tmp_path / "gone").scan()
    assert arrivals == []
    assert [error.filename for error in errors] == [str(tmp_path / "gone")]


def test_what_has_not_changed_for_long_enough_is_ready():
    settling = Settling(settle=2, patience=30)
    settling.see([arrival("a"), arrival("b")], now=0)
    assert settling.ready(1.9) == []
    assert settling.next_due() == 2
    settling.see([arrival("a"), arrival("b", "2-2"), arrival("c")], now=1.9)
    assert settling.ready(2) == [arrival("a")]
    assert settling.ready(3.9) == [arrival("a"), arrival("b", "2-2"), arrival("c")]


def test_a_file_that_grows_slowly_is_never_ready_while_it_grows():
    settling = Settling(settle=2, patience=30)
    for second in range(100):
        settling.see([arrival("a", f"{second}-{second}")], now=second)
        assert settling.ready(second) == []
    assert settling.ready(101) == [arrival("a", "99-99")]


def test_what_cannot_be_read_is_tried_again_when_it_changes_or_for_the_last_time():
    settling = Settling(settle=2, patience=30)
    settling.see([arrival("a")], now=0)
    assert not settling.is_last_chance(arrival("a"), now=2)
    settling.tried(arrival("a"))
    assert settling.ready(29) == []
    settling.see([arrival("a")], now=30)
    assert settling.ready(30) == [arrival("a")]
    assert settling.is_last_chance(arrival("a"), now=30)
    settling.see([arrival("a", "2-2")], now=31)
    assert settling.ready(33) == [arrival("a", "2-2")]


def test_what_is_finished_is_left_alone_until_it_changes():
    settling = Settling(settle=0, patience=0)
    settling.see([arrival("a")], now=0)
    settling.finish(arrival("a"))
    settling.see([arrival("a")], now=1)
    assert (settling.ready(100), settling.next_due()) == ([], None)
    settling.see([arrival("a", "2-2")], now=2)
    assert settling.ready(2) == [arrival("a", "2-2")]
