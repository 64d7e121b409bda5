"""Recordings of hours and days, read in pieces: memory does not grow with their length.

WFDB records of one or many segments, EDF, BDF, ISHNE Holter files and `.npy` arrays are read from disk piece by piece,
from an archive too; of a DICOM file what it stores is in memory, and becomes numbers piece by piece. Every other format
is read whole, as `read_ecg` does.
"""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.ecg import ECG
from ecoscale.formats import arrays, dicom, matlab, wfdb_header, wfdb_record, wfdb_segments
from ecoscale.formats.leads import twelve_lead_ecg
from ecoscale.formats.read import HEAD_BYTES, SAMPLED, UNMARKED, Content, content_of, open_archived, read_file
from ecoscale.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from ecoscale.formats.dialect import Dialect
    from ecoscale.formats.sampled import SampledFile

PIECE_SECONDS = 60.0
"""Length of a piece: 1.4 MB of 12 leads at 500 Hz, which is quicker than to read more at once."""


@dataclass(frozen=True, eq=False)
class LongRecord:
    """A recording that is not in memory. `pieces` reads it from beginning to end.

    `leads` are canonical, the limb leads that follow from others among them; of a signal that is no ECG, they are its
    channels, and `units` theirs. `start` is when it began: a `datetime`, a
    `time` where only the time of day is stated, or None. `notes` are what the reader did, as in `ECG`; `remarks` is
    what only the whole of the signal tells (a checksum that differs), and fills when all of it was read.
    """

    source: str
    record: str
    rate: float
    leads: tuple[str, ...]
    n_samples: int
    start: datetime | time | None
    notes: tuple[str, ...]
    read: Callable[[int, list[str]], Iterator[Signal]] = field(repr=False)
    remarks: list[str] = field(default_factory=list)
    units: tuple[str, ...] | None = None

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    def pieces(self, seconds: float = PIECE_SECONDS) -> Generator[NDArray[np.float32]]:
        """The signal in mV, `(leads, samples)`, in consecutive pieces of at most about `seconds`.

        The next piece is read while one is in use. Raises `FormatError` where the file is not as it says.
        """
        self.remarks.clear()
        pieces = self.read(max(1, round(seconds * self.rate)), self.remarks)
        with ThreadPoolExecutor(1, thread_name_prefix="ecoscale-reading") as reader:
            ahead = reader.submit(next, pieces, None)
            while (piece := ahead.result()) is not None:
                ahead = reader.submit(next, pieces, None)
                yield piece.select(self.leads).signal

    def samples(self, first: int, last: int) -> NDArray[np.float32]:
        """The signal in mV, `(leads, samples)`, from sample `first` up to `last`; what lies before is read and left."""
        parts, at = [], 0
        with closing(self.pieces()) as pieces:
            for piece in pieces:
                parts.append(piece[:, max(0, first - at) : max(0, last - at)])
                at += piece.shape[1]
                if at >= last:
                    break
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.leads), 0), np.float32)

    def part(self, samples: NDArray[np.float32], *notes: str) -> Signal:
        """Some of the signal, `(leads, samples)`, as a recording of its own, with the record's notes and these."""
        about: dict[str, Any] = {"source": self.source, "record": self.record, "notes": (*self.notes, *notes)}
        if self.units is None:
            return ECG(samples, self.rate, self.leads, **about)
        return Signal(samples, self.rate, self.leads, self.units, **about)

    def clock(self, seconds: float) -> str | None:
        """The wall-clock time so many seconds after the beginning, to a tenth of a second; None if it is not known."""
        if self.start is None:
            return None
        if isinstance(self.start, datetime):
            text = (self.start + timedelta(seconds=round(seconds, 1))).isoformat(sep=" ")
        else:
            # Any day will do.
            at = datetime.combine(datetime(2000, 1, 1), self.start) + timedelta(seconds=round(seconds, 1))
            text = at.time().isoformat()
        whole, _, fraction = text.partition(".")
        return f"{whole}.{fraction[0]}" if fraction else whole


def open_long_record(
    path: str | Path,
    *,
    record: str | int | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    dialect: Dialect | None = None,
) -> LongRecord:
    """Open a recording of any length and any of the twelve leads; parameters and errors are those of `read_ecg`."""
    options: dict[str, Any] = {
        "source": str(path),
        "record": None if record is None else str(record),
        "rate": rate,
        "unit": unit,
        "leads": leads,
    }
    return _open(Path(path), options, dialect)


def long_signal(signal: Signal) -> LongRecord:
    """A signal of any kind, which is in memory, as such a record."""
    return LongRecord(
        signal.source,
        signal.record,
        signal.rate,
        signal.channels,
        signal.n_samples,
        None,
        signal.notes,
        lambda n_samples, _: _in_pieces(signal, n_samples),
        units=tuple(signal.units),
    )


_OPENED = SAMPLED | {Content.DICOM: dicom.open_dicom, Content.MATLAB: matlab.open_matlab}


def _open(path: Path, options: dict[str, Any], dialect: Dialect | None = None) -> LongRecord:
    source = options["source"]
    header, content = _header_or_content(path)
    if header is not None:
        if wfdb_segments.is_segmented(header):
            return _segmented(header, options)
        described = wfdb_record.describe(header, **options)
        if described.header.n_samples:
            return _wfdb(header, described, source)
    if content is Content.NPY:
        return _npy(arrays.open_npy(path, **options), source)
    if content is Content.ARCHIVE:
        return _archived(path, options, dialect)
    if content in _OPENED:
        return _sampled(_OPENED[content](path, **options))
    ecg = read_file(path, options, fewer_leads=content is not Content.HDF5, dialect=dialect)
    return LongRecord(
        source, ecg.record, ecg.rate, ecg.leads, ecg.n_samples, None, ecg.notes, lambda n, _: _in_pieces(ecg, n)
    )


def _header_or_content(path: Path) -> tuple[Path | None, Content | None]:
    """The WFDB header that a path means, or else what the file holds."""
    try:
        with path.open("rb") as file:
            content = content_of(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return wfdb_header.header_beside(path), None
    if content is Content.WFDB_HEADER:
        return path, content
    return (wfdb_header.header_beside(path) if content in UNMARKED else None), content


def _wfdb(header: Path, described: wfdb_record.Described, source: str) -> LongRecord:
    about = {"rate": described.rate, "source": source, "record": described.header.record}
    about |= {"ignored": described.ignored, "notes": described.notes, "fewer_leads": True}
    whole = _template(described.leads, **about)

    def read(n_samples: int, remarks: list[str]) -> Iterator[ECG]:
        for rows in wfdb_record.read_in_pieces(header, described, n_samples, remarks, source):
            yield twelve_lead_ecg(rows, described.leads, **about)

    total = (described.header.n_samples or 0) * described.per_frame
    start = parse_clock(described.header.clock)
    return LongRecord(source, whole.record, whole.rate, whole.leads, total, start, whole.notes, read)


def _segmented(header: Path, options: dict[str, Any]) -> LongRecord:
    segments = wfdb_segments.open_segments(header, **options)
    about = {"rate": segments.rate, "source": options["source"], "record": segments.record}
    about |= {"ignored": segments.ignored, "notes": segments.notes, "fewer_leads": True}
    whole = _template(segments.leads, **about)

    def read(n_samples: int, remarks: list[str]) -> Iterator[ECG]:
        for rows in segments.read_in_pieces(n_samples, remarks):
            yield twelve_lead_ecg(rows, segments.leads, **about)

    start = parse_clock(segments.clock)
    return LongRecord(
        options["source"], segments.record, whole.rate, whole.leads, segments.n_samples, start, whole.notes, read
    )


def _sampled(file: SampledFile) -> LongRecord:
    about: dict[str, Any] = {"rate": file.rate, "source": file.source, "record": file.record}
    about |= {"ignored": file.ignored, "notes": file.notes, "fewer_leads": True}
    whole = _template(file.leads, **about)

    def read(n_samples: int, remarks: list[str]) -> Iterator[ECG]:
        for rows in file.rows(n_samples, remarks):
            yield twelve_lead_ecg(rows, file.leads, **about)

    return LongRecord(file.source, file.record, file.rate, whole.leads, file.n_samples, file.start, whole.notes, read)


def _archived(path: Path, options: dict[str, Any], dialect: Dialect | None) -> LongRecord:
    """The recording in an archive, unpacked to a folder that goes when the record, and each copy of it, does."""
    source = options["source"]
    tables = dialect is not None or (options["rate"] is not None and options["unit"] is not None)
    with ExitStack() as unpacked:
        found = unpacked.enter_context(open_archived(path, source, options["record"], tables=tables))
        inner = _open(found.path, options | {"source": found.source, "record": found.record}, dialect)
        record = replace(inner, source=source, record=found.member or inner.record)
        weakref.finalize(record.read, unpacked.pop_all().close)
    return record


def _npy(array: arrays.BareArray, source: str) -> LongRecord:
    about: dict[str, Any] = {"rate": array.rate, "source": source, "fewer_leads": True}
    whole = _template(array.leads, **about)

    def read(n_samples: int, _: list[str]) -> Iterator[ECG]:
        for first in range(0, array.rows.shape[1], n_samples):
            rows = np.array(array.rows[:, first : first + n_samples], dtype=np.float64)
            yield twelve_lead_ecg(rows * array.factor, array.leads, **about)

    return LongRecord(source, "", array.rate, whole.leads, array.rows.shape[1], None, whole.notes, read)


def _template(leads: Sequence[str], **about: Any) -> ECG:
    """One sample of such a recording: its leads in canonical order, and the notes on them."""
    return twelve_lead_ecg(np.zeros((len(leads), 1)), leads, **about)


def _in_pieces(signal: Signal, n_samples: int) -> Iterator[Signal]:
    for first in range(0, signal.n_samples, n_samples):
        yield replace(signal, signal=signal.signal[:, first : first + n_samples])


def parse_clock(text: str) -> datetime | time | None:
    """WFDB's `HH:MM:SS[.sss] [DD/MM/YYYY]`: date and time, the time alone, or None for what is neither.

    A date that is not one is left out, and the time kept: some publishers blank dates that way.
    """
    words = text.split()
    if not words:
        return None
    parts = words[0].split(":")
    at = None
    if len(parts) == 3:
        with suppress(ValueError):
            at = time.fromisoformat(":".join(part.zfill(2) for part in parts))
    if at is None or len(words) == 1:
        return at
    with suppress(ValueError):
        return datetime.combine(datetime.strptime(words[1], "%d/%m/%Y").date(), at)
    return at
