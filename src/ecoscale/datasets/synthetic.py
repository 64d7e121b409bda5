"""Synthetic 12-lead ECGs with known findings, for the demo, the tests and scale tests.

They are drawn by formula: **nothing measured on them is evidence of accuracy on people.**

The heart is one moving dipole in Frank's axes (x to the left, y to the feet, z to the back). Every beat is a sum of
smooth vectors with a beginning and an end (P, septal, main and terminal QRS forces, ST, T, U), so that the PR interval
and the QRS duration are exact. Dower's matrix (Dower, Machado, Osborne 1980, as printed by Sameni et al. 2007) projects
it on I, II and V1-V6; III and the augmented leads follow from Einthoven and Goldberger, noise included, because noise
arises at the electrodes. The beat as a sum of bell shapes on a variable rhythm is after ECGSYN (McSharry et al. 2003),
the fibrillatory waves are after Stridh and Sörnmo (2001).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecoscale.datasets.synthetic_heart import (
    CODE15_PREVALENCE,
    EVEN_PREVALENCE,
    Heart,
    Torso,
    random_findings,
    random_heart,
    random_torso,
)
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import SignalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CODE15_PREVALENCE",
    "DEFAULT_NOISE",
    "EVEN_PREVALENCE",
    "NO_NOISE",
    "Heart",
    "Noise",
    "SyntheticECG",
    "Torso",
    "random_findings",
    "random_heart",
    "random_torso",
    "synthetic_collection",
    "synthetic_ecg",
    "wave_times",
]

# Each of I, II, V1..V6 from the potentials of the electrodes RA, LA, LL, V1..V6 (Wilson's terminal for the chest).
_ELECTRODES = np.zeros((8, 9))
_ELECTRODES[0, :2] = -1, 1
_ELECTRODES[1, [0, 2]] = -1, 1
_ELECTRODES[2:, :3] = -1 / 3
_ELECTRODES[2:, 3:] = np.eye(6)


@dataclass(frozen=True)
class Noise:
    """What the recorder adds, in mV: root mean square of muscle noise and baseline wander, amplitude of mains hum.

    Muscle noise is pink above 0.5 Hz; the wander lies below 0.5 Hz and includes respiration. Mains hum at or above
    half the sampling rate is left out, as the recorder's anti-aliasing filter would.
    """

    muscle: float = 0.008
    mains: float = 0.004
    wander: float = 0.04
    mains_frequency: float = 60.0

    def scaled(self, factor: float) -> Noise:
        """All three multiplied."""
        return replace(self, muscle=self.muscle * factor, mains=self.mains * factor, wander=self.wander * factor)


DEFAULT_NOISE = Noise()
NO_NOISE = Noise(0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class SyntheticECG:
    """A recording and the truth about it. Times are in seconds from the first sample.

    `r_peaks` are where the QRS is largest over the leads together; `qrs_onsets` belong to them one by one, and the
    first can lie just before the recording. `beats` are the beginnings of QRS of these and of two beats before and
    after, whose waves can reach into the recording.
    """

    ecg: ECG
    heart: Heart
    r_peaks: NDArray[np.float64]
    qrs_onsets: NDArray[np.float64]
    beats: NDArray[np.float64]

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings that it shows."""
        return self.heart.findings

    def during(self, part: str, times: ArrayLike) -> NDArray[np.bool_]:
        """Whether moments, in seconds, lie in a part of a beat: P, PR, QRS, T, or TQ (from T to the next QRS).

        PR is the interval, from the beginning of P to that of QRS. Raises `SignalError` for a part that the heart does
        not have.
        """
        spans = wave_times(self.heart)
        if self.heart.pr_interval is not None:
            spans["PR"] = (-self.heart.pr_interval, 0.0)
        if part not in (*spans, "TQ"):
            raise SignalError(f"no part {part!r} of a beat of this heart; there are {', '.join((*spans, 'TQ'))}")
        start, stop = (0.0, self.heart.qt_interval) if part == "TQ" else spans[part]
        moments = np.asarray(times, dtype=np.float64)[..., None] - self.beats
        inside = np.any((moments >= start) & (moments < stop), axis=-1)
        return np.asarray(~inside if part == "TQ" else inside)


def synthetic_ecg(
    findings: Iterable[str] = (),
    *,
    rate: float = 500.0,
    duration: float = 10.0,
    seed: int | Sequence[int] = 0,
    noise: Noise = DEFAULT_NOISE,
    heart: Heart | None = None,
    torso: Torso | None = None,
    record: str = "",
) -> SyntheticECG:
    """One recording with exactly these findings, or of this `heart`; the same for the same `seed`.

    `rate` is in Hz, `duration` in seconds. Raises `SignalError` for findings that are unknown or contradict each
    other or the heart, and for a duration without a sample.
    """
    random = np.random.default_rng(seed)
    findings = tuple(findings)
    drawn_heart, drawn_torso = random_heart(findings, random), random_torso(random)
    if heart is not None and findings and set(heart.findings) != set(findings):
        raise SignalError(f"the heart given shows {heart.findings or 'nothing'}, not the findings asked: {findings}")
    heart, torso = heart or drawn_heart, torso or drawn_torso
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(duration) and round(rate * duration) > 0):
        raise SignalError(f"{duration} s at {rate} Hz hold no sample; expected a positive duration and rate")
    n_samples = round(rate * duration)
    respiration = random.uniform(0.18, 0.3), random.uniform(0, 2 * np.pi)

    waves = _waves(heart, torso)
    vectors = torso.lead_vectors()
    r_delay = _r_delay(heart, vectors)
    r_times = _r_times(heart, n_samples / rate, respiration, random)
    # Breathing moves the heart against the electrodes a little: each beat is a few percent larger or smaller.
    gains = 1 + 0.04 * np.sin(2 * np.pi * respiration[0] * r_times + respiration[1])
    onsets = r_times - r_delay
    trains = np.stack([_train(wave, onsets, gains, rate, n_samples) for wave in waves])
    dipole = np.array([wave.vector for wave in waves]).T @ trains
    if heart.atrial_fibrillation:
        dipole += _fibrillation(n_samples, rate, random)
    eight = vectors @ dipole + _noise(noise, n_samples, rate, respiration, random)

    inside = (r_times >= 0) & (r_times < n_samples / rate)
    ecg = ECG(_twelve(eight), rate, LEADS, source="synthetic", record=record or f"seed-{seed}")
    return SyntheticECG(ecg, heart, r_times[inside], onsets[inside], onsets)


def synthetic_collection(
    n: int,
    *,
    findings: Iterable[str] | None = None,
    seed: int = 0,
    prevalence: Mapping[str, float] = CODE15_PREVALENCE,
    rate: float = 500.0,
    duration: float = 10.0,
    noise: Noise = DEFAULT_NOISE,
) -> Iterator[SyntheticECG]:
    """`n` people, one at a time, with noise between a third and twice of `noise`; named by their number.

    Each shows exactly `findings`, or if that is None, findings drawn by `prevalence`. Raises as `synthetic_ecg` and
    `random_findings` do.
    """
    fixed = None if findings is None else tuple(findings)

    def draw(index: int) -> SyntheticECG:
        random = np.random.default_rng([seed, index, 0])
        wanted = random_findings(random, prevalence) if fixed is None else fixed
        level = noise.scaled(float(np.exp(random.uniform(np.log(1 / 3), np.log(2)))))
        key = [seed, index, 1]
        return synthetic_ecg(wanted, rate=rate, duration=duration, seed=key, noise=level, record=f"{index:05d}")

    if n > 0:
        draw(0)  # what cannot be drawn is refused here, not at the first use
    return map(draw, range(n))


class _Wave(NamedTuple):
    """A smooth rise from `start` to `peak` and fall to `stop` (s from the beginning of QRS) along `vector` (mV)."""

    start: float
    peak: float
    stop: float
    vector: tuple[float, float, float]

    def __call__(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        rise = (times - self.start) / (self.peak - self.start)
        fall = (self.stop - times) / (self.stop - self.peak)
        return np.sin(np.pi / 2 * np.clip(np.minimum(rise, fall), 0, 1)) ** 2


# QRS forces: beginning, peak and end as parts of the QRS duration, and the vector in mV.
_QRS = {
    "normal": (
        (0.00, 0.20, 0.42, (-0.16, -0.06, -0.26)),  # septum: to the right and forward
        (0.16, 0.45, 0.76, (1.05, 0.95, 0.42)),  # free wall of the left ventricle
        (0.40, 0.66, 1.00, (-0.22, -0.12, 0.52)),  # base: backward
    ),
    "RBBB": (
        (0.00, 0.13, 0.26, (-0.14, -0.06, -0.26)),
        (0.10, 0.28, 0.50, (1.05, 0.95, 0.45)),
        (0.30, 0.42, 0.58, (0.00, -0.05, 0.30)),
        (0.42, 0.64, 1.00, (-0.52, -0.06, -0.72)),  # right ventricle, late: to the right and forward
    ),
    "LBBB": (
        (0.00, 0.10, 0.22, (0.12, 0.00, -0.12)),  # septum from the right: no q in I and V6
        (0.08, 0.35, 0.66, (1.05, 0.42, 0.20)),
        (0.10, 0.52, 0.96, (0.10, 0.10, 1.30)),  # left ventricle, late and long: backward,
        (0.40, 0.66, 1.00, (1.05, 0.20, 0.30)),  # and a second summit to the left
    ),
}
_T = {"normal": (0.26, 0.20, -0.15), "RBBB": (0.32, 0.20, 0.11), "LBBB": (-0.38, -0.10, -0.50)}
# Where T begins and peaks, as parts of the time from the end of QRS to the end of T. Repolarisation that follows a
# blocked branch begins early, in LBBB at once: ST slopes into T.
_T_START = {"normal": 0.2, "RBBB": 0.1, "LBBB": 0.0}
_T_PEAK = 0.66


def wave_times(heart: Heart) -> dict[str, tuple[float, float]]:
    """When P, QRS and T begin and end, in seconds from the beginning of QRS; without P in atrial fibrillation."""
    qrs, qt = heart.qrs_duration, heart.qt_interval
    times = {"QRS": (0.0, qrs), "T": (qrs + _T_START[heart.conduction] * (qt - qrs), qt)}
    if heart.pr_interval is not None:
        times["P"] = (-heart.pr_interval, -heart.pr_interval + _p_duration(heart.pr_interval))
    return times


def _p_duration(pr_interval: float) -> float:
    return min(0.1, pr_interval - 0.01)


def _qrs(heart: Heart) -> list[_Wave]:
    """The ventricular forces of one beat."""
    qrs = heart.qrs_duration
    return [_Wave(start * qrs, peak * qrs, stop * qrs, vector) for start, peak, stop, vector in _QRS[heart.conduction]]


def _waves(heart: Heart, torso: Torso) -> list[_Wave]:
    """One beat."""
    qrs, qt = heart.qrs_duration, heart.qt_interval
    waves = _qrs(heart)
    if heart.pr_interval is not None:
        onset, length = -heart.pr_interval, _p_duration(heart.pr_interval)
        waves += [
            _Wave(onset, onset + 0.36 * length, onset + 0.78 * length, (0.04, 0.10, -0.05)),  # right atrium
            _Wave(onset + 0.24 * length, onset + 0.62 * length, onset + length, (0.08, 0.06, 0.04)),  # left atrium
        ]
    x, y, z = (torso.t_amplitude * value for value in _T[heart.conduction])
    start = qrs + _T_START[heart.conduction] * (qt - qrs)
    waves.append(_Wave(start, qrs + _T_PEAK * (qt - qrs), qt, (x, y, z)))
    if heart.conduction == "LBBB":
        waves.append(_Wave(0.75 * qrs, qrs + 0.02, qrs + 0.6 * (qt - qrs), (0.35 * x, 0.35 * y, 0.35 * z)))
    if heart.rate < 90:
        waves.append(_Wave(qt - 0.02, qt + 0.1, qt + 0.26, (0.01, 0.01, -0.02)))
    return waves


def _r_delay(heart: Heart, vectors: NDArray[np.float64]) -> float:
    """Seconds from the beginning of QRS to where it is largest over the eight leads together."""
    times = np.arange(0, heart.qrs_duration, 0.0005, dtype=np.float64)
    dipole = np.sum([np.outer(wave.vector, wave(times)) for wave in _qrs(heart)], axis=0)
    return float(times[np.argmax(np.sum((vectors @ dipole) ** 2, axis=0))])


def _r_times(heart: Heart, duration: float, respiration: tuple[float, float], random: Generator) -> NDArray[np.float64]:
    """Times of R, from two beats before the recording to two after; those inside have the mean interval asked for."""
    interval = 60 / heart.rate
    first = random.uniform(0, min(interval, duration))
    n_intervals = int((duration - first) / interval)
    z = np.clip(random.standard_normal(n_intervals), -2, 2)
    if not heart.atrial_fibrillation:
        when = first + interval * np.arange(n_intervals)
        z = 0.4 * z + np.sin(2 * np.pi * respiration[0] * when + respiration[1])
    if n_intervals > 2:
        z = (z - z.mean()) / z.std()
    factors = np.exp(heart.rr_variation * z)
    if n_intervals:
        factors /= factors.mean()
    outside = interval * np.exp(heart.rr_variation * np.abs(random.standard_normal(4)))
    steps = np.concatenate(([-outside[:2].sum(), outside[0], outside[1]], interval * factors, outside[2:]))
    return first + np.cumsum(steps)


def _train(
    wave: _Wave, onsets: NDArray[np.float64], gains: NDArray[np.float64], rate: float, n_samples: int
) -> NDArray[np.float64]:
    """The wave at every beat, sampled, `(samples,)`."""
    begins = np.ceil((onsets + wave.start) * rate).astype(int)
    index = begins[:, None] + np.arange(int((wave.stop - wave.start) * rate) + 1)
    values = gains[:, None] * wave(index / rate - onsets[:, None])
    inside = (index >= 0) & (index < n_samples)
    return np.bincount(index[inside], weights=values[inside], minlength=n_samples).astype(np.float64)


def _fibrillation(n_samples: int, rate: float, random: Generator) -> NDArray[np.float64]:
    """Fibrillatory waves as a dipole, `(3, samples)`: two unsteady saw-teeth of 4 to 9 Hz, the larger towards V1."""
    times = np.arange(n_samples) / rate
    dipole = np.zeros((3, n_samples))
    for direction, size in (((-0.6, 0.1, -0.5), 1.0), ((0.15, 0.5, 0.1), 0.6)):
        frequency, depth = random.uniform(5, 7.5), random.uniform(0.4, 0.9)
        speeds, starts = random.uniform(0.1, 0.5, 2), random.uniform(0, 2 * np.pi, 3)
        slow = 2 * np.pi * speeds[:, None] * times + starts[:2, None]
        phase = 2 * np.pi * frequency * times + depth / speeds[0] * np.sin(slow[0]) + starts[2]
        saw = sum(np.sin(k * phase) / k for k in (1, 2, 3) if k * 9 < rate / 2)
        dipole += np.outer(direction, size * random.uniform(0.04, 0.09) * (1 + 0.35 * np.sin(slow[1])) * saw)
    return dipole


def _noise(
    noise: Noise, n_samples: int, rate: float, respiration: tuple[float, float], random: Generator
) -> NDArray[np.float64]:
    """Noise of the electrodes as it appears in I, II and V1..V6, `(8, samples)`."""
    times = np.arange(n_samples) / rate
    electrodes = np.zeros((9, n_samples))
    if noise.muscle:
        spectrum = np.fft.rfft(random.standard_normal((9, n_samples)))
        frequencies = np.fft.rfftfreq(n_samples, 1 / rate)
        spectrum *= np.where(frequencies < 0.5, 0, 1 / np.sqrt(np.maximum(frequencies, 0.5)))
        pink = np.fft.irfft(spectrum, n_samples)
        size = np.sqrt(np.mean(pink**2))
        electrodes += noise.muscle * pink / (size or 1.0)
    if noise.wander:
        frequencies = np.append(random.uniform(0.04, 0.45, 3), respiration[0])
        waves = np.sin(2 * np.pi * frequencies[:, None] * times + random.uniform(0, 2 * np.pi, (4, 1)))
        electrodes += noise.wander * random.normal(0, 1, (9, 4)) @ waves / np.sqrt(2)
    if noise.mains and noise.mains_frequency < rate / 2:
        hum = np.sin(2 * np.pi * noise.mains_frequency * times + random.uniform(0, 2 * np.pi))
        electrodes += noise.mains * random.normal(0, 1, (9, 1)) * hum
    # A limb lead is the difference of two electrodes, which would add up to more than the level asked for.
    return _ELECTRODES @ electrodes / np.sqrt(2)


def _twelve(eight: NDArray[np.float64]) -> NDArray[np.float32]:
    """I, II, V1..V6 to all twelve leads."""
    one, two = eight[:2]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limb), eight[2:]]).astype(np.float32)
