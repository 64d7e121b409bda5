"""`find_recordings`: from files, folders and patterns to recordings; `read_recordings`: those in turn."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoscale.errors import ChannelError, EcoscaleError, FormatError
from ecoscale.formats import archive, arrays, code_hdf5, dicom, fhir, json_signal, parquet, sph_hdf5, wfdb_header
from ecoscale.formats.read import HEAD_BYTES, SAMPLED, UNMARKED, Content, content_of, may_be_archived, read_ecg, text_of
from ecoscale.formats.signals import read_signal
from ecoscale.formats.stated import Bare

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ecoscale.ecg import ECG
    from ecoscale.formats.dialect import Dialect
    from ecoscale.formats.stated import Stated
    from ecoscale.signal import Signal


@dataclass(frozen=True)
class Recording:
    """Where a recording lies: a file, and its name within a file of several (the exam id in a CODE HDF5).

    `options` are what the file does not state: `rate`, `unit` and `leads` of `read_ecg`.
    """

    path: Path
    record: str | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def read(self, **options: Any) -> ECG:
        """Read it: `read_ecg(path, record=record, **options)`, with its errors; `options` outweigh its own."""
        return read_ecg(self.path, record=self.record, **(self.options | options))


@dataclass(frozen=True)
class SignalRecording(Recording):
    """A recording of a signal of any kind; `options` are those of `read_signal`."""

    def read(self, **options: Any) -> Signal:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read it: `read_signal(path, record=record, **options)`, with its errors; `options` outweigh its own."""
        return read_signal(self.path, record=self.record, **(self.options | options))


def find_recordings(paths: Iterable[str | Path], *, tables: bool | Dialect = False) -> Iterator[Recording]:
    """Every recording in these files, folders (with those in them) and patterns (`*`, `?`, `[...]`, `**`), each once.

    In a folder, those files are recordings that say so by their content: WFDB headers, DICOM waveforms, SCP-ECG, HL7
    aECG, MUSE and Philips XML, FHIR and other JSON with a signal, EDF, BDF, ISHNE Holter, CODE HDF5 (one recording an
    exam), SPH HDF5 (one a file), archives (one recording each that is in them), in the order of their names. Others are
    passed over, and hidden ones; text tables only where a dialect beside them, or in the folder, says how they are
    read. `tables` takes `.npy`, `.mat` and all text tables too, which can be read only with a rate and a unit given;
    or, as a dialect, the tables that fit it. A path named
    as such, or found by a pattern, is always yielded, even if nothing is there or the folder holds no recording:
    `Recording.read` then raises the error that says why.
    """
    return _each_once(paths, partial(_in_folder, tables=tables), tables)


def find_signals(
    paths: Iterable[str | Path], channels: Collection[str], *, dialect: Dialect | None = None
) -> Iterator[Recording]:
    """Every recording of such channels in these files, folders and patterns, each once, as `find_recordings` does.

    In a folder, those files are recordings that say so by their content: WFDB headers, EDF, BDF and `.npy`; Parquet and
    text tables whose columns name all the `channels`, and tables of as many columns of bare numbers, or that fit the
    `dialect`, given or beside them.
    """
    return _each_once(paths, partial(_signal_in_folder, channels=channels, dialect=dialect), False)


def _each_once(
    paths: Iterable[str | Path], in_folder: Callable[[Path], Iterator[Recording]], tables: bool | Dialect
) -> Iterator[Recording]:
    seen: set[tuple[str, str | None]] = set()
    for path in paths:
        for recording in _at(path, in_folder, tables):
            key = os.path.abspath(recording.path), recording.record  # noqa: PTH100  (a Path takes 10 times as long)
            if key not in seen:
                seen.add(key)
                yield recording


def read_recordings(recordings: Iterable[Recording]) -> Iterator[Signal | EcoscaleError]:
    """The signal of each recording in turn, an ECG or another, or the error that reading it raised.

    An HDF5 is opened once for the recordings of it that follow each other.
    """
    for path, group in groupby(recordings, key=attrgetter("path")):
        members = list(group)
        ecgs = not any(isinstance(recording, SignalRecording) for recording in members)
        if len(members) > 1 and ecgs and _content(path)[0] is Content.HDF5:
            yield from _read_exams(path, members)
        else:
            for recording in members:
                yield _outcome(recording.read)


def _read_exams(path: Path, members: list[Recording]) -> Iterator[Signal | EcoscaleError]:
    try:
        with code_hdf5.open_exams(path) as file:
            for recording in members:
                # It always has the twelve, and a few seconds.
                needless = ("fewer_leads", "longest", "dialect")
                options = {name: value for name, value in recording.options.items() if name not in needless}
                yield _outcome(partial(file.read, recording.record, **options))
    except EcoscaleError as error:  # the file as a whole
        yield from [error] * len(members)


def _outcome(read: Callable[[], Signal]) -> Signal | EcoscaleError:
    try:
        return read()
    except EcoscaleError as error:
        return error


def _at(
    path: str | Path,
    in_folder: Callable[[Path], Iterator[Recording]],
    tables: bool | Dialect,
    *,
    matched: bool = False,
) -> Iterator[Recording]:
    text = str(path)
    if glob.has_magic(text) and not os.path.lexists(text):
        found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  (a Path takes no absolute pattern)
        for match in found:
            yield from _at(Path(match), in_folder, tables, matched=True)
        if found:
            return
    path = Path(path)
    # A record's name may also be a folder's: the folder is meant, as everywhere in a shell.
    if os.path.isdir(path):  # noqa: PTH112  (false where Path.is_dir raises: no permission, a name too long)
        empty = True
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    for recording in in_folder(Path(folder, name)):
                        empty = False
                        yield recording
        if empty and not matched:
            yield Recording(path)
        return
    content, _ = _content(path)
    if content is Content.HDF5:
        yield from _exams(path, named=True)
        return
    if content is Content.PARQUET:
        yield from _parquet(path, named=True)
        return
    if content in UNMARKED or content is None:
        if header := wfdb_header.header_beside(path):
            path = header
        elif content is Content.ARCHIVE:
            yield from _archived(path, tables, named=True)
            return
    yield Recording(path)


def _in_folder(path: Path, tables: bool | Dialect) -> Iterator[Recording]:
    if _is_special(path):
        return
    content, head = _content(path)
    if content is Content.HDF5:
        yield from _exams(path, named=False)
    elif content is Content.ARCHIVE and not wfdb_header.header_beside(path):
        yield from _archived(path, tables, named=False)
    elif content is Content.PARQUET:
        yield from _parquet(path, named=False)
    elif (
        # A header that is not valid, empty or unreadable is yielded for its error's sake.
        content is Content.WFDB_HEADER
        or path.suffix == ".hea"
        or content in SAMPLED
        or content in (Content.AECG, Content.MUSE, Content.PHILIPS)
        or (content is Content.DICOM and dicom.may_hold_waveform(head))
        or (content is Content.FHIR and fhir.may_hold_signal(path))
        or (content is Content.JSON and json_signal.may_hold_signal(path))
        or (tables is True and content is Content.NPY)
        or (tables is True and content is Content.MATLAB and not wfdb_header.header_beside(path))
        or (content in (Content.TEXT, Content.BINARY) and _is_table(path, content, head, tables))
    ):
        yield Recording(path)


def _signal_in_folder(path: Path, channels: Collection[str], dialect: Dialect | None) -> Iterator[Recording]:
    if _is_special(path):
        return
    content, head = _content(path)
    says_so = content in (Content.WFDB_HEADER, Content.EDF, Content.NPY) or path.suffix == ".hea"
    if (
        says_so
        or (content is Content.PARQUET and _names_all(lambda: parquet.stated(path, str(path)), channels))
        or (content in (Content.TEXT, Content.BINARY) and _is_signal_table(path, content, head, channels, dialect))
    ):
        yield Recording(path)


def _is_signal_table(
    path: Path, content: Content, head: bytes, channels: Collection[str], dialect: Dialect | None
) -> bool:
    if dialect is not None or arrays.dialect_beside(path):
        from ecoscale.formats.dialect import dialect_of, stated_table

        try:
            dialect = dialect or dialect_of(path)
        except EcoscaleError:
            return path.with_name(path.name + ".yaml").exists()  # to read it says what is wrong with the dialect
        if dialect is not None:
            found = dialect
            return _names_all(lambda: stated_table(_whole_lines(head), found, str(path)), channels)
    if content is not Content.TEXT or wfdb_header.header_beside(path):
        return False
    return _names_all(lambda: arrays.stated_table(text_of(_whole_lines(head)), str(path)), channels)


def _whole_lines(head: bytes) -> bytes:
    # The last line may be cut.
    return head.rpartition(b"\n")[0] if len(head) == HEAD_BYTES else head


def _names_all(stated: Callable[[], Stated | Bare], channels: Collection[str]) -> bool:
    """Whether a file states all these channels, or has columns of bare numbers for as many."""
    try:
        found = stated()
    except (FormatError, ChannelError):
        return False
    if isinstance(found, Bare):
        return len(channels) in found.values.shape
    return set(channels) <= {*found.names, *found.headings}


def _is_table(path: Path, content: Content, head: bytes, tables: bool | Dialect) -> bool:
    """Whether a text file is a table that can be read: by the dialect given, or beside it, or by what was stated."""
    if not isinstance(tables, bool) or arrays.dialect_beside(path):
        from ecoscale.formats.dialect import dialect_of, fits

        try:
            dialect = dialect_of(path) if isinstance(tables, bool) else tables
        except EcoscaleError:
            return path.with_name(path.name + ".yaml").exists()  # to read it says what is wrong with the dialect
        return dialect is not None and fits(head, dialect)
    return tables and content is Content.TEXT and arrays.looks_like_table(text_of(head))


def _is_special(path: Path) -> bool:
    """Whether it is a pipe, socket or device, which may be waited for without end; not a link that leads nowhere."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116  (Path.stat takes twice as long)
    except OSError:
        return False


def _archived(path: Path, tables: bool | Dialect, *, named: bool) -> Iterator[Recording]:
    """The recordings in an archive, by their names in it; a single one has none, and needs none to be read."""
    try:
        members = archive.members(path, str(path), partial(may_be_archived, tables=bool(tables)))
    except EcoscaleError:
        yield Recording(path)  # to read it says what is wrong
        return
    if len(members) > 1:
        yield from (Recording(path, member) for member in members)
    elif members or named:
        yield Recording(path)


def _parquet(path: Path, *, named: bool) -> Iterator[Recording]:
    try:
        from ecoscale.formats.parquet_records import open_records

        records = open_records(path)
    except Exception:  # pyarrow's have several parents, and it may not be there
        records = None
    if records is not None:
        yield from (Recording(path, record) for record in records.records)
    elif named or parquet.is_recording(path):
        yield Recording(path)


def _exams(path: Path, *, named: bool) -> Iterator[Recording]:
    try:
        if sph_hdf5.is_recording(path):
            yield Recording(path)
            return
        records = code_hdf5.exams(path)
    except EcoscaleError:
        yield Recording(path)  # to read it says what is wrong
        return
    if records is None:
        if named:
            yield Recording(path)
        return
    for record in records:
        yield Recording(path, record)


def _content(path: Path) -> tuple[Content | None, bytes]:
    """What a file holds, and its first bytes; None for one that is not there or cannot be opened."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (Path.open takes twice as long)
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return None, b""
    return content_of(head), head
