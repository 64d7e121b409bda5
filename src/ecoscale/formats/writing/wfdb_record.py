"""WFDB: a header `.hea` and the samples `.dat` in format 16, written in pieces, so that a record may be of any length.

Format: https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.writing.steps import StepSearch, rounding_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

_NAME = re.compile(r"[-\w]+", re.ASCII)


def record_name(name: str) -> str:
    """A name with what a WFDB record's may not have (anything but letters, digits, `-` and `_`) as `_`."""
    return re.sub(r"[^-\w]", "_", name, flags=re.ASCII)


def write(ecg: ECG, path: Path) -> tuple[str, ...]:
    """Write `path` (`.hea`) and its `.dat`; the notes say what was rounded. Missing samples are WFDB's own."""
    return write_pieces(
        path,
        lambda: [ecg.signal],
        leads=ecg.leads,
        rate=ecg.rate,
        n_samples=ecg.n_samples,
        notes=ecg.notes,
        source=ecg.source or "this ECG",
    )


def write_pieces(
    path: Path,
    pieces: Callable[[], Iterable[NDArray[np.float32]]],
    *,
    leads: Sequence[str],
    rate: float,
    n_samples: int,
    notes: Sequence[str] = (),
    source: str,
) -> tuple[str, ...]:
    """The same of a signal in consecutive pieces `(leads, samples)` in mV, which are gone through twice."""
    if not _NAME.fullmatch(path.stem):
        raise FormatError(
            f"{path}: {path.stem!r} cannot be the name of a WFDB record, which has letters, digits, - and _ only; "
            f"write {record_name(path.stem)}.hea"
        )
    searches = [StepSearch() for _ in leads]
    for piece in pieces():
        for search, row in zip(searches, piece, strict=True):
            search.add(row)
    steps = [search.step(lead, source) for lead, search in zip(leads, searches, strict=True)]

    samples = path.with_suffix(".dat")
    sums, first, written = np.zeros(len(leads), np.int64), np.zeros(len(leads), np.int16), 0
    with samples.open("wb") as file:
        for piece in pieces():
            digital = np.stack([step.integers(row) for step, row in zip(steps, piece, strict=True)])
            if not written:
                first = digital[:, 0]
            sums += digital.sum(axis=1, dtype=np.int64)
            written += digital.shape[1]
            file.write(digital.T.astype("<i2").tobytes())
    if written != n_samples:
        raise FormatError(f"{source}: {written} samples were read of {n_samples}; is the file being written?")

    lines = [f"{path.stem} {len(leads)} {_number(rate)} {n_samples}"]
    for lead, step, start, total in zip(leads, steps, first, sums, strict=True):
        checksum = int(total.astype(np.int16))
        lines.append(f"{samples.name} 16 {_number(step.gain)}({-step.offset})/mV 16 0 {start} {checksum} 0 {lead}")
    lines += [f"# {' '.join(note.split())}" for note in notes]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return rounding_notes(leads, steps)


def _number(value: float) -> str:
    """Without an exponent, which a rate may not have."""
    return np.format_float_positional(value, trim="-")
