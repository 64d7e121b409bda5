"""Recordings in object storage: found by listing, and fetched to this machine a few ahead of those that read them.

A file of one recording is fetched with the files that it needs and is gone when it has been read. A Parquet file of
many is read where it lies, a row group at a time. An HDF5 or an archive of many is copied once to each machine that
reads it (`ecoscale.storage.local_copy`).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ecoscale.errors import FormatError, StorageError
from ecoscale.formats import find_recordings, wfdb_header
from ecoscale.formats.parquet import KEY as PARQUET_KEY
from ecoscale.formats.parquet import MAGIC
from ecoscale.formats.parquet_records import RecordsFile, is_of_records
from ecoscale.formats.read import HEAD_BYTES, Content, content_of, may_be_archived, read_file
from ecoscale.storage import explained, filesystem, local_copy
from ecoscale.workers import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fsspec import AbstractFileSystem

    from ecoscale.ecg import ECG
    from ecoscale.reading import Readable

FETCHED_TOGETHER = 16
"""Recordings that are fetched at the same time: an object store answers late, and many at once."""

FETCHED_AHEAD = 64
"""Recordings that lie fetched, or are being fetched, at most."""

HEADS_TOGETHER = 256
"""Files whose beginnings are asked for at the same time."""

MOST_FOLDERS = 1000
"""Folders beside each other that are listed one by one; of more, everything below is listed at once."""


@dataclass(frozen=True)
class RemoteRecording:
    """A recording at a URL: a file, and its name in a file of several. `options` go to what reads it."""

    url: str
    record: str | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> str:
        """Its URL."""
        return self.url

    def read(self) -> ECG:
        """Fetch it and read it. Raises what `read_ecg` does, and `StorageError`."""
        return fetch(self).read()


@dataclass(frozen=True)
class Fetched:
    """A recording that lies on this machine as long as this does: `copy` is the file, `folder` what holds it alone."""

    remote: RemoteRecording
    copy: Path
    folder: _Scratch | None

    @property
    def path(self) -> str:
        """Its URL."""
        return self.remote.url

    @property
    def record(self) -> str | None:
        """Its name in a file of several."""
        return self.remote.record

    def read(self) -> ECG:
        """Read it, with the errors of `read_ecg`, which name the URL."""
        known: dict[str, Any] = {"fewer_leads": False} | self.remote.options
        stated = {name: known.pop(name, None) for name in ("rate", "unit", "leads")}
        return read_file(self.copy, {"source": self.remote.url, "record": self.remote.record} | stated, **known)


@dataclass(frozen=True)
class RowOfParquet:
    """A row of a Parquet file of recordings, read where it lies."""

    remote: RemoteRecording

    @property
    def path(self) -> str:
        """The file's URL."""
        return self.remote.url

    @property
    def record(self) -> str | None:
        """The row's name."""
        return self.remote.record

    def read(self) -> ECG:
        """Read it, with the errors of `read_ecg`."""
        wanted = {name: value for name, value in self.remote.options.items() if name not in ("longest", "dialect")}
        with explained(self.remote.url):
            records = _records_at(self.remote.url)
            if records is None:
                raise FormatError(
                    f"{self.remote.url}: holds recordings no more; was it written anew since it was listed?"
                )
            return records.read(self.remote.record, **wanted)


@dataclass(frozen=True)
class Unfetched:
    """A recording that is not there, or may not be read: `error` says so when it is."""

    remote: RemoteRecording
    error: str

    @property
    def path(self) -> str:
        """Its URL."""
        return self.remote.url

    @property
    def record(self) -> str | None:
        """Its name in a file of several."""
        return self.remote.record

    def read(self) -> ECG:
        """Raises `FormatError`."""
        raise FormatError(self.error)


class _Scratch:
    """A folder that is gone with this object, also where nobody asks for it to be."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ecoscale-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def fetch_ahead(records: Iterable[Readable]) -> Iterator[Readable]:
    """The records in order, recordings fetched ahead of who reads them. Raises `StorageError` where that fails."""
    yield from in_threads(_fetched, ((record,) for record in records), FETCHED_TOGETHER, FETCHED_AHEAD)


def _fetched(record: Readable) -> Readable:
    return fetch(record) if isinstance(record, RemoteRecording) else record


def fetch(remote: RemoteRecording) -> Fetched | RowOfParquet | Unfetched:
    """A recording as it can be read here. One that is not there says so when it is read, as a local one does.

    Raises `StorageError` where storage cannot be reached.
    """
    fs, location = filesystem(remote.url)
    if remote.record is not None:
        with explained(remote.url):
            is_parquet = location.endswith(".parquet") or fs.cat_file(location, start=0, end=len(MAGIC)) == MAGIC
        return RowOfParquet(remote) if is_parquet else Fetched(remote, _copy_of(remote.url), None)
    scratch = _Scratch()
    try:
        copy = _fetch_with_companions(fs, location, scratch.path)
    except (FileNotFoundError, PermissionError) as error:
        return Unfetched(remote, f"{remote.url}: the file cannot be read: {error}")
    except Exception as error:
        with explained(remote.url):
            raise error
    return Fetched(remote, copy, scratch)


def find_remote(url: str, tables: bool, options: dict[str, Any]) -> Iterator[RemoteRecording]:
    """Every recording at a URL: a file, a pattern, or a folder with those in it, as `find_recordings` finds them.

    In a folder, a file is a recording by its first bytes, but for WFDB headers, which are known by their names, and
    what lies beside a header of its name. Raises `StorageError`, also for a folder without recordings.
    """
    fs, root = filesystem(url)
    empty = True
    with explained(url):
        fs.invalidate_cache()
        if named := any(sign in root for sign in "*?["):
            groups: Iterable[list[str]] = [[str(each) for each in fs.glob(root) if not fs.isdir(each)]]
        elif named := fs.isfile(root):
            groups = [[root]]
        else:
            groups = _files_by_folder(fs, root)
        for group in groups:
            for location, record in _in_files(fs, sorted(group), tables, named=named):
                empty = False
                yield RemoteRecording(fs.unstrip_protocol(location), record, options)
    if empty:
        raise StorageError(f"{url}: holds no recording that is known by its content; check the path")


def _files_by_folder(fs: AbstractFileSystem, folder: str, depth: int = 0) -> Iterator[list[str]]:
    """The files below a folder, hidden ones left out: of the first levels by folder, so that few are listed at once."""
    entries = fs.ls(folder, detail=True)
    fs.invalidate_cache()  # it would keep all that was ever listed
    yield [entry["name"] for entry in entries if entry["type"] == "file" and not _is_hidden(entry["name"], folder)]
    folders = sorted(
        entry["name"] for entry in entries if entry["type"] == "directory" and not _is_hidden(entry["name"], folder)
    )
    # A list of everything below costs a request for each thousand files, one by folder a request for each folder.
    if depth == 0 or (depth == 1 and len(folders) <= MOST_FOLDERS):
        for each in folders:
            yield from _files_by_folder(fs, each, depth + 1)
        return
    for each in folders if len(folders) <= MOST_FOLDERS else [folder]:
        below = [str(name) for name in fs.find(each)]
        fs.invalidate_cache()
        direct = {entry["name"] for entry in entries}
        yield [name for name in below if name not in direct and not _is_hidden(name, folder)]


def _in_files(
    fs: AbstractFileSystem, locations: Sequence[str], tables: bool, *, named: bool
) -> Iterator[tuple[str, str | None]]:
    """Those of the files that are recordings, and the names of recordings within files of several."""
    headers = {location for location in locations if location.endswith(".hea")}
    waiting = [
        location
        for location in locations
        if location in headers or str(PurePosixPath(location).with_suffix(".hea")) not in headers
    ]
    for first in range(0, len(waiting), HEADS_TOGETHER):
        together = waiting[first : first + HEADS_TOGETHER]
        asked = [location for location in together if location not in headers]
        heads = dict(zip(asked, _heads(fs, asked), strict=True))
        for location in together:
            head = heads.get(location)
            if head is None:  # a header, or what cannot be read, which then says why
                yield location, None
            else:
                yield from _in_file(fs, location, head, tables, named=named)


def _in_file(
    fs: AbstractFileSystem, location: str, head: bytes, tables: bool, *, named: bool
) -> Iterator[tuple[str, str | None]]:
    content, url = content_of(head), fs.unstrip_protocol(location)
    if content is Content.PARQUET:
        records = _records_at(url)
        if records is not None:
            yield from ((location, record) for record in records.records)
            return
        found = named or _says_that_it_is(fs, location)
    elif content in (Content.HDF5, Content.ARCHIVE):
        copy = _copy_of(url)
        inside = [each for each in find_recordings([copy.parent], tables=tables) if each.path == copy]
        yield from ((location, each.record) for each in inside)
        found = named and not inside
    else:
        found = named or may_be_archived(PurePosixPath(location).name, head, tables=tables)
    if found:
        yield location, None


def _heads(fs: AbstractFileSystem, locations: list[str]) -> list[bytes | None]:
    """The first bytes of each file, asked for together; None where they cannot be had."""
    if not locations:
        return []
    got = fs.cat_ranges(locations, [0] * len(locations), [HEAD_BYTES] * len(locations), on_error="return")
    return [bytes(head) if isinstance(head, bytes | bytearray | memoryview) else None for head in got]


def _says_that_it_is(fs: AbstractFileSystem, location: str) -> bool:
    """Whether the metadata of a Parquet file say that it is one recording."""
    import pyarrow.parquet

    with fs.open(location, "rb") as stream:
        return PARQUET_KEY.encode() in (pyarrow.parquet.read_schema(stream).metadata or {})


@lru_cache(maxsize=2)
def _records_at(url: str) -> RecordsFile | None:
    """The Parquet file of recordings at a URL; None for another."""
    import pyarrow.parquet

    fs, location = filesystem(url)
    stream = fs.open(location, "rb")
    if not is_of_records(pyarrow.parquet.read_schema(stream)):
        stream.close()
        return None
    stream.seek(0)
    return RecordsFile(stream, url)


@lru_cache(maxsize=16)
def _copy_of(url: str) -> Path:
    """A file of several recordings, copied to this machine."""
    return local_copy(url)


def _fetch_with_companions(fs: AbstractFileSystem, location: str, folder: Path) -> Path:
    """Copy a file and, of a WFDB record, those that its header and its segments' headers name, into a folder."""
    beside = location[: -len(PurePosixPath(location).name)]
    waiting, seen = [location], set()
    while waiting:
        name = waiting.pop()
        copy = folder / PurePosixPath(name).name
        seen.add(name)
        try:
            fs.get_file(name, str(copy))
        except FileNotFoundError:
            if name == location:
                raise
            continue  # what reads the header says what it lacks
        if name.endswith(".hea"):
            waiting += [other for other in _named_in(copy, beside) if other not in seen]
    return folder / PurePosixPath(location).name


def _named_in(header: Path, beside: str) -> set[str]:
    """The files that a WFDB header names: of signals, or the headers of segments."""
    first, *lines = wfdb_header.content_lines(header.read_text("latin-1")) or [""]
    suffix = ".hea" if "/" in first.partition(" ")[0] else ""
    words = {line.split()[0] for line in lines}
    return {f"{beside}{word}{suffix}" for word in words if word != "~" and PurePosixPath(word).name == word}


def _is_hidden(location: str, below: str) -> bool:
    parts = PurePosixPath(location.removeprefix(below)).parts
    return any(part.startswith(".") for part in parts)
