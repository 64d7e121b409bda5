"""Recordings in a zip archive or compressed with gzip: unpacked to a folder that is gone when they are read.

Nothing in an archive chooses a path: its files are written under the last part of their names.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import wfdb_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_UNPACKED = 2**30
"""Bytes that the files of one recording may take: as many as 24 hours of 12 leads at 500 Hz in 16 bits do."""

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b\x08"
_HEAD_BYTES = 4096
_AT_ONCE = 2**20
_LARGEST_HEADER = 2**24
_ENCRYPTED = 1


def is_archive(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip archive or of gzip."""
    return head.startswith((_ZIP, _GZIP))


@dataclass(frozen=True)
class Unpacked:
    """A recording taken out of an archive: where it lies, what its errors call it, and its name in the archive.

    `member` is None where the archive holds no other, and `record` is then what was asked for.
    """

    path: Path
    source: str
    member: str | None
    record: str | None


def members(path: Path, source: str, is_recording: Callable[[str, bytes], bool]) -> list[str]:
    """The names of the files in an archive that are recordings, by their names and first bytes, in order.

    Raises `FormatError` for an archive that is damaged or encrypted.
    """
    with _opened(path, source) as archive:
        return _recordings(archive, is_recording)


@contextmanager
def unpacked(
    path: Path, *, source: str, record: str | None, is_recording: Callable[[str, bytes], bool]
) -> Iterator[Unpacked]:
    """One recording of an archive, in a folder that is there as long as the context is; `record` chooses of several.

    Raises `FormatError` for an archive that is damaged, encrypted, holds none or several, or is larger than
    `LARGEST_UNPACKED` when unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="ecoscale-") as folder:
        with _opened(path, source) as archive:
            found = _extracted(archive, Path(folder), source, record, is_recording)
        yield found


def _extracted(
    archive: _Zip | _Gzip, folder: Path, source: str, record: str | None, is_recording: Callable[[str, bytes], bool]
) -> Unpacked:
    names = archive.names
    if record is not None and record in names:  # nothing else needs to be looked at, however much there is
        chosen, member, record = record, record, None
    else:
        found = _recordings(archive, is_recording)
        if not found and len(names) == 1:  # its reader says what it lacks
            found = names
        if len(found) != 1:
            listed = f" ({', '.join(found[:20])}{', ...' if len(found) > 20 else ''})" if found else ""
            wrong = "" if record is None else f"; {record!r}, which was asked for, is not among them"
            raise FormatError(
                f"{source}: an archive with {len(found) or 'no'} recordings{listed}{wrong}; expected one"
                + (", or record= to choose one by its name" if found else "")
            )
        chosen, member = found[0], None
    room = LARGEST_UNPACKED
    for name in archive.with_companions(chosen):
        room -= archive.extract(name, folder, room)
    target = folder / _file_name(chosen)
    with target.open("rb") as file:
        if is_archive(file.read(_HEAD_BYTES)):
            raise FormatError(f"{source}: {chosen} in it is an archive too; unpack the outer one")
    return Unpacked(target, f"{source}/{chosen}", member, record)


def _recordings(archive: _Zip | _Gzip, is_recording: Callable[[str, bytes], bool]) -> list[str]:
    names = set(archive.names)
    # What lies beside a header of its name (a `.mat` of WFDB) is read by that.
    beside = {name for name in names if str(PurePosixPath(name).with_suffix(".hea")) in names - {name}}
    return [name for name in archive.names if name not in beside and is_recording(name, archive.head(name))]


class _Zip:
    """An open zip archive, and what may be taken out of it."""

    def __init__(self, file: ZipFile, source: str) -> None:
        self._source = source
        self._file = file
        self._infos = {info.filename: info for info in file.infolist() if not info.is_dir()}

    @property
    def names(self) -> list[str]:
        return sorted(name for name in self._infos if not _is_hidden(name))

    def head(self, name: str) -> bytes:
        with self._open(self._infos[name]) as member:
            return member.read(_HEAD_BYTES)

    def with_companions(self, name: str) -> list[str]:
        """A file, and those of the same record of WFDB: what its header, and those of its segments, name."""
        found, waiting = [], [name]
        while waiting:
            name = waiting.pop()
            if name in found or name not in self._infos:
                continue
            found.append(name)
            beside = name.removesuffix(PurePosixPath(name).name)
            for line in wfdb_header.content_lines(self._header(name))[1:]:
                word = line.split()[0]
                waiting += [f"{beside}{word}", f"{beside}{word}.hea"]
        return found

    def _header(self, name: str) -> str:
        """The text of a WFDB header; none for any other file."""
        if not (name.endswith(".hea") or wfdb_header.is_header(self.head(name).decode("latin-1"))):
            return ""
        with self._open(self._infos[name]) as member:
            return member.read(_LARGEST_HEADER).decode("latin-1")

    def extract(self, name: str, folder: Path, room: int) -> int:
        info = self._infos[name]
        if info.file_size > room:
            raise _too_large(self._source, name)
        with self._open(info) as member:
            return _copied(member, folder / _file_name(name), room, self._source, name)

    def _open(self, info: ZipInfo) -> IO[bytes]:
        if info.flag_bits & _ENCRYPTED:
            raise FormatError(
                f"{self._source}: {info.filename} in the archive is encrypted; unpack it with its password"
            )
        return self._file.open(info)


class _Gzip:
    """A file compressed by itself: an archive of one, called as it is without its suffix."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source
        name = Path(source).name
        self.names = [name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name]

    def head(self, _: str) -> bytes:
        with gzip.open(self._path) as file:
            return file.read(_HEAD_BYTES)

    def with_companions(self, name: str) -> list[str]:
        return [name]

    def extract(self, name: str, folder: Path, room: int) -> int:
        with gzip.open(self._path) as file:
            return _copied(file, folder / _file_name(name), room, self._source, name)


@contextmanager
def _opened(path: Path, source: str) -> Iterator[_Zip | _Gzip]:
    """The open archive. What goes wrong with it, also while it is open, comes out as a `FormatError`."""
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_ZIP)) == _ZIP
        if zipped:
            with ZipFile(path) as file:
                yield _Zip(file, source)
        else:
            yield _Gzip(path, source)
    except EcoscaleError:
        raise
    except (OSError, EOFError, BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(
            f"{source}: the archive cannot be unpacked ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _copied(member: IO[bytes] | gzip.GzipFile, target: Path, room: int, source: str, name: str) -> int:
    """How many bytes a file in an archive has, which are written to `target`, whatever the archive says of them."""
    written = 0
    with target.open("xb") as file:
        while data := member.read(_AT_ONCE):
            written += len(data)
            if written > room:
                raise _too_large(source, name)
            file.write(data)
    return written


def _too_large(source: str, name: str) -> FormatError:
    return FormatError(
        f"{source}: {name} in the archive, with what belongs to it, is larger than {LARGEST_UNPACKED} bytes when "
        "unpacked; expected at most that: unpack it yourself if you trust it"
    )


def _file_name(name: str) -> str:
    """The last part of a name in an archive, which is no way to anywhere."""
    return PurePosixPath(name.replace("\\", "/")).name.lstrip(".") or "unnamed"


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
