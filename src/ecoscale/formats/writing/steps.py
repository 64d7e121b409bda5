"""Millivolts as 16-bit integers: the step that reproduces a lead, found from its samples.

An `ECG` holds float32 millivolts and not the step of the converter that they came from; but nearly every ECG was made
of integers, and a step that gives back all samples of a lead, to the rounding of float32, tells which. A lead that no
such step gives back (it was filtered, or resampled) is rounded to the finest step that 16 bits have room for, and that
is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import SignalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

LARGEST = 32767
"""Samples are from -LARGEST to LARGEST: -32768 marks a missing one, in WFDB as here in DICOM."""
MISSING = -32768

# Steps a millivolt. Of an ADC whose range is a power of two of them (204.8: 10 V in 11 bits at an amplification of
# 1000) and of decimal steps, from 5 uV down to 0.01 uV.
_FINE = (200, 204.8, 400, 409.6, 500, 800, 819.2, 1000, 1638.4, 2000, 4000, 5000, 8000, 10_000)
_FINER = (20_000, 40_000, 50_000, 80_000, 100_000)
_COARSE = (100, 50, 20, 10, 5, 2, 1)
_ROUNDING = (100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000, 500, 200)

# A step must be this many times what a sample may be off by: else any sample is near a multiple of it.
_CLEAR = 16
_DIGITS = 7


@dataclass(frozen=True)
class Step:
    """How a lead becomes integers: `rint(mV * gain) - offset`. `exact`: to the rounding of float32."""

    gain: float
    offset: int = 0
    exact: bool = True

    @property
    def microvolts(self) -> float:
        """The step in uV."""
        return float(f"{1000 / self.gain:.15g}")

    def integers(self, millivolts: NDArray[np.floating]) -> NDArray[np.int16]:
        """Samples as 16-bit integers, `MISSING` where they are not finite."""
        finite = np.isfinite(millivolts)
        steps = np.rint(np.where(finite, millivolts, 0.0).astype(np.float64) * self.gain) - self.offset
        return np.where(finite, steps, MISSING).astype(np.int16)


class StepSearch:
    """Finds the step of one lead from its samples, which may come in pieces."""

    def __init__(self) -> None:
        self._gains: list[float] | None = None
        self._unasked: tuple[NDArray[np.float64], float] | None = None
        self._lowest, self._highest = np.inf, -np.inf

    def add(self, millivolts: NDArray[np.floating]) -> None:
        """Look at more samples of the lead, float32."""
        distinct = np.unique(millivolts[np.isfinite(millivolts)]).astype(np.float64)
        if not distinct.size:
            return
        self._lowest, self._highest = min(self._lowest, distinct[0]), max(self._highest, distinct[-1])
        # Half a unit in the last place from the integer's quotient, and as much again where leads were added up.
        tolerance = max(-distinct[0], distinct[-1]) * 2.0**-23
        if self._gains is None:
            self._gains = [*_FINE, *_FINER, *_COARSE]
            self._unasked = distinct, tolerance
        else:
            self._ask()
        self._gains = [gain for gain in self._gains if _reproduces(gain, distinct, tolerance)]

    def step(self, lead: str, source: str) -> Step:
        """The step: an exact one if there is one for which 16 bits are enough, else the finest for which they are.

        Raises `SignalError` where that would be coarser than 5 uV.
        """
        if self._gains is None:
            return Step(1000.0)
        if not any(self._offset(gain) is not None for gain in self._gains):
            self._ask()
        for gain in self._gains:
            if (offset := self._offset(gain)) is not None:
                return Step(float(gain), offset)
        return self.rounding(lead, source)

    def _ask(self) -> None:
        """Add the gain that the first samples suggest; it takes longer than to try all the usual ones."""
        if self._unasked is not None and self._gains is not None:
            own = _own_gain(*self._unasked)
            self._gains += [] if own is None else [own]
            self._unasked = None

    def rounding(self, lead: str, source: str) -> Step:
        """The finest decimal step for which 16 bits are enough, whether or not samples are multiples of it."""
        for gain in _ROUNDING:
            if (offset := self._offset(gain)) is not None:
                return Step(float(gain), offset, exact=False)
        raise SignalError(
            f"{source}: lead {lead} goes from {self._lowest:.4g} to {self._highest:.4g} mV, for which 16 bits are not "
            f"enough in steps of {1000 / _ROUNDING[-1]:g} uV; is its unit right? csv and parquet hold any number"
        )

    def _offset(self, gain: float) -> int | None:
        lowest, highest = round(self._lowest * gain), round(self._highest * gain)
        if lowest >= -LARGEST and highest <= LARGEST:
            return 0
        return (lowest + highest) // 2 if highest - lowest < 2 * LARGEST else None


def steps_of(ecg: ECG) -> tuple[Step, ...]:
    """The step of each lead."""
    return tuple(search.step(lead, ecg.source or "this ECG") for lead, search in searches(ecg))


def searches(ecg: ECG) -> Iterator[tuple[str, StepSearch]]:
    """Each lead, and the search that has seen it."""
    for lead, row in zip(ecg.leads, ecg.signal, strict=True):
        search = StepSearch()
        search.add(row)
        yield lead, search


def rounding_notes(leads: Sequence[str], steps: Sequence[Step]) -> tuple[str, ...]:
    """What is said of the leads that were rounded: by how much at most."""
    rounded: dict[float, list[str]] = {}
    for lead, step in zip(leads, steps, strict=True):
        if not step.exact:
            rounded.setdefault(step.microvolts, []).append(lead)
    return tuple(
        f"rounded: {', '.join(names)} to steps of {step:g} uV, an error of at most {step / 2:g} uV; no step that 16 "
        "bits hold gives back the samples"
        for step, names in rounded.items()
    )


def _reproduces(gain: float, distinct: NDArray[np.float64], tolerance: float) -> bool:
    if 1 / gain < _CLEAR * tolerance:
        return False
    some = distinct[:: max(1, distinct.size // 64)]  # most gains fail on these
    return all(np.abs(values - np.rint(values * gain) / gain).max() <= tolerance for values in (some, distinct))


def _own_gain(distinct: NDArray[np.float64], tolerance: float) -> float | None:
    """The gain that the smallest distance of two samples suggests, in the fewest digits; None if it is not theirs."""
    distances = np.diff(distinct)
    distances = distances[distances > _CLEAR / 2 * tolerance]
    if not distances.size:
        return None
    step = float(distances.min())
    # Least squares over ever more distant samples: each tells the step more exactly, once it is known well enough to
    # say how many steps away they are.
    away = distinct - distinct[distinct.size // 2]
    for reach in (4, 32, 256, 2048, 16384, 131072):
        near = away[np.abs(away) <= reach * step]
        count = np.rint(near / step)
        if count.any():
            step = float((count @ near) / (count @ count))
    gains = [
        gain
        for digits in range(_DIGITS)
        for gain in (round(1 / step, digits), 1000 / (round(1000 * step, digits) or np.inf))
        if gain > 0 and _reproduces(gain, distinct, tolerance)
    ]
    # Of a step in uV, a gain in a few digits more is nearly as good; the true one gives back each bit.
    identical = (g for g in gains if np.array_equal((np.rint(distinct * g) / g).astype(np.float32), distinct))
    return next(identical, gains[0] if gains else None)
