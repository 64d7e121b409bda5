"""The HDF5 of the CODE collections: `tracings` (exams, samples, 12) and, in CODE-15%, `exam_id` (exams,).

The file itself states nothing else. By its publisher's documentation the rate is 400 Hz and the leads are I II III aVR
aVL aVF V1..V6; values are mV. CODE-test has no `exam_id`, and one of its two README puts aVL and aVF before aVR: there
the Goldberger identities decide. Zenodo 4916206 (CODE-15%) and 3765780 (CODE-test).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import EmptyError, FormatError
from ecoscale.formats.hdf5 import damage_reported, open_hdf5
from ecoscale.formats.leads import canonical_leads, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 400.0
CODE_TEST_LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", *LEADS[6:])
_ORDERS: tuple[tuple[str, ...], ...] = (LEADS, CODE_TEST_LEADS)

# Rows of CODE-test that are asked for the lead order when the row read does not tell.
_WITNESSES = 32
# Mean relative residual of the augmented leads: at most 0.04 in the right order, at least 1.4 in the other, over the
# real recordings of PTB-XL and CODE-15% that the tests read.
_LARGEST_MISFIT = 0.5


def exams(path: Path) -> list[str] | None:
    """The record names of a CODE file in its order: exam ids, or row numbers where it has none; None for other HDF5.

    The row of zeros with exam id 0 that ends a part of CODE-15% is no exam and is left out.
    """
    with open_hdf5(path, str(path)) as file:
        if "tracings" not in file:
            return None
        tracings = _tracings(file, str(path))
        ids = _exam_ids(file, len(tracings), str(path))
        if ids is None:
            return [str(row) for row in range(len(tracings))]
        ids = ids.tolist()
        return [str(exam) for exam in (ids[:-1] if ids and ids[-1] == 0 else ids)]


def read(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> ECG:
    """Read one exam, without the zeros that pad it on both sides.

    `record` is the exam id, or the row number (from 0) in a file without ids; it may be left out where there is one.
    `leads` settles the order of a file without ids (`settle_lead_order`); left out, each exam is asked for its own.

    Raises `FormatError` for another HDF5, an exam that is not in it or that is all zeros, `MissingExtraError` without
    h5py.
    """
    with open_exams(path, source) as file:
        return file.read(record, rate=rate, unit=unit, leads=leads)


@contextmanager
def open_exams(path: Path, source: str | None = None) -> Iterator[ExamFile]:
    """The file, kept open to read many exams. Raises `FormatError` if it is not one of a CODE collection."""
    source = str(path) if source is None else source
    with open_hdf5(path, source) as file:
        yield ExamFile(file, source)


class ExamFile:
    """An open HDF5 of a CODE collection; see `open_exams`."""

    def __init__(self, file: Any, source: str) -> None:
        self.source = source
        self._tracings = _tracings(file, source)
        self._ids = _exam_ids(file, len(self._tracings), source)
        self._inflate = _inflating(self._tracings)

    def read(
        self,
        record: str | None = None,
        *,
        rate: float | None = None,
        unit: str | None = None,
        leads: Sequence[str] | None = None,
    ) -> ECG:
        """One exam, with the errors of `ecoscale.formats.code_hdf5.read`."""
        source = self.source
        agreed_rate(RATE, rate, source, "the rate of the CODE collections")
        refuse_other_unit(["mV"], unit, source, "the unit of the CODE collections")
        given = None if leads is None else canonical_leads(leads, source)
        row, record = _row(self._ids, len(self._tracings), record, source)
        with damage_reported(source):
            tracing = self._signal(row)
        first, end = _within_padding(tracing)
        if first == end:
            raise EmptyError(f"{source}: exam {record} is all zeros: the publisher has no signal for it; leave it out")
        rest = len(tracing) - end
        # Each lead in one piece: all that follows goes along the leads.
        signal = np.ascontiguousarray(tracing[first:end].T)
        order, notes = LEADS, []
        if self._ids is None:
            order, notes = _code_test_order(signal, self._tracings, record, source, given)
        if given not in (None, order):
            raise FormatError(
                f"{source}: leads={' '.join(given or ())} was given, but exam {record} holds {' '.join(order)}; "
                "leave leads out"
            )
        if first or rest:
            notes.append(
                f"padding_removed: {first / RATE:.2f} s at the start and {rest / RATE:.2f} s at the end were zeros in "
                "every lead"
            )
        return twelve_lead_ecg(signal, order, rate=RATE, source=source, record=record, notes=notes)

    def _signal(self, row: int) -> NDArray[np.float32]:
        """One row of `tracings`, `(samples, leads)`."""
        if self._inflate is not None:
            # Half the time of h5py's own way, which inflates by zlib and copies by hyperslab.
            where, stored = (row, 0, 0), self._tracings.id
            chunk = stored.get_chunk_info_by_coord(where)
            # One that was never written has no place; of one that would not shrink the filter is left out.
            if chunk.byte_offset is not None and not chunk.filter_mask:
                packed = stored.read_direct_chunk(where)[1]
                return np.frombuffer(self._inflate(packed), "<f4").reshape(self._tracings.shape[1:])
        return np.asarray(self._tracings[row], dtype=np.float32)


def _within_padding(tracing: NDArray[np.float32]) -> tuple[int, int]:
    """First sample `(samples, leads)` that is not zero in every lead, and the one after the last; 0, 0 without any."""
    if tracing[0].any() and tracing[-1].any():
        return 0, len(tracing)
    present = np.flatnonzero(tracing.any(axis=1))
    return (int(present[0]), int(present[-1]) + 1) if present.size else (0, 0)


def _inflating(tracings: Any) -> Callable[[bytes], bytes] | None:
    """How to unpack a chunk where each holds one exam by gzip alone, as CODE-15%'s do; None for any other layout."""
    filters = tracings.compression, tracings.shuffle, tracings.fletcher32
    if filters != ("gzip", False, False) or tracings.dtype != "<f4" or tracings.chunks != (1, *tracings.shape[1:]):
        return None
    try:
        from isal.isal_zlib import decompress
    except ImportError:  # an extra; the standard library takes twice as long
        from zlib import decompress
    return decompress


@dataclass(frozen=True)
class LeadOrder:
    """Which of its two documented orders a file without exam ids holds, and the evidence.

    Parameters
    ----------
    leads
        The order; None where the exams asked do not tell.
    n_exams
        How many were asked.
    fits
        For either order, how many of them fit it and not the other.
    misfits
        For either order, the median over them of the relative residual of aVR, aVL and aVF; NaN without any signal.
    """

    leads: tuple[str, ...] | None
    n_exams: int
    fits: dict[tuple[str, ...], int]
    misfits: dict[tuple[str, ...], float]


def settle_lead_order(path: Path, n_exams: int = _WITNESSES) -> LeadOrder:
    """The one lead order of a whole file without exam ids, by the Goldberger identities in exams spread over it.

    It is the order that more of the exams fit. Raises `FormatError` for another HDF5.
    """
    with open_hdf5(path, str(path)) as file:
        tracings = _tracings(file, str(path))
        rows = np.unique(np.linspace(0, len(tracings) - 1, min(n_exams, len(tracings))).round().astype(int))
        signals = [np.asarray(tracings[row], dtype=np.float32).T for row in rows]
    misfits = [_misfits(signal) for signal in signals]
    votes = [_fitting(misfit) for misfit in misfits]
    fits = {order: votes.count(order) for order in _ORDERS}
    told = [misfit for misfit in misfits if np.isfinite(list(misfit.values())).all()]
    medians = {order: float(np.median([misfit[order] for misfit in told])) if told else np.nan for order in fits}
    best = max(fits, key=lambda order: fits[order])
    return LeadOrder(best if 2 * fits[best] > sum(fits.values()) else None, len(rows), fits, medians)


def _tracings(file: Any, source: str) -> Any:
    tracings = file.get("tracings")
    shape = getattr(tracings, "shape", None)
    if shape is None:
        raise FormatError(
            f"{source}: HDF5 without a dataset 'tracings' (it has {', '.join(list(file)[:10]) or 'nothing'}); the HDF5 "
            "that is read is that of the CODE collections, and that of SPH: 'ecg' of floats, (12, samples)"
        )
    if len(shape) != 3 or shape[2] != len(LEADS) or 0 in shape or tracings.dtype.kind != "f":
        raise FormatError(
            f"{source}: 'tracings' is {tracings.dtype} of shape {shape}; expected floats, (exams, samples, 12)"
        )
    return tracings


def _exam_ids(file: Any, n_exams: int, source: str) -> NDArray[np.integer] | None:
    if "exam_id" not in file:
        return None
    ids = np.asarray(file["exam_id"][()])
    if ids.shape != (n_exams,) or ids.dtype.kind not in "iu":
        raise FormatError(
            f"{source}: 'exam_id' is {ids.dtype} of shape {ids.shape}; expected one integer for each of the {n_exams} "
            "tracings"
        )
    return ids


def _row(ids: NDArray[np.integer] | None, n_rows: int, record: str | None, source: str) -> tuple[int, str]:
    """The row that `record` names, and the name."""
    what = "row number" if ids is None else "exam id"
    names = np.arange(n_rows) if ids is None else ids
    if ids is not None and ids[-1] == 0:
        names = ids[:-1]
    if record is None:
        if len(names) != 1:
            example = f", for example record='{names[0]}'" if len(names) else ""
            raise FormatError(f"{source}: the file holds {len(names)} exams; give record=, an {what}{example}")
        record = str(names[0])
    text = str(record).strip()
    rows = np.flatnonzero(names == int(text)) if text.isdecimal() and len(text) < 19 else np.empty(0, int)
    if rows.size != 1:
        found = "not in the file" if rows.size == 0 else f"there {rows.size} times"
        example = f", for example {names[0]}" if len(names) else ""
        raise FormatError(f"{source}: {what} {text!r} is {found}; expected one of its {len(names)}{example}")
    return int(rows[0]), str(int(text))


def _code_test_order(
    signal: NDArray[np.float32], tracings: Any, record: str, source: str, given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    """The lead order given, or that which fits the Goldberger identities in this exam or else in the file's first."""
    if given is not None and given in _ORDERS:
        return given, []
    order = _fitting_order(signal)
    witness = f"exam {record}"
    if order is None:
        votes = [_fitting_order(np.asarray(row, dtype=np.float32).T) for row in tracings[:_WITNESSES]]
        counts = {order: votes.count(order) for order in _ORDERS}
        order = max(counts, key=lambda order: counts[order])
        witness = f"{counts[order]} of the file's first {len(votes)} exams"
        if counts[order] <= len(votes) - votes.count(None) - counts[order]:
            order = None
    if order is not None:
        return order, [f"lead_order: {' '.join(order[:6])} V1..V6, by the Goldberger identities in {witness}"]
    raise FormatError(
        f"{source}: exam {record} has no stated lead order, and neither {' '.join(LEADS[:6])} nor "
        f"{' '.join(CODE_TEST_LEADS[:6])} fits the limb-lead identities; give leads= in the file's order"
    )


def _fitting_order(signal: NDArray[np.float32]) -> tuple[str, ...] | None:
    """The one of the two orders under which aVR, aVL and aVF are what I and II imply; None if both or neither are."""
    return _fitting(_misfits(signal))


def _fitting(misfits: dict[tuple[str, ...], float]) -> tuple[str, ...] | None:
    fits = [order for order, misfit in misfits.items() if misfit < _LARGEST_MISFIT]
    return fits[0] if len(fits) == 1 else None


def _misfits(signal: NDArray[np.float32]) -> dict[tuple[str, ...], float]:
    """Mean relative residual of aVR, aVL and aVF under either order; NaN where there is no signal to tell."""
    signal = signal[:, (signal != 0).any(axis=0)]
    misfits = {}
    for order in _ORDERS:
        residual = ECG(signal, RATE, order).einthoven_residual() if signal.size else {}
        misfits[order] = float(np.mean([residual[lead] for lead in ("aVR", "aVL", "aVF")])) if residual else np.nan
    return misfits
