"""The HDF5 of the CODE collections: `tracings` (exams, samples, 12) and, in CODE-15%, `exam_id` (exams,).

The file itself states nothing else. By its publisher's documentation the rate is 400 Hz and the leads are I II III aVR
aVL aVF V1..V6; values are mV. CODE-test has no `exam_id`, and one of its two README puts aVL and aVF before aVR: there
the Goldberger identities decide. Zenodo 4916206 (CODE-15%) and 3765780 (CODE-test).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError
from ecoscale.formats.hdf5 import open_hdf5
from ecoscale.formats.leads import canonical_leads, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 400.0
CODE_TEST_LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", *LEADS[6:])

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

    Raises `FormatError` for another HDF5, an exam that is not in it or that is all zeros, `MissingExtraError` without
    h5py.
    """
    agreed_rate(RATE, rate, source, "the rate of the CODE collections")
    refuse_other_unit(["mV"], unit, source, "the unit of the CODE collections")
    given = None if leads is None else canonical_leads(leads, source)
    with open_hdf5(path, source) as file:
        tracings = _tracings(file, source)
        ids = _exam_ids(file, len(tracings), source)
        row, record = _row(ids, len(tracings), record, source)
        signal = np.asarray(tracings[row], dtype=np.float32).T
        present = np.flatnonzero((signal != 0).any(axis=0))
        if present.size == 0:
            raise FormatError(f"{source}: exam {record} is all zeros: the publisher has no signal for it; leave it out")
        first, end = int(present[0]), int(present[-1]) + 1
        rest = signal.shape[1] - end
        signal = signal[:, first:end]
        order, notes = (LEADS, []) if ids is not None else _code_test_order(signal, tracings, record, source, given)
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
    """The lead order that fits the Goldberger identities, in this exam or else in the file's first ones."""
    order = _fitting_order(signal)
    witness = f"exam {record}"
    if order is None:
        votes = [_fitting_order(np.asarray(row, dtype=np.float32).T) for row in tracings[:_WITNESSES]]
        counts = {order: votes.count(order) for order in (LEADS, CODE_TEST_LEADS)}
        order = max(counts, key=lambda order: counts[order])
        witness = f"{counts[order]} of the file's first {len(votes)} exams"
        if counts[order] <= len(votes) - votes.count(None) - counts[order]:
            order = None
    if order is not None:
        return order, [f"lead_order: {' '.join(order[:6])} V1..V6, by the Goldberger identities in {witness}"]
    if given in (LEADS, CODE_TEST_LEADS):
        return given, []
    raise FormatError(
        f"{source}: exam {record} has no stated lead order, and neither {' '.join(LEADS[:6])} nor "
        f"{' '.join(CODE_TEST_LEADS[:6])} fits the limb-lead identities; give leads= in the file's order"
    )


def _fitting_order(signal: NDArray[np.float32]) -> tuple[str, ...] | None:
    """The one of the two orders under which aVR, aVL and aVF are what I and II imply; None if both or neither are."""
    fits = [
        order
        for order in (LEADS, CODE_TEST_LEADS)
        if (residual := ECG(signal, RATE, order).einthoven_residual())
        and np.mean([residual[lead] for lead in ("aVR", "aVL", "aVF")]) < _LARGEST_MISFIT
    ]
    return fits[0] if len(fits) == 1 else None
