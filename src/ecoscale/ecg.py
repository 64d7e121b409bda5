"""The signal contract: one 12-lead ECG in millivolts, its leads by name, and the checks that every read runs.

Reading files belongs to `ecoscale.formats`; nothing here guesses a unit, a rate or a lead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import LeadError, SignalError
from ecoscale.filtering import resample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = LIMB_LEADS + CHEST_LEADS

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


@dataclass(frozen=True, eq=False)
class ECG:
    """One recording.

    Parameters
    ----------
    signal
        `(leads, samples)`, millivolts; stored as float32. NaN marks a missing sample.
    rate
        Samples per second (Hz).
    leads
        Canonical names, a subset of `LEADS` in the order of the rows of `signal`.
    source
        Where it came from, usually the path that was read.
    record
        The name of the recording within its source (a record name, an exam id).
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

    signal: NDArray[np.float32]
    rate: float
    leads: tuple[str, ...] = LEADS
    source: str = ""
    record: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        where = self.source or "this ECG"
        try:
            signal = np.asarray(self.signal, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise SignalError(f"{where}: the signal is not an array of numbers ({error})") from error
        if signal.ndim != 2 or signal.size == 0:
            raise SignalError(f"{where}: the signal has shape {signal.shape}; expected (leads, samples), not empty")
        if not _is_rate(self.rate):
            raise SignalError(f"{where}: the rate is {self.rate!r}; expected a positive number of samples per second")
        leads = tuple(self.leads)
        if len(leads) != len(signal):
            raise LeadError(
                f"{where}: {len(leads)} lead names for {len(signal)} rows of signal; the signal must be "
                f"(leads, samples), one name a row"
            )
        if unknown := [lead for lead in leads if lead not in LEADS]:
            raise LeadError(f"{where}: unknown lead {', '.join(map(repr, unknown))}; the names are {', '.join(LEADS)}")
        if len(set(leads)) != len(leads):
            raise LeadError(f"{where}: a lead is named twice in {', '.join(leads)}")
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "leads", leads)
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def n_leads(self) -> int:
        """Number of leads."""
        return self.signal.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples in each lead."""
        return self.signal.shape[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    def __repr__(self) -> str:
        name = " ".join(filter(None, (self.source, self.record))) or "ECG"
        return f"<{name}: {self.n_leads} leads, {self.duration:.2f} s at {self.rate:g} Hz>"

    def select(self, leads: Iterable[str]) -> ECG:
        """These leads, in this order. Raises `LeadError` naming those that are missing."""
        wanted = tuple(leads)
        if wanted == self.leads:
            return self
        if missing := [lead for lead in wanted if lead not in self.leads]:
            raise LeadError(
                f"{self.source or 'this ECG'}: no lead {', '.join(missing)} (it has {', '.join(self.leads)}); "
                "derive_limb_leads() computes limb leads from any two of them, a chest lead cannot be derived"
            )
        return replace(self, signal=self.signal[[self.leads.index(lead) for lead in wanted]], leads=wanted)

    def derive_limb_leads(self) -> ECG:
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

    def fill_gaps(self) -> ECG:
        """Missing (not finite) samples filled by linear interpolation within their lead; zeros in an empty lead."""
        if self._is_whole():
            return self
        good = np.isfinite(self.signal)
        signal = np.zeros_like(self.signal)
        samples = np.arange(self.n_samples)
        for row, lead, ok in zip(signal, self.signal, good, strict=True):
            if ok.any():
                row[:] = np.interp(samples, samples[ok], lead[ok])
        return replace(self, signal=signal)

    def _is_whole(self) -> bool:
        return bool(np.isfinite(self.signal).all())

    def resample(self, rate: float) -> ECG:
        """At another rate in Hz, by polyphase filtering (anti-aliased; `ecoscale.filtering.resample`).

        Missing samples are filled first (`fill_gaps`): a filter would spread them.
        """
        if rate == self.rate:
            return self
        if not _is_rate(rate):
            raise SignalError(f"cannot resample to {rate!r} Hz; expected a positive rate")
        ratio = _ratio(rate / self.rate)
        if ratio == 0:
            raise SignalError(f"cannot resample from {self.rate:g} to {rate:g} Hz: the ratio is out of range")
        whole = self.fill_gaps()
        return replace(whole, signal=resample(whole.signal, ratio.numerator, ratio.denominator), rate=rate)

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
        found = list(self.notes)
        whole = self.fill_gaps().signal
        if whole is not self.signal:
            finite = np.isfinite(self.signal)
            share = {lead: 1 - ok.mean() for lead, ok in zip(self.leads, finite, strict=True) if not ok.all()}
            found.append(
                "missing_samples: "
                + ", ".join(f"{lead} {100 * part:.1f} %" for lead, part in share.items())
                + " not a number; filled by interpolation for classification"
            )
        if flat := [f"{lead} {run / self.rate:.1f} s" for lead, run in self._flat_leads(whole)]:
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
        return tuple(found)

    def _flat_leads(self, whole: NDArray[np.float32]) -> list[tuple[str, int]]:
        """Leads that rest for `FLAT_SECONDS`, each with its longest rest in samples."""
        shortest = min(FLAT_SECONDS * self.rate, self.n_samples)
        # A rest that long holds four neighbours of samples a quarter as far apart; most leads have no such four.
        apart = whole[:, :: max(1, int(shortest / 4))]
        same = apart[:, 1:] == apart[:, :-1]
        resting = same[:, 2:] & same[:, 1:-1] & same[:, :-2]
        suspects = np.flatnonzero(resting.any(axis=1) | (shortest < 4))
        runs = [(self.leads[row], longest_run(whole[row])) for row in suspects]
        return [(lead, run) for lead, run in runs if run >= shortest]

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


@lru_cache(maxsize=16)
def _ratio(factor: float) -> Fraction:
    return Fraction(factor).limit_denominator(2000)


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


def _is_rate(rate: object) -> bool:
    return isinstance(rate, Real) and 0 < float(rate) < np.inf


def longest_run(row: ArrayLike) -> int:
    """Length in samples of the longest stretch without any change in a one-dimensional signal."""
    row = np.asarray(row)
    edges = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1], [True])))
    return int(np.diff(edges).max())
