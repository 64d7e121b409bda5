"""The watcher: from a file in the inbox to results in the outbox, one at a time."""

from __future__ import annotations

import errno
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, cast

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings
from ecoscale.reading import Failure
from ecoscale.watching.events import Waker
from ecoscale.watching.inbox import Inbox, Settling
from ecoscale.watching.journal import Journal, State
from ecoscale.watching.log import Log
from ecoscale.watching.outbox import DONE, QUARANTINE, Outbox, alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.ecg import ECG
    from ecoscale.inference import Classifier, Prediction
    from ecoscale.watching.inbox import Arrival
    from ecoscale.watching.journal import Entry

ReportFormat = Literal["html", "pdf", "none"]

MOST_ATTEMPTS = 5
"""A file with which the process ended so often is quarantined unread: it may be what ends it."""

RETRY_SECONDS = 5.0
"""How long is waited after results could not be written."""

REASONS_SAID = 20

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class WatchOptions:
    """How a watcher works. `reading` are options of `read_ecg` for files that do not describe themselves.

    `settle`: seconds that a file must not have changed before it is read. `patience`: seconds that one which cannot be
    read must not have changed before it is quarantined. `poll`: seconds between looks at the inbox; None: the system
    tells. `keep`: files stay in the inbox.
    """

    report: ReportFormat = "html"
    settle: float = 2.0
    patience: float = 30.0
    poll: float | None = None
    once: bool = False
    keep: bool = False
    reading: dict[str, Any] = field(default_factory=dict)


class Watcher:
    """Watches `inbox` and writes into `outbox`. `n_done` and `n_quarantined` count what `run` did.

    Raises `FormatError` where one folder lies in the other or the inbox is not there.
    """

    def __init__(
        self, inbox: Path, outbox: Path, classifier: Classifier, options: WatchOptions, log: Log | None = None
    ) -> None:
        if not inbox.is_dir():
            raise FormatError(f"{inbox}: no such folder; expected the inbox")
        one, other = inbox.resolve(), outbox.resolve()
        if one == other or one in other.parents or other in one.parents:
            raise FormatError(f"{outbox}: inbox and outbox lie in each other; expected two folders side by side")
        self.inbox, self.outbox, self.classifier, self.options = Inbox(inbox), Outbox(outbox), classifier, options
        self.log = log or Log()
        self.n_done = self.n_quarantined = 0
        self._settling = Settling(options.settle, options.patience)
        self._stopped = False
        self._said: set[str] = set()
        self._journal: Journal
        self._waker: Waker | None = None

    def stop(self) -> None:
        """End `run` after the file at hand; may be called from a signal's handler or another thread."""
        self._stopped = True
        if self._waker is not None:
            self._waker.wake()

    def run(self) -> None:
        """Watch until `stop` is called; with `once`, until all that is there is done with.

        Raises `ResultsError` where another watcher has one of the folders; with `once`, `OSError` where results cannot
        be written: what was not done stays in the inbox.
        """
        with alone(self.inbox.folder, self.outbox):
            # With once, what is there is looked at until it is done with, and then nothing more.
            poll = 0.2 if self.options.once and self.options.poll is None else self.options.poll
            self._waker = Waker(self.inbox.folder, poll, lambda said: self.log("polling", said, level="warning"))
            journal = None
            try:
                while not self._stopped and (journal := self._opened()) is None:
                    self._waker.wait(RETRY_SECONDS)
                if journal is not None:
                    self._journal = journal
                    self.log(
                        "watching", f"{self.inbox.folder}; results in {self.outbox.folder}; {self.classifier.title}"
                    )
                while not self._stopped:
                    pause = self._round()
                    due = self._settling.next_due()
                    if self.options.once and due is None:
                        break
                    if not self._stopped:
                        self._waker.wait(None if due is None else max(pause, due - time.monotonic(), 0.0))
            finally:
                self._waker.close()
                if journal is not None:
                    journal.close()
            done, quarantined = self.n_done, self.n_quarantined
            said = f"{done:,} done, {quarantined:,} quarantined"
            self.log("stopped", said, done=done, quarantined=quarantined)

    def _opened(self) -> Journal | None:
        """The journal; None where the outbox cannot be written, which was said."""
        try:
            self.outbox.open()
            return Journal(self.outbox.own / "journal.sqlite3")
        except OSError as error:
            if self.options.once:
                raise
            self._say_unwritable(error, "nothing is classified")
            return None

    def _say_unwritable(self, error: OSError, meanwhile: str, **about: object) -> None:
        said = f"{error.filename or self.outbox.folder}: {error.strerror}{'; make room' * (error.errno in _FULL)}"
        until = f"{meanwhile} until it is tried again in {RETRY_SECONDS:g} s"
        self.log("unwritable", f"{said}: {until}", level="error", **about)

    def _round(self) -> float:
        """Look at the inbox and do what is ready; returns how many seconds nothing shall be tried."""
        arrivals, errors = self.inbox.scan()
        for error in errors:
            self._say_once("unreadable", f"{error.filename}: {error.strerror}")
        self._settling.see(arrivals, time.monotonic())
        for arrival in self._settling.ready(time.monotonic()):
            if self._stopped:
                break
            try:
                self._do(arrival)
            except OSError as error:
                if self.options.once:
                    raise
                self._say_unwritable(error, "the file stays in the inbox", file=arrival.key)
                return RETRY_SECONDS
        return 0.0

    def _do(self, arrival: Arrival) -> None:
        entry = self._journal.find(arrival)
        if entry is not None and entry.state in (State.DONE, State.QUARANTINED):
            self._put_away(arrival, entry)  # a watcher before this one ended before it did
            return
        entry = self._journal.begin(arrival, entry, self.outbox.is_free)
        if entry.attempts > MOST_ATTEMPTS:
            self._quarantine(arrival, entry, f"the watcher ended {MOST_ATTEMPTS} times while it was at this file")
            return
        began = time.monotonic()
        reason = "it changed while it was read"
        try:
            outputs, n_recordings = self._classify(arrival, entry)
        except OSError:
            self._journal.forget(entry)
            raise
        except EcoscaleError as error:
            reason = str(error)
            outputs, n_recordings = (), 0
        except Exception as error:  # of one file, which must not end the watch over all others
            reason = f"{arrival.key}: {type(error).__name__}: {error}; this is a bug of ecoscale, please report it"
            outputs, n_recordings = (), 0
        if not outputs:
            self._give_up_or_wait(arrival, entry, reason)
            return
        entry = self._journal.note(entry, State.DONE)
        self.n_done += 1
        seconds = round(time.monotonic() - began, 3)
        shown = [path.relative_to(self.outbox.folder).as_posix() for path in outputs]
        said = f"{n_recordings:,} recording{'s' * (n_recordings != 1)} in {seconds:.2f} s, {', '.join(shown[:2])}"
        self.log("classified", said, file=arrival.key, recordings=n_recordings, seconds=seconds, results=shown)
        self._put_away(arrival, entry)

    def _give_up_or_wait(self, arrival: Arrival, entry: Entry, reason: str) -> None:
        if not self.inbox.is_unchanged(arrival):
            self._journal.forget(entry)
            self.log("changed", "while it was read; it is read again when it is whole", file=arrival.key)
        elif self._settling.is_last_chance(arrival, time.monotonic()):
            self._quarantine(arrival, entry, reason)
        else:
            self._journal.forget(entry)
            self._settling.tried(arrival)
            until = f"it is tried again when it changes, or has not for {self._settling.patience:g} s"
            self.log("waiting", f"cannot be read; perhaps it is not whole: {until}", file=arrival.key)

    def _classify(self, arrival: Arrival, entry: Entry) -> tuple[tuple[Path, ...], int]:
        """Results in place: their files and the number of recordings; no files where the arrival changed meanwhile.

        Raises `FormatError` where no recording of it can be classified, with the reasons.
        """
        name = PurePosixPath(entry.name).name
        failures: list[tuple[str, str]] = []
        lines: list[dict[str, object]] = []
        with self.outbox.staged() as staging:
            written = self._write_reports(self._results(arrival, lines, failures), staging, name, failures)
            if len(failures) == len(lines):
                reasons = [error for _, error in failures[:REASONS_SAID]]
                raise FormatError("\n".join(reasons) or f"{arrival.key}: no recording was found in it")
            if not self.inbox.is_unchanged(arrival):
                return (), 0
            about = {"file": arrival.key, "results": lines}
            file = staging / f"{name}.json"
            file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            return self.outbox.publish([*written, file], entry.name), len(lines)

    def _results(
        self, arrival: Arrival, lines: list[dict[str, object]], failures: list[tuple[str, str]]
    ) -> Iterator[tuple[ECG, Prediction]]:
        """Each ECG and what it shows; `lines` fills with what is written of all, `failures` with why some are not."""
        folder = f"{self.inbox.folder}/"
        found = find_recordings([self.inbox.folder / arrival.key], tables=True)
        recordings = (replace(each, options=self.options.reading) for each in found)
        for result in self.classifier.classify(recordings, workers=0):
            if isinstance(result, Failure):
                error = result.error.replace(folder, "")
                failures.append((f"{arrival.key} {result.record}".strip(), error))
                lines.append(Failure(arrival.key, result.record, error).to_dict())
            else:
                ecg, prediction = cast("tuple[ECG, Prediction]", result)
                prediction = replace(prediction, source=arrival.key)
                lines.append(prediction.to_dict())
                yield ecg, prediction

    def _write_reports(
        self, results: Iterator[tuple[ECG, Prediction]], folder: Path, name: str, failures: list[tuple[str, str]]
    ) -> list[Path]:
        if self.options.report == "html":
            from ecoscale.report import write_report

            return [write_report(results, folder / f"{name}.html", title=f"ECG findings: {name}", failures=failures)]
        written: list[Path] = []
        for ecg, prediction in results:
            if self.options.report == "pdf":
                from ecoscale.report_pdf import report_pdf

                number = f".{len(written) + 1}" if written else ""
                file = folder / f"{name}{number}.pdf"
                file.write_bytes(report_pdf(ecg, prediction))
                written.append(file)
        return written

    def _quarantine(self, arrival: Arrival, entry: Entry, reason: str) -> None:
        explained = self.outbox.explain(arrival, entry, reason)
        entry = self._journal.note(entry, State.QUARANTINED)
        self.n_quarantined += 1
        # Not the reason itself, which may quote what the file says.
        shown = explained.relative_to(self.outbox.folder).as_posix()
        self.log("quarantined", f"{shown} says why", level="warning", file=arrival.key, reason=shown)
        self._put_away(arrival, entry)

    def _put_away(self, arrival: Arrival, entry: Entry) -> None:
        if not self.options.keep:
            kind = DONE if entry.state is State.DONE else QUARANTINE
            try:
                self.outbox.take(self.inbox.folder, arrival, entry, kind)
            except OSError as error:
                if error.errno in _FULL:
                    raise
                said = f"cannot be moved to {kind}: {error.strerror}; it stays, and is not classified again"
                self.log("kept", said, level="warning", file=arrival.key)
            else:
                if entry.state is State.DONE:
                    self._journal.note(entry, State.MOVED)
                else:  # it may be mended and put back, and has no results whose name it would have to keep
                    self._journal.forget(entry)
        self._settling.finish(arrival)

    def _say_once(self, event: str, said: str) -> None:
        if said not in self._said:
            self._said.add(said)
            self.log(event, said, level="warning")
