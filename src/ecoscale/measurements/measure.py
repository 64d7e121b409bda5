"""`measure_ecg`: what one ECG measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.measurements.beats import RATE, find_beats
from ecoscale.measurements.delineation import delineate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.measurements.beats import Beats
    from ecoscale.measurements.delineation import Waves

QTC_FORMULA = "Fridericia"

PLAUSIBLE = {"pr": (80.0, 420.0), "qrs": (50.0, 260.0), "qt": (200.0, 700.0)}
"""Milliseconds beyond which an interval is taken for a mistake of the measurement."""
LARGEST_VARIATION = 0.1
"""Variation of RR intervals up to which one that is far from the others is taken for a mistake of the detection."""
LEAST_NET = 0.06
"""Net area of QRS in the frontal plane over its whole area, below which the axis is indeterminate."""


@dataclass(frozen=True)
class Measurements:
    """Heart rate (1/min), PR, QRS, QT and QTc (ms), and the frontal QRS axis (degrees, -180 to 180).

    QTc is QT divided by the cube root of RR in seconds (Fridericia 1920). None is what could not be measured; `notes`
    say why, and what was left out. `rr_variation` is the standard deviation of the RR intervals over their mean,
    `n_beats` how many beats were found.
    """

    heart_rate: float | None = None
    pr: float | None = None
    qrs: float | None = None
    qt: float | None = None
    qtc: float | None = None
    axis: float | None = None
    rr_variation: float | None = None
    n_beats: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values: numbers to one decimal, the variation to three, None where there is none."""
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, float):
                values[name] = round(value, 3 if name == "rr_variation" else 1)
        return values | {"notes": list(self.notes), "qtc_formula": QTC_FORMULA}


NUMBERS = tuple(field.name for field in fields(Measurements) if field.name not in ("notes", "n_beats"))
"""Names of the measurements, in the order of the columns of a table."""


def measure_ecg(ecg: ECG) -> Measurements:
    """Measure an ECG of any leads and rate: intervals in its typical beat, rate from all beats.

    What cannot be measured is None with a note; of more than a minute the first is measured. Raises
    `MissingExtraError` without neurokit2 (the extra `measure`).
    """
    beats, notes = find_beats(ecg)
    if beats is None:
        return Measurements(notes=tuple(notes))
    waves = delineate(beats)
    notes += waves.notes
    intervals = _without_missed(beats.intervals)
    rr = float(intervals.mean())
    variation = float(intervals.std() / intervals.mean())
    spans = {
        "pr": waves.qrs_onset - waves.p_onset,
        "qrs": waves.qrs_end - waves.qrs_onset,
        "qt": waves.t_end - waves.qrs_onset,
    }
    found: dict[str, float | None] = {}
    for name, seconds in spans.items():
        found[name] = None
        low, high = PLAUSIBLE[name]
        if np.isfinite(seconds):
            if low <= 1000 * seconds <= high:
                found[name] = float(1000 * seconds)
            else:
                notes.append(f"no {name.upper()}: {1000 * seconds:.0f} ms were found, which is hard to believe")
    qt = found["qt"]
    axis, axis_note = _axis(beats, waves)
    if axis_note:
        notes.append(axis_note)
    return Measurements(
        heart_rate=60 / rr,
        **found,
        qtc=None if qt is None else qt / rr ** (1 / 3),
        axis=axis,
        rr_variation=variation,
        n_beats=len(beats.r_peaks),
        notes=tuple(notes),
    )


def _without_missed(intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a regular rhythm, without those in which a beat was not seen, or that end at one that is none."""
    typical = np.median(intervals)
    kept = intervals[(intervals > 0.5 * typical) & (intervals < 1.75 * typical)]
    return kept if kept.size and kept.std() < LARGEST_VARIATION * kept.mean() else intervals


def _axis(beats: Beats, waves: Waves) -> tuple[float | None, str]:
    """The frontal axis of QRS, from its net areas in I and aVF; or None, and the note that says why.

    The lead vectors of Einthoven's triangle: I points to 0 degrees, aVF to 90 and is shorter by half the root of 3
    (Malmivuo and Plonsey 1995, chapter 15).
    """
    rows = dict(zip(beats.leads, beats.typical, strict=True))
    one = rows.get("I")
    foot = rows.get("aVF")
    if foot is None and one is not None and "II" in rows:
        foot = rows["II"] - one / 2
    if one is None or foot is None:
        return None, "no axis: it takes leads I and aVF, or I and II"
    first, last = (beats.r + round(at * RATE) for at in (waves.qrs_onset, waves.qrs_end))
    one, foot = (each[first : last + 1] - each[first] for each in (one, foot))
    x, y = float(one.sum()), float(foot.sum()) * 2 / np.sqrt(3)
    if np.hypot(x, y) < LEAST_NET * np.hypot(np.abs(one).sum(), np.abs(foot).sum() * 2 / np.sqrt(3)):
        return None, "no axis: QRS is as much positive as negative in I and aVF (indeterminate)"
    return float(np.degrees(np.arctan2(y, x))), ""
