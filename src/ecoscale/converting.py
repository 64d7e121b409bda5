"""Recordings of any format that is read into files of one that is written: a folder's tree, one recording at a time.

An output that is there is not written again, so an interrupted run goes on with the same command.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.ecg import ECG
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings
from ecoscale.formats.long_records import open_long_record
from ecoscale.formats.writing import SUFFIXES, write_ecg, write_long_record
from ecoscale.formats.writing.wfdb_record import record_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ecoscale.formats import Recording
    from ecoscale.formats.long_records import LongRecord
    from ecoscale.formats.writing import WritableFormat

LONGEST_SECONDS = 3600.0
"""Longer recordings are not held in memory: they are written in pieces, which only WFDB is."""


@dataclass(frozen=True)
class Conversion:
    """A recording, and the file that it becomes."""

    recording: Recording
    output: Path
    format: WritableFormat

    @property
    def name(self) -> str:
        """The recording, as messages call it."""
        return " ".join(filter(None, (str(self.recording.path), self.recording.record)))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it becomes, that which says that it is there first."""
        first, *others = SUFFIXES[self.format]
        stem = str(self.output).removesuffix(first)
        return (self.output, *(Path(stem + suffix) for suffix in others))


@dataclass(frozen=True)
class Converted:
    """What came of a conversion: notes on what was changed; or `error`; or it was `skipped`, for it is there."""

    conversion: Conversion
    notes: tuple[str, ...] = ()
    error: str | None = None
    skipped: bool = False


@dataclass
class _Names:
    """Outputs that are taken, as file systems that fold case see them."""

    taken: dict[str, str] = field(default_factory=dict)

    def take(self, output: Path, recording: Recording) -> bool:
        key = str(output).casefold()
        if key in self.taken:
            return False
        self.taken[key] = str(recording.path)
        return True


def plan_conversions(
    paths: Sequence[str | Path],
    folder: Path,
    format: WritableFormat,  # noqa: A002
    options: Mapping[str, Any] | None = None,
) -> Iterator[Conversion]:
    """Where in `folder` each recording of these files, folders and patterns goes: below it as below what was named.

    `options` are what the files do not state: `rate`, `unit` and `leads` of `read_ecg`.

    The names are the files' own, with the record's behind it where a file holds several. Two that would be one (`a.csv`
    and `a.dcm`) are told apart by the suffix of the second (`a-dcm`), which depends on their order: that of
    `find_recordings`.
    """
    root = _common([_base(path) for path in paths])
    names = _Names()
    for recording in stated_recordings(paths, options):
        below = _below(recording.path, root)
        stem = below.stem or below.name
        if recording.record is not None:
            stem = f"{stem}-{recording.record}"
        kind = below.suffix.removeprefix(".")
        for name in (stem, f"{stem}-{kind}", *(f"{stem}-{kind}-{number}" for number in range(2, 100_000))):
            output = _output(folder / below.parent, name, format)
            if names.take(output, recording):
                yield Conversion(recording, output, format)
                break


def stated_recordings(paths: Sequence[str | Path], options: Mapping[str, Any] | None = None) -> Iterator[Recording]:
    """The recordings that these paths name, with what the user states about them; any of the twelve leads will do."""
    known = dict(options or {})
    for recording in find_recordings(paths, tables=known.get("dialect") or {"rate", "unit"} <= known.keys()):
        yield replace(recording, options=known | {"fewer_leads": True})


def convert(conversion: Conversion, *, overwrite: bool = False) -> Converted:
    """Read the recording and write it. What cannot be done comes out as `Converted.error`.

    Only a full disk, and other errors of the system that concern what is written and not the recording, are raised.
    """
    there = [file for file in conversion.files if os.path.lexists(file)]
    if any(_is_same(file, conversion.recording.path) for file in there):
        return Converted(conversion, error=f"{conversion.output}: this is the recording itself; choose another folder")
    if there and not overwrite:
        if there[0] == conversion.output:
            return Converted(conversion, skipped=True)
        return Converted(
            conversion,
            error=f"{there[0]}: is there, and {conversion.output.name} beside it is not; --overwrite replaces it",
        )
    try:
        return Converted(conversion, notes=_convert(conversion))
    except EcoscaleError as error:
        return Converted(conversion, error=str(error))


def _convert(conversion: Conversion) -> tuple[str, ...]:
    recording = conversion.recording
    if recording.record is not None:  # one of several, each of which is short
        ecg = recording.read()
    else:
        options = {name: value for name, value in recording.options.items() if name in ("rate", "unit", "leads")}
        record = open_long_record(recording.path, **options)
        if record.duration > LONGEST_SECONDS:
            return _convert_long(record, conversion)
        ecg = whole(record)
    written = write_ecg(ecg, conversion.output, conversion.format)
    return (*ecg.notes, *written.notes)


def _convert_long(record: LongRecord, conversion: Conversion) -> tuple[str, ...]:
    if conversion.format != "wfdb":
        raise FormatError(
            f"{record.source}: {record.duration / 3600:.1f} h long; {conversion.format} is written from memory, and "
            f"only of recordings up to {LONGEST_SECONDS / 3600:g} h: convert it to wfdb, which is written in pieces"
        )
    written = write_long_record(record, conversion.output)
    return (*record.notes, *record.remarks, *written.notes)


def whole(record: LongRecord) -> ECG:
    """A record in memory."""
    signal = np.concatenate(list(record.pieces()), axis=1)
    return ECG(
        signal,
        record.rate,
        record.leads,
        source=record.source,
        record=record.record,
        notes=(*record.notes, *record.remarks),
    )


def _output(folder: Path, name: str, format: WritableFormat) -> Path:  # noqa: A002
    return folder / f"{record_name(name) if format == 'wfdb' else name}{SUFFIXES[format][0]}"


def _base(path: str | Path) -> str:
    """The folder below which what a path names keeps its place."""
    text = str(path)
    if glob.has_magic(text) and not os.path.lexists(text):
        parts = Path(text).parts
        first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        return os.path.abspath(Path(*parts[:first]))  # noqa: PTH100 - resolve would follow links
    absolute = os.path.abspath(text)  # noqa: PTH100
    return absolute if Path(absolute).is_dir() else str(Path(absolute).parent)


def _common(bases: Sequence[str]) -> str | None:
    try:
        return os.path.commonpath(bases)
    except ValueError:  # on several drives
        return None


def _below(path: Path, root: str | None) -> Path:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100
    try:
        return absolute.relative_to(root) if root is not None else Path(absolute.name)
    except ValueError:
        return Path(absolute.name)


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:
        return False
