"""Where the waves of the typical beat begin and end, in all leads together.

Global intervals, from the earliest beginning to the latest end in any lead, are what electrocardiographs state
(Kligfield et al. 2007, doi 10.1016/j.jacc.2007.01.024). QRS is delineated by the speed of the heart's vector, T by the
tangent to its steepest descent (Lepeschkin and Surawicz 1952, doi 10.1161/01.CIR.6.3.378), P by the foot of its rise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.measurements.beats import RATE, SLOPE_SECONDS, Beats, speed_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_QRS, AT_EDGE, KNEE = 0.08, 0.03, 0.02
"""Parts of the largest speed. Above the first it is QRS; from there outward it goes on as long as speed is above the
second, and at its end falls by more than the third within 8 ms: where ST slopes, speed does not come to rest."""
LONGEST_REST = 0.03
"""Seconds of less speed than `IN_QRS` within QRS; what is further apart is P or T."""
QRS_BEFORE, QRS_AFTER = 0.13, 0.14
"""Seconds around R within which QRS lies."""
LONGEST_PR, SHORTEST_PR = 0.42, 0.08
APART = 0.03
"""Seconds from the end of T to P, below which the two may be one wave and where P begins is not seen."""
LEAST_REPETITION = 0.5
"""Mean correlation of a beat's P with that of the others: below, no P wave repeats."""
LEAST_TO_NOISE = 3.0
"""A wave's height over the noise of the typical beat, from which on it is measured."""


@dataclass(frozen=True)
class Waves:
    """Seconds from the R peak; NaN where a wave was not found. `notes` say why."""

    qrs_onset: float
    qrs_end: float
    p_onset: float
    t_end: float
    notes: tuple[str, ...] = ()


def delineate(beats: Beats) -> Waves:
    """The waves of the typical beat."""
    interval = float(np.median(beats.intervals)) if len(beats.intervals) else np.inf
    speed = speed_of(beats.typical)
    onset, end = _qrs(speed, beats.r)
    t_end, t_note = _t_end(beats.typical, beats.r, end, interval)
    p_onset, p_note = _p_onset(beats, onset, t_end, interval)
    after_r = [float(sample - beats.r) / RATE for sample in (onset, end, p_onset, t_end)]
    return Waves(after_r[0], after_r[1], after_r[2], after_r[3], tuple(filter(None, (p_note, t_note))))


def _qrs(speed: NDArray[np.float64], r: int) -> tuple[int, int]:
    """First and last sample of QRS."""
    first, last = r - round(QRS_BEFORE * RATE), r + round(QRS_AFTER * RATE)
    near = slice(r - round(0.06 * RATE), r + round(0.06 * RATE) + 1)
    peak = float(speed[near].max())
    resting = float(np.percentile(speed, 20))
    edge = max(AT_EDGE * peak, 2 * resting)
    inside = np.flatnonzero(speed[first : last + 1] > max(IN_QRS * peak, 3 * resting)) + first
    breaks = np.flatnonzero(np.diff(inside) > LONGEST_REST * RATE)
    groups = np.split(inside, breaks + 1)
    group = min(groups, key=lambda each: min(abs(each - r), default=len(speed)) if len(each) else len(speed))
    onset, end = int(group[0]), int(group[-1])
    while onset > 1 and speed[onset] > edge and speed[onset - 1] <= speed[onset]:
        onset -= 1
    ahead = round(0.008 * RATE)
    while end < len(speed) - 1 - ahead and speed[end] > edge and speed[end] - speed[end + ahead] > KNEE * peak:
        end += 1
    # A slope begins to be seen so much before it is there.
    step = round(SLOPE_SECONDS * RATE)
    return min(onset + step // 2, r), max(end - step // 2, r)


def _t_end(typical: NDArray[np.float64], r: int, qrs_end: int, interval: float) -> tuple[float, str]:
    """Where the tangent to the steepest descent of T meets the level after it."""
    first = qrs_end + round(0.06 * RATE)
    last = min(typical.shape[1] - 1, r + round(min(0.72, 0.75 * interval) * RATE))
    if last - first < 0.12 * RATE:
        return np.nan, "no QT: the next beat follows too closely"
    wave, noise = _principal(typical[:, first : last + 1])
    level = float(np.median(wave[-max(5, round(0.04 * RATE)) :]))
    wave = wave - level
    peak = int(np.argmax(np.abs(wave[: max(1, len(wave) - round(0.03 * RATE))])))
    wave = wave * np.sign(wave[peak] or 1.0)
    if wave[peak] < LEAST_TO_NOISE * noise or wave[peak] < 0.03:
        return np.nan, "no QT: the T wave is too flat"
    after = np.gradient(wave[peak:]) if len(wave) - peak > 3 else np.zeros(1)
    # The descent ends where it first comes back to the level, or turns.
    below = np.flatnonzero(wave[peak:] < 0.05 * wave[peak])
    stop = int(below[0]) + 1 if len(below) else len(after)
    steepest = int(np.argmin(after[:stop]))
    slope = float(after[steepest])
    if slope >= 0:
        return np.nan, "no QT: the T wave does not end before the next beat"
    return first + peak + steepest - wave[peak + steepest] / slope, ""


def _p_onset(beats: Beats, qrs_onset: int, t_end: float, interval: float) -> tuple[float, str]:
    """The foot of P, where there is one that repeats from beat to beat."""
    previous_t = t_end - interval * RATE if np.isfinite(t_end) else beats.r - 0.55 * interval * RATE
    first = max(0, qrs_onset - round(LONGEST_PR * RATE), int(np.ceil(previous_t + 0.01 * RATE)))
    last = qrs_onset - round(0.01 * RATE)
    if last - first < (SHORTEST_PR + 0.02) * RATE:
        return np.nan, "no PR: T of the beat before leaves no room for P"
    window = slice(first, last + 1)
    repetition = _repetition(beats.each[:, :, window])
    if repetition < LEAST_REPETITION:
        return np.nan, "no PR: no P wave repeats from beat to beat (atrial fibrillation or flutter, or noise)"
    wave, noise = _principal(_levelled(beats.typical[:, window]))
    peak = int(np.argmax(np.abs(wave)))
    wave = wave * np.sign(wave[peak] or 1.0)
    if wave[peak] < max(LEAST_TO_NOISE * noise, 0.02):
        return np.nan, "no PR: the P waves are too flat"
    begin = max(0, peak - round(0.12 * RATE))
    level = float(np.median(np.sort(wave[begin : peak + 1])[: max(3, (peak - begin) // 4)]))
    slopes = np.gradient(wave)
    steepest = begin + int(np.argmax(slopes[begin : peak + 1])) if peak > begin else peak
    if slopes[steepest] <= 0:
        return np.nan, "no PR: the P waves begin under T of the beat before"
    foot = steepest - (wave[steepest] - level) / slopes[steepest]
    if foot < APART * RATE and first > qrs_onset - round(LONGEST_PR * RATE):
        return np.nan, "no PR: P begins where T of the beat before ends"
    return first + max(foot, 0.0), ""


def _levelled(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the line from the beginning to the end of each lead."""
    n = max(3, part.shape[1] // 12)
    begins, ends = np.median(part[:, :n], axis=1), np.median(part[:, -n:], axis=1)
    return part - begins[:, None] - (ends - begins)[:, None] * np.linspace(0, 1, part.shape[1])


def _principal(part: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The leads as one signal along the direction of most of what they do together (mV), and its noise (mV)."""
    centred = part - np.median(part, axis=1, keepdims=True)
    direction = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    wave = direction @ part
    weights = np.hanning(11)[1:-1]
    smooth = np.asarray(
        np.convolve(np.pad(wave, 4, mode="edge"), weights / weights.sum(), mode="valid"), dtype=np.float64
    )
    return smooth, float(np.std(np.diff(wave - smooth)) / np.sqrt(2))


def _repetition(each: NDArray[np.float64]) -> float:
    """Mean correlation of each beat in a stretch `(beats, leads, samples)`, levelled, with the mean of the others."""
    levelled = np.stack([_levelled(beat) for beat in each])
    total = levelled.sum(axis=0)
    found = []
    for beat in levelled:
        others = (total - beat) / (len(levelled) - 1)
        size = np.linalg.norm(beat) * np.linalg.norm(others)
        found.append(float(np.vdot(beat, others) / size) if size > 0 else 0.0)
    return float(np.mean(found))
