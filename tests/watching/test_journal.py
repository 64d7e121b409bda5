import pytest

from ecoscale.watching.inbox import Arrival
from ecoscale.watching.journal import Journal, State

RECORD = Arrival((("sub/a.hea", "10-1"), ("sub/a.dat", "20-1")))


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite3")
    yield opened
    opened.close()


def begin(journal, arrival, taken=()):
    return journal.begin(arrival, journal.find(arrival), lambda name: name not in taken)


def test_a_name_is_kept_over_a_restart_and_attempts_are_counted(tmp_path, journal):
    assert journal.find(RECORD) is None
    assert begin(journal, RECORD, taken=("sub/a",)).name == "sub/a-2"
    again = Journal(tmp_path / "journal.sqlite3")
    entry = begin(again, RECORD)
    again.close()
    assert (entry.name, entry.state, entry.attempts) == ("sub/a-2", State.STARTED, 2)


def test_another_file_of_the_same_name_gets_another_name_also_in_another_case(journal):
    journal.note(begin(journal, RECORD), State.MOVED)
    replaced = Arrival((("sub/a.hea", "10-2"), ("sub/a.dat", "20-1")))
    assert begin(journal, replaced).name == "sub/a-2"
    assert begin(journal, Arrival((("sub/A.dcm", "10-1"),))).name == "sub/A-3"


def test_a_record_that_is_half_moved_is_known_by_what_is_left(journal):
    entry = journal.note(begin(journal, RECORD), State.DONE)
    left = Arrival(RECORD.files[:1])
    assert journal.find(left) == entry
    journal.note(entry, State.MOVED)
    assert journal.find(left) is None
    assert journal.find(RECORD).state is State.MOVED


def test_a_moved_file_that_comes_back_is_begun_anew_under_its_name(journal):
    journal.note(begin(journal, RECORD), State.MOVED)
    entry = begin(journal, RECORD)
    assert (entry.name, entry.state, entry.attempts) == ("sub/a", State.STARTED, 1)


def test_a_file_that_was_begun_before_it_was_whole_keeps_its_name_free(journal):
    journal.forget(begin(journal, Arrival(RECORD.files[:1])))
    begin(journal, Arrival((("sub/a.hea", "10-1"), ("sub/a.dat", "5-1"))))  # and the process was killed
    assert begin(journal, RECORD).name == "sub/a"


def test_names_that_are_not_unicode_are_kept(journal):
    odd = Arrival((("sub/M\udcfcller.dcm", "1-1"),))
    assert begin(journal, odd).name == "sub/M\udcfcller"
    assert journal.find(odd).name == "sub/M\udcfcller"


def test_what_is_no_journal_is_an_error_of_the_system_with_its_path(tmp_path):
    (tmp_path / "other").write_text("no database, and long enough to be seen as none" * 10)
    with pytest.raises(OSError, match="the journal: file is not a database") as raised:
        Journal(tmp_path / "other")
    assert raised.value.filename == str(tmp_path / "other")
