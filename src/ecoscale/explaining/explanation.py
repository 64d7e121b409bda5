"""A map of relevance over leads and time, what it sums up to, and how the maps of windows become a record's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecoscale.errors import BundleError, SignalError
from ecoscale.excerpts import window_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ecoscale.bundle import Bundle
    from ecoscale.ecg import ECG
    from ecoscale.preparation import Preparation

Method = Literal["occlusion", "insertion", "gradients"]

STEP_SECONDS = 0.04
"""Length of a step of a map: a millimetre of paper at 25 mm/s."""

LONGEST_SECONDS = 60.0
"""A longer record is explained from a `start` on, one window of it: each ten seconds take hundreds of passes."""

SPANNED = 0.5
"""Spans are made of the steps with most relevance, until they hold this share of all that speaks for the finding."""


@dataclass(frozen=True)
class Span:
    """A stretch in seconds, its share of all that speaks for the finding, and the leads that hold most of it."""

    start: float
    stop: float
    share: float
    leads: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What in a record moves a network's output for one finding.

    `values` are float32 `(leads, steps)` from -1 to 1, positive where the signal speaks for the finding: the
    relevance over its largest magnitude, `scale`, in log-odds before calibration (of classes that exclude each
    other, of one against all others). Steps of `step` seconds follow each other from `start`, in seconds of the
    record; the last may reach beyond its end. `probability` is the calibrated one of the stretch that is explained.
    `remainder`, with gradients alone, is what is missing in the sum of all relevance to the difference of log-odds
    that it explains (`ecoscale.explaining.gradients`).
    """

    finding: str
    method: Method
    leads: tuple[str, ...]
    start: float
    step: float
    values: NDArray[np.float32]
    scale: float
    probability: float
    remainder: float | None = None

    @classmethod
    def of(
        cls,
        relevance: NDArray[np.floating],
        *,
        finding: str,
        method: Method,
        leads: Sequence[str],
        start: float,
        step: float,
        probability: float,
        remainder: float | None = None,
    ) -> Explanation:
        """From relevance `(leads, steps)` in log-odds."""
        scale = float(np.abs(relevance).max())
        values = (relevance / (scale or 1.0)).astype(np.float32)
        return cls(finding, method, tuple(leads), start, step, values, scale, probability, remainder)

    @property
    def lead_shares(self) -> dict[str, float]:
        """Each lead's share of all that speaks for the finding; zeros where nothing does."""
        supporting = self._supporting.sum(axis=1)
        return dict(zip(self.leads, (supporting / (supporting.sum() or 1.0)).tolist(), strict=True))

    def spans(self, most: int = 5) -> tuple[Span, ...]:
        """At most so many stretches that speak for the finding, the one with the largest share first.

        They are made of the steps with most relevance over all leads together, as many as hold half of it.
        """
        supporting = self._supporting
        # What speaks against in one lead is set against what speaks for in another, as the network does.
        profile = np.clip(self.values.sum(axis=0, dtype=np.float64), 0, None)
        if not profile.any():
            return ()
        order = np.argsort(-profile, kind="stable")
        taken = np.zeros(len(profile), dtype=bool)
        taken[order[: int(np.searchsorted(np.cumsum(profile[order]), SPANNED * profile.sum())) + 1]] = True
        edges = np.flatnonzero(np.diff(taken, prepend=False, append=False)).tolist()
        found = []
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            by_lead = supporting[:, first:last].sum(axis=1)
            order = np.argsort(-by_lead, kind="stable")
            # As many leads as hold half of it.
            held = np.cumsum(by_lead[order]) / by_lead.sum()
            leads = tuple(self.leads[row] for row in order[: int(np.searchsorted(held, 0.5)) + 1])
            start, stop = (round(self.start + edge * self.step, 6) for edge in (first, last))
            found.append(Span(start, stop, float(profile[first:last].sum() / profile.sum()), leads))
        return tuple(sorted(found, key=lambda span: -span.share)[:most])

    @property
    def _supporting(self) -> NDArray[np.float64]:
        return np.clip(self.values, 0, None).astype(np.float64)

    def to_dict(self) -> dict[str, object]:
        """As plain values, the form of `ecoscale explain --output FILE.json`."""
        content: dict[str, object] = {
            "finding": self.finding,
            "method": self.method,
            "probability": round(self.probability, 6),
            "leads": list(self.leads),
            "start": self.start,
            "step": self.step,
            "scale": round(self.scale, 6),
            "values": [[round(value, 3) for value in row] for row in self.values.tolist()],
            "lead_shares": {lead: round(share, 4) for lead, share in self.lead_shares.items()},
            "spans": [
                {"start": span.start, "stop": span.stop, "share": round(span.share, 4), "leads": list(span.leads)}
                for span in self.spans()
            ],
        }
        return content if self.remainder is None else content | {"remainder": round(self.remainder, 6)}


def column_of(bundle: Bundle, finding: str) -> int:
    """Which of the bundle's logits is the finding's. Raises `BundleError` naming those that it knows."""
    names = [label.name for label in bundle.manifest.labels]
    if finding not in names:
        raise BundleError(
            f"finding {finding!r}: {bundle.title} knows no such finding to explain; it knows {', '.join(names)}"
        )
    return names.index(finding)


def stretch(ecg: ECG, preparation: Preparation, start: float | None) -> ECG:
    """What of a record is explained: all of it, or one window from `start` seconds on.

    Raises `SignalError` for a record that is too long to be explained whole, and a `start` that is not within it.
    """
    where = ecg.source or "this ECG"
    if start is None:
        if ecg.duration > LONGEST_SECONDS:
            raise SignalError(
                f"{where}: {ecg.duration:.6g} s is too long to be explained as a whole; at most {LONGEST_SECONDS:g} s "
                f"are: give a start, from which {preparation.seconds:g} s are explained"
            )
        return ecg
    if not 0 <= start < ecg.duration:
        raise SignalError(f"{where}: cannot explain from {start:g} s on; the recording lasts {ecg.duration:g} s")
    first = min(round(start * ecg.rate), ecg.n_samples - 1)
    return replace(ecg, signal=ecg.signal[:, first : first + window_samples(preparation, ecg.rate)])


def step_samples(rate: float) -> int:
    """Samples in a step of a map, at the network's rate."""
    return max(1, round(STEP_SECONDS * rate))


def map_record(
    ecg: ECG,
    preparation: Preparation,
    of_window: Callable[[NDArray[np.float32], slice], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Relevance `(leads, samples)` of a record at the network's rate.

    `of_window` maps a window `(leads, samples)`, of which a slice is signal and the rest padding; where windows
    overlap, their mean is taken.
    """
    signal = preparation.conform(ecg)
    n_samples = signal.shape[1]
    inside = preparation.within_padding(n_samples)
    standard = preparation.standardise(preparation.pad(signal))
    total, count = np.zeros(standard.shape), np.zeros(standard.shape[1])
    for start in preparation.starts(n_samples):
        part = slice(start, start + preparation.window)
        total[:, part] += of_window(standard[:, part], inside if n_samples < preparation.window else slice(None))
        count[part] += 1
    mean = total / count
    return mean[:, inside] if n_samples < preparation.window else mean


def by_step(relevance: NDArray[np.float64], n_samples: int) -> NDArray[np.float64]:
    """Sums over steps of `n_samples`, `(leads, samples)` to `(leads, steps)`; the last step may hold fewer."""
    return np.add.reduceat(relevance, np.arange(0, relevance.shape[1], n_samples), axis=1)
