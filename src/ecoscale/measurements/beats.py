"""From a recording to its typical beat: where the beats are, which of them look alike, and their median in every lead.

neurokit2 cleans the leads and finds the beats; what it warns of is contained here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import MissingExtraError
from ecoscale.filtering import highpass

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

RATE = 500.0
"""Samples per second at which beats are looked at; every recording is brought to it first."""
LONGEST_SECONDS = 60.0
"""Of a longer recording the first so many seconds are measured."""
SHORTEST_SECONDS = 2.5

WANDER = 0.5
"""Hz below which is baseline wander. Mains hum is left to the median: a filter against it would widen QRS."""
BEFORE, AFTER = 0.45, 0.75
"""Seconds of the typical beat before and after its R peak."""
FEWEST_BEATS = 3
"""Beats of one shape that a typical beat is made of at least."""
LEAST_LIKENESS = 0.85
"""Correlation of a beat's QRS with the typical one, from which on it is one of them."""
SHORTEST_RR = 0.2
"""Seconds: with the 0.3 of neurokit2, fast beats of atrial fibrillation are missed."""
T_WITHIN = 0.36
SLOPE_SECONDS = 0.006
"""To either side, over which a slope is taken."""
QRS_SECONDS = 0.08
"""Before and after R: where likeness is looked at, and by which beats are aligned."""
ALIGNED_WITHIN = 0.03
SMALLEST_SPAN = 0.05
"""A lead that spans less (mV, between its 1st and 99th percentile) takes no part."""


@dataclass(frozen=True, eq=False)
class Beats:
    """The beats of a recording at `RATE`.

    `r_peaks` are the samples of all beats, `leads` names the rows of `typical` `(leads, samples)`, the median of those
    of one shape, in mV; its R peak is at sample `r`. `each` are these, `(beats, leads, samples)`.
    """

    leads: tuple[str, ...]
    r_peaks: NDArray[np.int64]
    each: NDArray[np.float64]
    typical: NDArray[np.float64]
    r: int
    others: int

    @property
    def n_alike(self) -> int:
        """How many beats have the typical shape."""
        return len(self.each)

    @property
    def intervals(self) -> NDArray[np.float64]:
        """RR intervals in seconds."""
        return np.diff(self.r_peaks) / RATE


def find_beats(ecg: ECG) -> tuple[Beats | None, list[str]]:
    """The beats of a recording and notes on what was left out; None, and the note that says why, without any.

    Raises `MissingExtraError` without neurokit2.
    """
    neurokit = load_neurokit()
    notes = []
    if ecg.duration > LONGEST_SECONDS:
        notes.append(f"measured on the first {LONGEST_SECONDS:g} s of {ecg.duration:.4g} s")
        ecg = replace(ecg, signal=ecg.signal[:, : round(LONGEST_SECONDS * ecg.rate)])
    if ecg.duration < SHORTEST_SECONDS:
        return None, [f"nothing is measured: {ecg.duration:.3g} s are too short; expected at least 2.5 s"]
    whole = ecg.fill_gaps().resample(RATE)
    spans = np.ptp(np.percentile(whole.signal, (1, 99), axis=1), axis=0)
    used = [row for row in range(whole.n_leads) if spans[row] >= SMALLEST_SPAN]
    if not used:
        return None, [f"nothing is measured: no lead spans {SMALLEST_SPAN:g} mV"]
    if len(used) < whole.n_leads:
        flat = [lead for row, lead in enumerate(whole.leads) if row not in used]
        notes.append(f"without {', '.join(flat)}, which {'is' if len(flat) == 1 else 'are'} flat")
    rows = highpass(whole.signal[used], WANDER, RATE, round(RATE)).astype(np.float64)
    leads = tuple(whole.leads[row] for row in used)
    peaks = _r_peaks(neurokit, rows)
    before, after = round(BEFORE * RATE), round(AFTER * RATE)
    peaks, each = _aligned(rows, peaks, before, after)
    if len(each) < FEWEST_BEATS:
        return None, [*notes, f"nothing is measured: {len(each)} whole beats were found; expected {FEWEST_BEATS}"]
    likeness = _likeness(each, before)
    alike = likeness >= LEAST_LIKENESS
    if alike.sum() < max(FEWEST_BEATS, len(each) / 3):
        return None, [*notes, f"nothing is measured: {int(alike.sum())} of {len(each)} beats look alike"]
    if others := int((~alike).sum()):
        notes.append(f"{others} of {len(each)} beats have another shape and were left out of the intervals")
    each = each[alike]
    return Beats(leads, peaks, each, np.median(each, axis=0), before, others), notes


def load_neurokit() -> ModuleType:
    """The package neurokit2, which takes seconds to import. Raises `MissingExtraError` without it."""
    try:
        with warnings.catch_warnings():
            # It imports everything that it offers, and with that an empty module of scipy's which is to go.
            warnings.filterwarnings("ignore", message="scipy.misc is deprecated", category=DeprecationWarning)
            import neurokit2
    except ImportError:
        raise MissingExtraError("measuring intervals", "neurokit2", "measure") from None
    return neurokit2


def _r_peaks(neurokit: ModuleType, rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Samples of the beats, found in the size of all leads together: no single lead need show them well."""
    size = np.sqrt(np.square(rows).sum(axis=0))
    try:
        _, found = neurokit.ecg_peaks(size, sampling_rate=int(RATE), method="neurokit", mindelay=SHORTEST_RR)
    except (TypeError, ValueError, IndexError):  # what it raises of signals too short to smooth, or without a beat
        return np.empty(0, dtype=np.int64)
    return _without_t_waves(np.asarray(found["ECG_R_Peaks"], dtype=np.int64), speed_of(rows))


def _without_t_waves(peaks: NDArray[np.int64], speed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Without those that follow another within 0.36 s and are less than half as steep (Pan and Tompkins 1985)."""
    half = round(QRS_SECONDS * RATE)
    steepest = [float(speed[max(0, peak - half) : peak + half + 1].max()) for peak in peaks]
    kept: list[int] = []
    for number, peak in enumerate(peaks):
        if kept and peak - peaks[kept[-1]] < T_WITHIN * RATE and steepest[number] < 0.5 * steepest[kept[-1]]:
            continue
        kept.append(number)
    return peaks[kept]


def speed_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The heart's vector's: root of the sum of the squared slopes of leads `(leads, samples)`, in mV/s."""
    step = round(SLOPE_SECONDS * RATE)
    slopes = np.zeros_like(rows)
    slopes[:, step:-step] = (rows[:, 2 * step :] - rows[:, : -2 * step]) / (2 * step / RATE)
    return np.sqrt(np.square(slopes).sum(axis=0))


def _aligned(
    rows: NDArray[np.float64], peaks: NDArray[np.int64], before: int, after: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The peaks, moved so that the beats lie on each other, and the whole beats, `(beats, leads, samples)`."""
    half, most = round(QRS_SECONDS * RATE), round(ALIGNED_WITHIN * RATE)
    margin = max(before, after, half) + most
    padded = np.pad(rows, ((0, 0), (margin, margin)), mode="edge")
    for _ in range(2):
        if not len(peaks):
            break
        around = np.arange(-half, half + 1)
        typical = np.median(padded[:, (peaks[:, None] + around) + margin], axis=1)
        moved = []
        for peak in peaks:
            likeness = [np.vdot(padded[:, peak + shift + around + margin], typical) for shift in range(-most, most + 1)]
            moved.append(peak + int(np.argmax(likeness)) - most)
        peaks = np.unique(np.clip(moved, 0, rows.shape[1] - 1))
    whole = peaks[(peaks >= before) & (peaks + after < rows.shape[1])]
    window = np.arange(-before, after + 1)
    return peaks, np.moveaxis(rows[:, whole[:, None] + window], 0, 1)


def _likeness(each: NDArray[np.float64], r: int) -> NDArray[np.float64]:
    """Correlation of each beat's QRS, all leads together, with the median of all."""
    half = round(QRS_SECONDS * RATE)
    qrs = each[:, :, r - half : r + half + 1]
    qrs = (qrs - qrs.mean(axis=2, keepdims=True)).reshape(len(each), -1)
    typical = np.median(qrs, axis=0)
    size = np.linalg.norm(qrs, axis=1) * np.linalg.norm(typical)
    return qrs @ typical / np.where(size > 0, size, 1.0)
