"""The clinical signal: an ECG in millivolts, its leads by name, the identities between them, and its own checks.

What holds of any signal is `ecoscale.signal`'s. Reading files belongs to `ecoscale.formats`; nothing here guesses a
unit, a rate or a lead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ecoscale.errors import LeadError
from ecoscale.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = LIMB_LEADS + CHEST_LEADS
UNIT = "mV"

# Einthoven's law and Goldberger's definitions: every limb lead as a combination of (I, II).
_LIMB_FROM_I_II: dict[str, NDArray[np.float64]] = dict(
    zip(
        LIMB_LEADS,
        np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]]),
        strict=True,
    )
)

# Limits of the checks. Those on amplitude are far outside physiology: they catch a wrong unit, not a rare heart.
SHORTEST_SECONDS = 5.0
FLAT_SECONDS = 1.0
SATURATED_SECONDS = 0.04
SATURATED_MILLIVOLT = 1.0
LARGEST_MILLIVOLT = 10.0
SMALLEST_MILLIVOLT = 0.1
LARGEST_RESIDUAL = 0.1

SAMPLES_TOGETHER = 2048
"""Samples of each lead whose products are made together."""


@dataclass(frozen=True, eq=False, repr=False)
class ECG(Signal):
    """One recording.

    Parameters
    ----------
    signal
        `(leads, samples)`, millivolts; stored as float32. NaN marks a missing sample.
    rate
        Samples per second (Hz).
    leads
        Canonical names, a subset of `LEADS` in the order of the rows of `signal`. As a `Signal`, its `channels` are the
        leads, and its `units` mV.
    source, record
        Where it came from, and its name there.
    notes
        What the reader did that the user should know (a lead derived, padding removed). They come out in the
        `warnings` of every result.

    Raises
    ------
    SignalError
        If the signal is not a non-empty `(leads, samples)` array or the rate is not a positive number.
    LeadError
        If a name is not canonical, occurs twice, or the number of names differs from the number of rows.
    """

    channels: tuple[str, ...] = field(init=False)
    units: Sequence[str] = field(init=False)
    leads: tuple[str, ...] = LEADS

    _kind: ClassVar[str] = "ECG"
    _row: ClassVar[str] = "lead"
    _wrong_names: ClassVar[type[LeadError]] = LeadError

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.leads))
        object.__setattr__(self, "units", UNIT)
        super().__post_init__()
        object.__setattr__(self, "leads", self.channels)

    def _refuse_unknown(self, names: tuple[str, ...]) -> None:
        if unknown := [lead for lead in names if lead not in LEADS]:
            raise LeadError(
                f"{self._where}: unknown lead {', '.join(map(repr, unknown))}; the names are {', '.join(LEADS)}"
            )

    @property
    def n_leads(self) -> int:
        """Number of leads."""
        return self.n_channels

    def _remedy_of_missing(self) -> str:
        return "; derive_limb_leads() computes limb leads from any two of them, a chest lead cannot be derived"

    def _with_rows(self, signal: NDArray[np.float32], channels: tuple[str, ...], units: tuple[str, ...]) -> Self:  # noqa: ARG002
        return replace(self, signal=signal, leads=channels)

    def derive_limb_leads(self) -> Self:
        """All six limb leads, those that are missing computed from the others; then the chest leads at hand.

        Einthoven (III = II - I) and Goldberger (aVR = -(I+II)/2, aVL = I - II/2, aVF = II - I/2) make every limb lead
        a combination of any two. Leads that are present are left as they are. Raises `LeadError` with fewer than two.
        """
        present = [lead for lead in LIMB_LEADS if lead in self.leads]
        missing = [lead for lead in LIMB_LEADS if lead not in self.leads]
        if not missing:
            return self
        if len(present) < 2:
            raise LeadError(
                f"{self.source or 'this ECG'}: limb leads {', '.join(missing)} cannot be derived: that takes any two "
                f"of {', '.join(LIMB_LEADS)}, and this ECG has {', '.join(present) or 'none'}"
            )
        basis = np.stack([_LIMB_FROM_I_II[lead] for lead in present])
        target = np.stack([_LIMB_FROM_I_II[lead] for lead in missing])
        derived = (target @ np.linalg.pinv(basis)) @ self.select(present).signal
        rows = dict(zip(missing, derived, strict=True)) | dict(zip(self.leads, self.signal, strict=True))
        order = [lead for lead in LEADS if lead in rows]
        note = f"derived_leads: {', '.join(missing)} computed from {', '.join(present)}"
        return replace(self, signal=np.stack([rows[x] for x in order]), leads=tuple(order), notes=(*self.notes, note))

    def einthoven_residual(self) -> dict[str, float]:
        """How far III, aVR, aVL and aVF are from what I and II make of them, for those that are present.

        Root mean square of the difference over that of the limb leads together, after removing each lead's mean:
        under 0.02 where order and gains are right, about 1 where they are not. Empty without I and II.
        """
        present = [lead for lead in LIMB_LEADS if lead in self.leads]
        if not {"I", "II"} <= set(present):
            return {}
        limb = self.signal[[self.leads.index(lead) for lead in present]]
        products = _covariance(limb)
        if not np.isfinite(products).all():  # as they are not wherever a sample is not
            products = _covariance(limb[:, np.isfinite(limb).all(axis=0)])
        size = float(np.sqrt(np.trace(products) / len(limb)))
        if size == 0:
            return {}
        misfit = _misfit(tuple(present))
        # The mean square of each difference, from the products alone: the differences themselves are never made.
        residual = np.sqrt(np.maximum(0, (misfit @ products * misfit).sum(axis=1))) / size
        return {lead: float(value) for lead, value in zip(present, residual, strict=True) if lead not in ("I", "II")}

    def check(self) -> tuple[str, ...]:
        """What is doubtful about this recording, each as `code: explanation`; empty when nothing is.

        Codes: `missing_samples`, `flat_lead`, `saturated`, `implausible_amplitude`, `inconsistent_leads`,
        `short_signal`. The reader's own `notes` come first.
        """
        return super().check()

    def _doubts(self, whole: NDArray[np.float32]) -> list[str]:
        found = []
        resting = self._resting(whole, min(FLAT_SECONDS * self.rate, self.n_samples))
        if flat := [f"{lead} {run / self.rate:.1f} s" for lead, run in resting]:
            found.append(f"flat_lead: no change at all in {', '.join(flat)}; electrode off, or padding")
        lowest, highest = whole.min(axis=1), whole.max(axis=1)
        if saturated := self._saturated_leads(whole, lowest, highest):
            found.append(f"saturated: {', '.join(saturated)} rests at its extreme value; the amplifier clipped")
        span = highest - lowest
        # Only where a lead spans so much can it be that far from its median.
        wide = np.flatnonzero(span > LARGEST_MILLIVOLT)
        # A percentile, so that one pacing spike or glitch does not condemn the unit.
        large = {self.leads[row]: np.percentile(np.abs(whole[row] - np.median(whole[row])), 99.5) for row in wide}
        if too_large := [lead for lead, value in large.items() if value > LARGEST_MILLIVOLT]:
            found.append(
                f"implausible_amplitude: {', '.join(too_large)} reach {max(large.values()):.3g} mV; is the unit or "
                "gain right?"
            )
        elif span.max() < SMALLEST_MILLIVOLT:
            found.append(
                f"implausible_amplitude: no lead spans more than {span.max():.3g} mV; is the unit or gain right?"
            )
        wrong = {lead: value for lead, value in self.einthoven_residual().items() if value > LARGEST_RESIDUAL}
        if wrong:
            found.append(
                "inconsistent_leads: "
                + ", ".join(f"{lead} differs by {100 * value:.0f} %" for lead, value in wrong.items())
                + " from what leads I and II imply; lead order, gain or an electrode is wrong"
            )
        if self.duration < SHORTEST_SECONDS:
            found.append(f"short_signal: {self.duration:.2f} s; rhythm needs at least {SHORTEST_SECONDS:g} s")
        return found

    def _saturated_leads(
        self, whole: NDArray[np.float32], lowest: NDArray[np.float32], highest: NDArray[np.float32]
    ) -> list[str]:
        """Leads that rest at their largest or smallest value, well away from their median."""
        shortest = max(3, int(np.ceil(SATURATED_SECONDS * self.rate)))
        found = []
        # No sample of a lead is farther from the median than the lead spans; and a rest that long holds one of every so
        # many samples, which most leads' extremes are not among.
        sampled = whole[:, ::shortest]
        reached = (sampled.min(axis=1) == lowest) | (sampled.max(axis=1) == highest)
        for row in np.flatnonzero((highest - lowest > SATURATED_MILLIVOLT) & reached):
            for extreme in (lowest[row], highest[row]):
                resting = whole[row] == extreme
                if np.count_nonzero(resting) < shortest or self.leads[row] in found:
                    continue
                edges = np.flatnonzero(np.diff(resting, prepend=False, append=False))
                far = abs(extreme - np.median(whole[row])) > SATURATED_MILLIVOLT
                if far and (edges[1::2] - edges[::2]).max() >= shortest:
                    found.append(self.leads[row])
        return found


def _covariance(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean products of `(leads, samples)` after removing each lead's mean; not finite where a sample is not.

    The mean, because it is linear as the identities are: medians of exact leads do not add up. In parts, because memory
    for all of it in float64 would come from the system, and go back to it, each time.
    """
    n_leads, n_samples = signal.shape
    products, sums = np.zeros((n_leads, n_leads)), np.zeros(n_leads)
    with np.errstate(invalid="ignore"):
        for first in range(0, n_samples, SAMPLES_TOGETHER):
            part = signal[:, first : first + SAMPLES_TOGETHER].astype(np.float64)
            part -= signal[:, :1]
            # With a copy of itself: BLAS takes three times as long where it sees that a product is symmetric.
            products += part @ part.copy().T
            sums += part.sum(axis=1)
        mean = sums / max(1, n_samples)
        return products / max(1, n_samples) - np.multiply.outer(mean, mean)


@lru_cache(maxsize=16)
def _misfit(limb: tuple[str, ...]) -> NDArray[np.float64]:
    """What makes of these limb leads, I and II among them, what each differs by from what those two imply."""
    implied = np.zeros((len(limb), len(limb)))
    implied[:, [limb.index("I"), limb.index("II")]] = [_LIMB_FROM_I_II[lead] for lead in limb]
    return np.eye(len(limb)) - implied
