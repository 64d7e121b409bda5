"""WFDB records of several segments, as most Holter and monitoring databases of PhysioNet are.

The master header lists segments, each a record of its own or a gap (`~`). In the fixed layout all have the same
signals; in the variable layout the first, without samples, only lists them, and a segment has those that were recorded
then. Format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import wfdb_header, wfdb_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

GAP = "~"


@dataclass(frozen=True)
class Segment:
    """A stretch of a record: its own header and what that says; None for both where nothing was recorded."""

    n_samples: int
    header: Path | None
    described: wfdb_record.Described | None


@dataclass(frozen=True)
class Segments:
    """A record of several segments. Where a lead was not recorded its samples are NaN."""

    source: str
    record: str
    rate: float
    leads: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    clock: str
    segments: tuple[Segment, ...]

    @property
    def n_samples(self) -> int:
        """Samples in each lead, gaps among them."""
        return sum(segment.n_samples for segment in self.segments)

    def read_in_pieces(self, n_samples: int, remarks: list[str]) -> Iterator[NDArray[np.floating]]:
        """The leads in mV, `(leads, samples)`, in pieces of at most about `n_samples`; notes on checksums follow."""
        for segment in self.segments:
            if segment.described is None or segment.header is None or not segment.described.wanted:
                for first in range(0, segment.n_samples, n_samples):
                    yield np.full((len(self.leads), min(n_samples, segment.n_samples - first)), np.nan)
                continue
            places = [self.leads.index(lead) for lead in segment.described.leads]
            found: list[str] = []
            for rows in wfdb_record.read_in_pieces(
                segment.header, segment.described, n_samples, found, str(segment.header)
            ):
                piece = np.full((len(self.leads), rows.shape[1]), np.nan, rows.dtype)
                piece[places] = rows
                yield piece
            remarks += [f"{note} (segment {segment.described.header.record})" for note in found]


def is_segmented(path: Path) -> bool:
    """Whether a header is that of several segments."""
    try:
        return wfdb_header.n_segments(wfdb_header.read_text(path)) is not None
    except OSError:
        return False


def open_segments(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Segments:
    """Open a master header and those of its segments; no samples are read.

    Raises `FormatError` for a segment that is missing or of another rate or length than the master header says.
    """
    master = wfdb_header.parse_master(wfdb_header.read_text(path), source)
    if record not in (None, master.record):
        raise FormatError(f"{source}: record {record!r} was asked for; the header is that of {master.record!r}")
    segments = []
    for name, n_samples in master.segments:
        # Without samples it is the layout of a variable record, which lists the signals of all segments.
        if name == GAP or not n_samples:
            segments.append(Segment(n_samples, None, None))
        else:
            segments.append(_segment(path.parent / f"{name}.hea", n_samples, source, rate, unit, leads))
    described = [segment.described for segment in segments if segment.described is not None]
    if not described:
        raise FormatError(f"{source}: all {len(segments)} segments of the WFDB record are gaps; expected samples")
    found = {lead for each in described for lead in each.leads}
    own = {each.rate for each in described}
    stated = {master.rate * each.per_frame for each in described} if master.rate else own
    if len(own | stated) != 1:
        raise FormatError(
            f"{source}: its segments have {', '.join(f'{value:g}' for value in sorted(own))} Hz, and the "
            f"header of them all says {master.rate or 0:g}; expected one rate: read the segments one by one"
        )
    return Segments(
        source,
        master.record,
        own.pop(),
        tuple(lead for lead in LEADS if lead in found),
        tuple(dict.fromkeys(name for each in described for name in each.ignored)),
        tuple(dict.fromkeys(note for each in described for note in each.notes)),
        master.clock,
        tuple(segments),
    )


def _segment(
    path: Path, n_samples: int, source: str, rate: float | None, unit: str | None, leads: Sequence[str] | None
) -> Segment:
    try:
        described = wfdb_record.describe(path, source=str(path), rate=rate, unit=unit, leads=leads)
    except EcoscaleError as error:
        raise FormatError(f"{source}: segment {path.stem}: {error}") from error
    if described.header.n_samples != n_samples:
        raise FormatError(
            f"{source}: segment {path.stem} has {described.header.n_samples} samples by its own header; expected "
            f"{n_samples}, as the header of all segments says"
        )
    return Segment(n_samples * described.per_frame, path, described)
