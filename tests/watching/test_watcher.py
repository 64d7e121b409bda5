"""A watcher that does what is there and ends, in this process; tests/cli/test_watch.py kills real ones."""

import io
import json
import os
import shutil

import pytest

from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError, ResultsError
from ecoscale.formats.writing import write_ecg
from ecoscale.inference import Classifier
from ecoscale.watching import Watcher, WatchOptions
from ecoscale.watching.inbox import Inbox
from ecoscale.watching.journal import Journal
from ecoscale.watching.log import Log
from ecoscale.watching.watcher import MOST_ATTEMPTS


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load(threads=1)


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    ecg = synthetic_ecg(("AF",), seed=1, record="a").ecg
    write_ecg(ecg, folder / "a.hea")
    write_ecg(ecg, folder / "sub" / "b.dcm")
    return folder


@pytest.fixture
def watch(tmp_path, inbox, classifier):
    """Does what is there; gives the watcher and the events that it logged."""

    def watch(report="none", log=None, **options):
        stream = io.StringIO()
        options = {"settle": 0, "patience": 0, "once": True, "report": report} | options
        watcher = Watcher(inbox, tmp_path / "out", classifier, WatchOptions(**options), log or Log("json", stream))
        watcher.run()
        return watcher, [json.loads(line) for line in stream.getvalue().splitlines()]

    return watch


def files(folder):
    """Every file below, but those that are the watcher's own."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".ecoscale-watch/"))


def read(path):
    return json.loads(path.read_text())


def test_results_and_files_go_to_the_outbox_with_their_folders(watch, tmp_path, inbox):
    watcher, events = watch("html")
    results = ["results/a.html", "results/a.json", "results/sub/b.html", "results/sub/b.json"]
    assert files(tmp_path / "out") == ["done/a.dat", "done/a.hea", "done/sub/b.dcm", *results]
    assert files(inbox) == []
    (result,) = read(tmp_path / "out/results/sub/b.json")["results"]
    assert (result["source"], result["record"]) == ("sub/b.dcm", "")
    assert set(result["findings"]) >= {"AF", "ST"}
    assert [event["file"] for event in events if event["event"] == "classified"] == ["a.hea", "sub/b.dcm"]
    assert (watcher.n_done, watcher.n_quarantined) == (2, 0)


def test_a_report_in_pdf_is_written_for_each_recording(watch, tmp_path):
    pytest.importorskip("ecoscale.report_pdf")
    watch("pdf")
    assert (tmp_path / "out/results/a.pdf").read_bytes().startswith(b"%PDF")
    assert files(tmp_path / "out/results") == ["a.json", "a.pdf", "sub/b.json", "sub/b.pdf"]


def test_the_log_has_names_of_files_and_nothing_of_what_they_say(watch, inbox, tmp_path):
    (inbox / "junk.txt").write_text("PID|Miller, Anna|")
    _, events = watch()
    said = json.dumps(events)
    assert "junk.txt" in said
    assert "Miller" not in said
    assert "AF" not in said
    assert "Miller" in (tmp_path / "out/quarantine/junk.txt.reason.txt").read_text()


def test_what_cannot_be_read_is_quarantined_with_the_reason(watch, inbox, tmp_path):
    (inbox / "a.dat").write_bytes(b"short")
    (inbox / "sub" / "locked.dcm").mkdir()
    watcher, _ = watch()
    assert watcher.n_quarantined == 1
    assert files(tmp_path / "out/quarantine") == ["a.dat", "a.hea", "a.hea.reason.txt"]
    reason = (tmp_path / "out/quarantine/a.hea.reason.txt").read_text()
    assert reason.startswith("a.hea: the signal file a.dat has 5 bytes; expected at least")


def test_a_file_that_the_operator_puts_back_is_tried_again(watch, inbox, tmp_path):
    whole = (inbox / "a.dat").read_bytes()
    (inbox / "a.dat").rename(tmp_path / "late.dat")
    assert watch()[0].n_quarantined == 1
    (tmp_path / "out/quarantine/a.hea").rename(inbox / "a.hea")
    (inbox / "a.dat").write_bytes(whole)
    assert watch()[0].n_done == 1
    assert files(tmp_path / "out/done") == ["a.dat", "a.hea", "sub/b.dcm"]


def test_a_file_with_which_the_watcher_ended_too_often_is_quarantined_unread(watch, inbox, tmp_path):
    deadly = Inbox(inbox).scan()[0][0]
    (tmp_path / "out/.ecoscale-watch").mkdir(parents=True)
    journal = Journal(tmp_path / "out/.ecoscale-watch/journal.sqlite3")
    for _ in range(MOST_ATTEMPTS):
        journal.begin(deadly, journal.find(deadly), lambda name: True)
    journal.close()
    assert watch()[0].n_quarantined == 1
    assert files(tmp_path / "out/quarantine") == ["a.dat", "a.hea", "a.hea.reason.txt"]
    assert "the watcher ended 5 times while" in (tmp_path / "out/quarantine/a.hea.reason.txt").read_text()


def test_files_of_one_name_do_not_overwrite_each_other_nor_their_results(watch, inbox, tmp_path):
    for seed in (2, 3):
        watch()
        write_ecg(synthetic_ecg((), seed=seed, record="a").ecg, inbox / "a.hea")
    write_ecg(synthetic_ecg((), seed=4, record="a").ecg, inbox / "a.dcm")
    watch()
    assert files(tmp_path / "out/results") == ["a-2.json", "a-3.json", "a-4.json", "a.json", "sub/b.json"]
    moved = ["a-2/a.dat", "a-2/a.hea", "a-3/a.dcm", "a-4/a.dat", "a-4/a.hea", "a.dat", "a.hea", "sub/b.dcm"]
    assert files(tmp_path / "out/done") in (moved, sorted(name.replace("a-3/", "") for name in moved))


def test_a_file_is_not_moved_over_another_that_is_there_already(watch, inbox, tmp_path):
    (tmp_path / "out/done/sub").mkdir(parents=True)
    (tmp_path / "out/done/sub/b.dcm").write_text("an older one")
    watch()
    assert (tmp_path / "out/done/sub/b.dcm").read_text() == "an older one"
    assert "sub/2/b.dcm" in files(tmp_path / "out/done")


def test_a_file_that_is_kept_is_classified_once_until_it_changes(watch, inbox, tmp_path):
    before = files(inbox)
    assert watch(keep=True)[0].n_done == 2
    assert watch(keep=True)[0].n_done == 0
    assert files(inbox) == before
    write_ecg(synthetic_ecg((), seed=2).ecg, inbox / "sub" / "b.dcm")
    assert watch(keep=True)[0].n_done == 1
    assert files(tmp_path / "out") == ["results/a.json", "results/sub/b-2.json", "results/sub/b.json"]
    assert watch()[0].n_done == 0
    assert files(inbox) == []


def test_a_file_of_several_recordings_has_one_result_of_them_all(watch, inbox, tmp_path):
    write_code15(tmp_path / "code15", 3, seed=3, n_parts=1, compression=None)
    shutil.copy(tmp_path / "code15" / "exams_part0.hdf5", inbox)
    watch("html")
    results = read(tmp_path / "out/results/exams_part0.json")["results"]
    assert len(results) == 3
    assert ["error" in result for result in results].count(True) == 1  # one of them is empty, as published
    assert "all zeros" in (tmp_path / "out/results/exams_part0.html").read_text()


def test_tables_are_read_with_what_the_operator_states(watch, inbox, tmp_path):
    rows = synthetic_ecg((), seed=2).ecg.signal.T
    (inbox / "c.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    watch(reading={"rate": 500, "unit": "mV", "leads": LEADS})
    assert "c.json" in files(tmp_path / "out/results")


def test_a_bug_with_one_file_ends_neither_the_watch_nor_the_file(watch, inbox, tmp_path, monkeypatch):
    import ecoscale.report

    drawn = []

    def fail_once(*arguments, **options):
        drawn.append(1)
        if len(drawn) == 1:
            raise ZeroDivisionError("division by zero")
        return real(*arguments, **options)

    real = ecoscale.report.draw_ecg
    monkeypatch.setattr(ecoscale.report, "draw_ecg", fail_once)
    watcher, _ = watch("html")
    assert (watcher.n_done, watcher.n_quarantined) == (1, 1)
    assert (
        "ZeroDivisionError: division by zero; this is a bug"
        in (tmp_path / "out/quarantine/a.hea.reason.txt").read_text()
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
def test_files_that_may_not_be_read_or_moved_are_said(watch, inbox, tmp_path):
    (inbox / "a.hea").chmod(0)
    (inbox / "sub").chmod(0o555)
    try:
        watcher, events = watch()
    finally:
        (inbox / "sub").chmod(0o755)
    # Which samples a header names that may not be read is not known, so that they are alone.
    assert (watcher.n_done, watcher.n_quarantined) == (1, 2)
    assert "Permission denied" in (tmp_path / "out/quarantine/a.hea.reason.txt").read_text()
    assert [event["event"] for event in events].count("kept") == 1
    assert watch()[0].n_done == 0


def test_two_watchers_on_one_folder_are_one_too_many(watch, inbox, tmp_path, classifier):
    refused = []

    class Intruder(Log):
        def __call__(self, event, *said, **fields):
            if event == "classified":
                for folders in ((inbox, tmp_path / "other"), (tmp_path / "elsewhere", tmp_path / "out")):
                    with pytest.raises(ResultsError, match="another ecoscale watch has it") as raised:
                        Watcher(*folders, classifier, WatchOptions(once=True)).run()
                    refused.append(str(raised.value).partition(":")[0])

    (tmp_path / "elsewhere").mkdir()
    watch(log=Intruder())
    assert refused == [str(inbox), str(tmp_path / "out")] * 2


def test_folders_that_lie_in_each_other_are_refused(inbox, classifier):
    for outbox in (inbox, inbox / "out", inbox.parent):
        with pytest.raises(FormatError, match="inbox and outbox lie in each other"):
            Watcher(inbox, outbox, classifier, WatchOptions())
    with pytest.raises(FormatError, match="gone: no such folder; expected the inbox"):
        Watcher(inbox / "gone", inbox.parent / "out", classifier, WatchOptions())


def test_a_file_that_is_replaced_while_it_is_classified_is_classified_as_it_is_then(
    watch, inbox, tmp_path, classifier, monkeypatch
):
    classify = classifier.classify

    def replaced_meanwhile(*arguments, **options):
        monkeypatch.undo()
        yield from classify(*arguments, **options)
        write_ecg(synthetic_ecg((), seed=2, record="a").ecg, inbox / "a.hea")

    monkeypatch.setattr(classifier, "classify", replaced_meanwhile)
    watcher, events = watch()
    assert (watcher.n_done, [e["file"] for e in events if e["event"] == "changed"]) == (2, ["a.hea"])
    assert files(tmp_path / "out/results") == ["a.json", "sub/b.json"]
    now = classifier.predict(synthetic_ecg((), seed=2).ecg).findings["AF"].probability
    found = read(tmp_path / "out/results/a.json")["results"][0]["findings"]["AF"]["probability"]
    assert found == pytest.approx(now, abs=0.01)
