import sys
import threading
import time

import pytest

from ecoscale.errors import MissingExtraError
from ecoscale.watching.events import FALLBACK_SECONDS, RESCAN_SECONDS, Waker


def waited(waker, seconds):
    began = time.monotonic()
    waker.wait(seconds)
    return time.monotonic() - began


def test_a_change_of_the_folder_ends_the_waiting(tmp_path):
    (tmp_path / "sub").mkdir()
    waker = Waker(tmp_path, None, pytest.fail)
    try:
        # It has begun to listen when it tells of one of these.
        for number in range(100):
            (tmp_path / "sub" / f"{number}.dcm").write_text("")
            if waited(waker, 0.3) < 0.29:
                break
        else:
            pytest.fail("nothing was told")
        assert waker.longest == RESCAN_SECONDS
    finally:
        waker.close()


def test_it_may_be_woken_from_elsewhere_and_a_call_before_the_waiting_counts(tmp_path):
    waker = Waker(tmp_path, 60, pytest.fail)
    waker.wake()
    waker.wake()
    assert waited(waker, None) < 30
    caller = threading.Timer(0.05, waker.wake)
    caller.start()
    assert waited(waker, None) < 30
    caller.join()
    waker.close()


def test_a_folder_that_the_system_cannot_watch_is_looked_at_by_time(tmp_path):
    said = []
    waker = Waker(tmp_path / "gone", None, said.append)
    assert waited(waker, None) < 30
    assert waker.longest == FALLBACK_SECONDS
    assert "is looked at every 5 s" in said[0]
    waker.close()


def test_without_watchfiles_a_time_must_be_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(MissingExtraError, match=r"without --poll needs the package 'watchfiles'.*ecoscale\[watch\]"):
        Waker(tmp_path, None, pytest.fail)
    Waker(tmp_path, 1, pytest.fail).close()
