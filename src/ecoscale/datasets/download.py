"""Downloading a published collection: what is missing, whether there is room, then fetched, verified and unpacked.

`plan_download` looks, `download` acts. Both may be repeated at any time: files that are whole are not fetched again,
begun ones go on from where they stopped (`ecoscale.datasets.transfer`), and archives that were unpacked and removed are
remembered (`ecoscale.datasets.verified`).
"""

from __future__ import annotations

import errno
import fnmatch
import os
import queue
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ecoscale.datasets.archive import Archive, RemoteFile, estimated_sizes, list_files
from ecoscale.datasets.transfer import BACKOFF, Stopped, fetch, open_session
from ecoscale.datasets.unpacking import SUFFIXES, unpack
from ecoscale.datasets.verified import VerifiedFiles
from ecoscale.errors import DatasetError, EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from requests import Session

CONNECTIONS = 4
MAX_CONNECTIONS = 8
"""More than this from one user would be rude to a public server."""


@dataclass(frozen=True)
class Plan:
    """What a download will do.

    `to_fetch` and `to_unpack` are what is still to be done of `files`; an archive to be fetched is in both. `to_come`,
    `needed` and `free` are bytes: over the network, on the disk while it goes on, and free there now. Where the
    listing has no sizes they are estimates (`estimated`, see `estimated_sizes`).
    """

    directory: Path
    files: tuple[RemoteFile, ...]
    to_fetch: tuple[RemoteFile, ...]
    to_unpack: tuple[RemoteFile, ...]
    to_come: int
    needed: int
    free: int
    estimated: bool
    connections: int
    keep_archives: bool
    backoff: float
    verified: VerifiedFiles

    @property
    def to_do(self) -> tuple[RemoteFile, ...]:
        """The files with which something is to be done, in the host's order."""
        return tuple(dict.fromkeys((*self.to_fetch, *self.to_unpack)))

    def check_room(self) -> None:
        """Raise `DatasetError` if the disk lacks the room."""
        from rich.filesize import decimal

        if self.needed > self.free:
            raise DatasetError(
                f"{self.directory}: {decimal(self.needed)} are needed there{' (estimated)' * self.estimated}, and "
                f"{decimal(self.free)} are free; make room, choose another disk, or take fewer files with --only"
            )


class Failure(NamedTuple):
    """A file that could not be had, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a download did: files now whole, those of them that were so before, bytes that came, and what failed."""

    n_files: int
    n_before: int
    n_bytes: int
    seconds: float
    failures: tuple[Failure, ...]


def plan_download(
    archive: Archive,
    directory: str | Path,
    *,
    only: Sequence[str] = (),
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    keep_archives: bool = False,
    reread: bool = False,
    backoff: float = BACKOFF,
    progress: Callable[[Iterable[RemoteFile], str], Iterable[RemoteFile]] = lambda files, _description: files,
) -> Plan:
    """Find out what is missing in `directory` of a publication, and what fetching it takes; nothing is written.

    Parameters
    ----------
    archive
        What `Collection.archive` names.
    directory
        The collection's folder; it need not exist yet.
    only
        Patterns (`exams_part0*`, `records100/*`; `*` matches any text) of which a file's path must fit one.
    base_url
        A mirror: see `list_files`.
    connections
        Files fetched at the same time, 1 to `MAX_CONNECTIONS`.
    keep_archives
        Leave zip and tar files (those of Zenodo and figshare) where they are after unpacking.
    reread
        Compare every file's checksum, where otherwise its size and time of change stand for one made before.
    backoff
        Seconds before a failed request is tried again, doubled each time; 0 waits only as long as a server asks for.
    progress
        `progress(files, description)` may wrap the loop that looks at each file.

    Raises
    ------
    DatasetError
        If the files cannot be listed, a pattern fits none, or the listing has no checksum of a file.
    """
    if not 1 <= connections <= MAX_CONNECTIONS:
        raise DatasetError(f"{connections} connections; expected 1 to {MAX_CONNECTIONS}")
    directory = Path(directory)
    with open_session(backoff) as session:
        listed = list_files(archive, base_url, session=session)
        files = _chosen(listed, only)
        verified = VerifiedFiles(directory)
        to_fetch, to_unpack = [], []
        for file in progress(files, "checking"):
            checksum = file.checksum or ""
            packed = _is_packed(archive, file)
            if packed and verified.unpacked(file.path, checksum, reread=reread):
                continue
            if not verified.holds(file.path, checksum, file.size, reread=reread):
                to_fetch.append(file)
            if packed:
                to_unpack.append(file)
        wanted = list(dict.fromkeys((*to_fetch, *to_unpack)))
        sizes = estimated_sizes(wanted, session, archive.size // len(listed))
    coming = {file: max(0, sizes[file.path] - _part_size(directory / file.path)) for file in to_fetch}
    expansion = max(1.0, (archive.unpacked or archive.size) / archive.size)
    needed = sum(coming.values()) + sum(round(sizes[file.path] * expansion) for file in to_unpack)
    if not keep_archives:
        # Each goes as soon as it is unpacked: no more of them lie there at once than there are connections.
        packed = sorted((coming[file] for file in set(to_fetch) & set(to_unpack)), reverse=True)
        needed -= sum(packed[connections:])
    return Plan(
        directory=directory,
        files=tuple(files),
        to_fetch=tuple(to_fetch),
        to_unpack=tuple(to_unpack),
        to_come=sum(coming.values()),
        needed=needed,
        free=_free(directory),
        estimated=any(file.size is None for file in wanted) or bool(to_unpack),
        connections=connections,
        keep_archives=keep_archives,
        backoff=backoff,
        verified=verified,
    )


def download(
    plan: Plan,
    *,
    received: Callable[[int], object] = lambda _n_bytes: None,
    finished: Callable[[int], object] = lambda _n_files: None,
) -> Report:
    """Do what a plan says.

    A file that fails is reported and the others are fetched all the same. `received` is told bytes as they come (a
    negative number: they must come again) from several threads, `finished` files that are whole.
    Stopped by `KeyboardInterrupt` or killed, it goes on where it was when plan and download are made again.

    Raises
    ------
    DatasetError
        If there is no room on the disk, at first or on the way, or another download writes to the folder.
    """
    plan.check_room()
    start, todo = time.monotonic(), plan.to_do
    plan.directory.mkdir(parents=True, exist_ok=True)
    counted = _Counted(received)
    with _alone_in(plan.directory):
        plan.verified.save()
        for file in set(plan.files) - set(todo):
            # Killed between unpacking it and removing it; one that was meant to be kept stays.
            if not plan.verified.kept(file.path):
                (plan.directory / file.path).unlink(missing_ok=True)
        failures = _Workers(plan, counted, finished).run(todo)
    return Report(
        n_files=len(plan.files) - len(failures),
        n_before=len(plan.files) - len(todo),
        n_bytes=counted.total,
        seconds=time.monotonic() - start,
        failures=tuple(failures),
    )


class _Counted:
    """Tells bytes on, and counts all that came over the network."""

    def __init__(self, received: Callable[[int], object]) -> None:
        self.received, self.total, self._lock = received, 0, threading.Lock()

    def __call__(self, n_bytes: int) -> None:
        with self._lock:
            self.total += max(0, n_bytes)
        self.received(n_bytes)


class _Workers:
    """Threads that take one file after the other, each to its end: fetched, verified, unpacked."""

    def __init__(self, plan: Plan, received: Callable[[int], object], finished: Callable[[int], object]) -> None:
        self.plan, self.received, self.finished = plan, received, finished
        self.to_fetch, self.to_unpack = frozenset(plan.to_fetch), frozenset(plan.to_unpack)
        self.stop = threading.Event()
        self.waiting: queue.SimpleQueue[RemoteFile] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[RemoteFile, BaseException | None]] = queue.SimpleQueue()

    def run(self, files: Sequence[RemoteFile]) -> list[Failure]:
        for file in files:
            self.waiting.put(file)
        # Daemons: one that waits for a server must not keep the process when it is asked to end. Parts can bear that.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.plan.connections)]
        failures = []
        try:
            for thread in threads:
                thread.start()
            for _ in files:
                file, error = self.done.get()
                if error is None:
                    self.finished(1)
                elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DatasetError(
                        f"{self.plan.directory}: the disk is full at {file.path}; what has come is kept: make room, "
                        "and the same command goes on"
                    ) from error
                elif isinstance(error, EcoscaleError | OSError):
                    failures.append(Failure(file.path, str(error)))
                else:
                    raise error
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(timeout=1)
            self.plan.verified.save()
        return failures

    def _work(self) -> None:
        with open_session(self.plan.backoff) as session:
            while not self.stop.is_set():
                try:
                    file = self.waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._complete(session, file)
                except Stopped:
                    return
                except BaseException as error:  # raised where it is taken from the queue
                    self.done.put((file, error))
                else:
                    self.done.put((file, None))

    def _complete(self, session: Session, file: RemoteFile) -> None:
        plan, target, checksum = self.plan, self.plan.directory / file.path, file.checksum or ""
        if file in self.to_fetch:
            fetch(session, file, target, backoff=plan.backoff, received=self.received, stop=self.stop)
            plan.verified.record(file.path, checksum)
        if file in self.to_unpack:
            folder = Path(file.path).parent
            members = [(folder / member).as_posix() for member in unpack(target)]
            plan.verified.record_unpacked(file.path, checksum, members, kept=plan.keep_archives)
        plan.verified.save()
        if file in self.to_unpack and not plan.keep_archives:
            target.unlink()


def _chosen(files: Sequence[RemoteFile], only: Sequence[str]) -> list[RemoteFile]:
    for pattern in only:
        if not any(fnmatch.fnmatchcase(file.path, pattern) for file in files):
            some = ", ".join(file.path for file in files[:5])
            raise DatasetError(f"no file fits {pattern!r}; there are {len(files):,}, such as {some}")
    chosen = [file for file in files if not only or any(fnmatch.fnmatchcase(file.path, each) for each in only)]
    if unsure := [file.path for file in chosen if file.checksum is None]:
        raise DatasetError(f"{unsure[0]}: no checksum is published, nor of {len(unsure) - 1} more; fetch it by hand")
    return chosen


def _is_packed(archive: Archive, file: RemoteFile) -> bool:
    """Whether a file is to be unpacked. PhysioNet serves a publication's files as they are to be."""
    return archive.host != "physionet" and file.path.lower().endswith(SUFFIXES)


def _part_size(target: Path) -> int:
    try:
        return target.with_name(f"{target.name}.part").stat().st_size
    except OSError:
        return 0


def _free(directory: Path) -> int:
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two downloads must not add to the same parts. The lock goes with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to replace a file that another process has open
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f"{directory}: another download writes to it; wait for its end") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
