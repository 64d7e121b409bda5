"""The watcher as a process: killed, stopped, with no room, and told of what arrives."""

import json
import os
import random
import resource
import signal
import time

import pytest

from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_collection, synthetic_ecg
from ecoscale.formats.writing import write_ecg

QUICK = ("--settle", "0", "--patience", "0", "--log-format", "json")


def files(folder):
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".ecoscale-watch/"))


def until(process, event):
    """The lines of the log up to that event, which is waited for."""
    seen = []
    for line in process.stderr:
        seen.append(json.loads(line))
        if seen[-1]["event"] == event:
            return seen
    pytest.fail(f"it ended without {event}: {seen}")


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def started(process, inbox, tmp_path, bundle):
    running = []

    def start(*options, **more):
        running.append(process("watch", inbox, tmp_path / "out", "--bundle", bundle, *QUICK, *options, **more))
        return running[-1]

    yield start
    for each in running:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_killed_again_and_again_it_loses_nothing_and_does_nothing_twice(started, inbox, tmp_path):
    n_records = 16
    write_wfdb(inbox, synthetic_collection(n_records, seed=1, duration=6))
    (inbox / "labels.csv").unlink()
    before = {name: (inbox / name).read_bytes() for name in files(inbox)}
    assert len(before) == 2 * n_records
    moment = random.Random(0)
    finished = []
    for event in ("watching", "classified", "watching", "classified", "classified"):
        watcher = started()
        finished += until(watcher, event)
        time.sleep(moment.uniform(0, 0.3))
        watcher.kill()
        written = watcher.communicate()[1].splitlines(keepends=True)
        finished += [json.loads(line) for line in written if line.endswith("}\n")]
    last = started("--once")
    finished += [json.loads(line) for line in last.communicate(timeout=60)[1].splitlines()]
    assert last.returncode == 0
    out = tmp_path / "out"
    assert files(inbox) == []
    assert {name: (out / "done" / name).read_bytes() for name in files(out / "done")} == before
    names = sorted(name.removesuffix(".hea") for name in before if name.endswith(".hea"))
    assert files(out / "results") == sorted([f"{name}.{kind}" for name in names for kind in ("html", "json")])
    for name in names:
        (result,) = json.loads((out / "results" / f"{name}.json").read_text())["results"]
        assert result["record"] == name
    classified = [line["file"] for line in finished if line["event"] == "classified"]
    assert (
        len(classified) == len(set(classified)) >= n_records - 6
    )  # a kill may come before the line, not before the deed
    assert not (out / "quarantine").exists()
    assert list((out / ".ecoscale-watch" / "staging").iterdir()) == []


def test_it_is_told_of_what_arrives_and_ends_after_the_file_at_hand(started, inbox, tmp_path):
    watcher = started("--report", "none", "--settle", "0.1")
    until(watcher, "watching")
    ecg = synthetic_ecg((), seed=1, duration=6).ecg
    write_ecg(ecg, inbox / "first.dcm")
    assert until(watcher, "classified")[-1]["results"] == ["results/first.json"]
    write_ecg(ecg, inbox / "later" / "second.hea")
    assert until(watcher, "classified")[-1]["file"] == "later/second.hea"
    watcher.send_signal(signal.SIGTERM)
    output, errors = watcher.communicate(timeout=30)
    assert (watcher.returncode, output) == (0, "")
    assert json.loads(errors.splitlines()[-1])["done"] == 2
    assert files(tmp_path / "out/done") == ["first.dcm", "later/second.dat", "later/second.hea"]


def test_ctrl_c_ends_a_poll_with_the_status_of_an_interruption(started):
    watcher = started("--poll", "100")
    until(watcher, "watching")
    watcher.send_signal(signal.SIGINT)
    _, errors = watcher.communicate(timeout=30)
    assert watcher.returncode == 130
    assert "Traceback" not in errors


def test_where_there_is_no_room_it_says_so_and_goes_on_when_there_is(started, inbox, tmp_path):
    write_ecg(synthetic_ecg((), seed=1, duration=6).ecg, inbox / "a.dcm")
    limited = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))\n"
        "from ecoscale.cli import app\n"
        "app()"
    )
    watcher = started(code=limited)
    assert "nothing is classified until" in until(watcher, "unwritable")[-1]["message"]
    # Room for the journal, and none for a report.
    resource.prlimit(watcher.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    (inbox / "nudge.tmp").write_text("")
    until(watcher, "watching")
    said = until(watcher, "unwritable")[-1]
    assert said["file"] == "a.dcm"
    assert "File too large; make room: the file stays in the inbox until it is tried again" in said["message"]
    assert files(inbox) == ["a.dcm", "nudge.tmp"]
    assert not (tmp_path / "out/results").exists()
    resource.prlimit(watcher.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (inbox / "nudge.tmp").unlink()
    until(watcher, "classified")
    watcher.terminate()
    watcher.communicate(timeout=30)
    assert files(tmp_path / "out/results") == ["a.html", "a.json"]
    assert files(tmp_path / "out/done") == ["a.dcm"]


def test_a_second_watcher_is_refused(started, run, inbox, tmp_path, bundle):
    until(started(), "watching")
    result = run("watch", inbox, tmp_path / "out", "--bundle", bundle)
    assert result.exit_code == 2
    assert "another ecoscale watch has it; end that one, or choose another folder" in result.stderr


def test_once_ends_with_a_status_that_says_whether_all_was_read(run, inbox, ecgs, tmp_path, bundle):
    write_ecg(synthetic_ecg((), seed=1, duration=6).ecg, inbox / "a.dcm")
    command = ("watch", inbox, tmp_path / "out", "--bundle", bundle, "--once", "--report", "none", *QUICK[:4])
    result = run(*command)
    assert result.exit_code == 0
    assert "classified a.dcm: 1 recording in" in result.stderr
    (inbox / "b.dcm").write_text("")
    result = run(*command)
    assert result.exit_code == 1
    assert "quarantined b.dcm: quarantine/b.dcm.reason.txt says why" in result.stderr


def test_a_prevalence_cannot_be_estimated_from_what_is_yet_to_come(run, inbox, tmp_path):
    result = run("watch", inbox, tmp_path / "out", "--prevalence", "estimate")
    assert result.exit_code == 2
    assert "of what is yet to arrive? state it" in result.stderr
    assert not os.path.lexists(tmp_path / "out")
