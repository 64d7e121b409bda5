"""A window of a long or live signal as a record of its own: what `ecoscale.timeline` and `Stream` have in common.

Networks are trained on records of one window. So a longer signal is cut at its own rate, and an excerpt is prepared and
classified exactly as `Classifier.predict` does with a file of that length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.bundle import shipped_bundles, shipped_manifest
from ecoscale.ecg import ECG, LIMB_LEADS
from ecoscale.errors import ChannelError, LeadError, SignalError
from ecoscale.signal import longest_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecoscale.formats.long_records import LongRecord
    from ecoscale.inference import Classifier, Prediction
    from ecoscale.preparation import Preparation
    from ecoscale.signal import Signal

LARGEST_MISSING = 0.5
"""A window with more of its samples missing than this share is not classified."""

LONGEST_FLAT = 0.5
"""A window is not classified in which every lead rests, or is missing, for more than this share of it."""


@dataclass(frozen=True)
class Window:
    """What one window of a signal shows.

    `start` and `stop` are seconds. `prediction` is None for a window that cannot be read; `reason` then says why.
    """

    start: float
    stop: float
    prediction: Prediction | None
    reason: str = ""

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the findings that are present; none in a window that is not classified."""
        return () if self.prediction is None else self.prediction.present

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the window, each as `code: explanation`."""
        return (self.reason,) if self.prediction is None else self.prediction.warnings


def window_samples(preparation: Preparation, rate: float) -> int:
    """How many samples at `rate` make a window: as many as fit, so that the network reads it in one pass."""
    # A thousandth of a sample more, for rates whose product with the seconds is not exact.
    return max(1, int(preparation.seconds * rate + 1e-3))


def read_excerpt(record: LongRecord, start: float, seconds: float) -> Signal:
    """So many seconds of a long record, or what is left of it, as a recording that says that it is an excerpt.

    The record is read up to their end, a piece at a time. Raises `SignalError` if `start` is not within it.
    """
    first = round(start * record.rate)
    last = min(first + round(seconds * record.rate), record.n_samples)
    if not 0 <= first < last:
        raise SignalError(
            f"{record.source}: an excerpt cannot begin at {start!r} s; the recording lasts {record.duration:g} s"
        )
    clock = record.clock(start)
    begins = f"{start:g} s" + ("" if clock is None else f" ({clock})")
    note = f"excerpt: {(last - first) / record.rate:.4g} s from {begins} on, of a recording of {record.duration:,.0f} s"
    return record.part(record.samples(first, last), note)


def why_unreadable(signal: Signal) -> str:
    """Why a window is too poor for a network to say anything of, as `code: explanation`; empty where it is not."""
    # Where the sum is finite every sample is, in a third of the time of asking each.
    whole = np.isfinite(signal.signal.sum())
    missing = np.zeros(signal.n_channels) if whole else 1 - np.isfinite(signal.signal).mean(axis=1)
    if missing.mean() > LARGEST_MISSING:
        return f"missing_samples: {100 * missing.mean():.0f} % of the window"
    longest = LONGEST_FLAT * signal.n_samples
    # A rest that long holds two neighbours of samples a quarter of a window apart; few leads have no two that are not.
    apart = signal.signal[:, :: max(1, int(longest / 2))]
    with np.errstate(invalid="ignore"):
        suspect = (apart[:, 1:] == apart[:, :-1]).any(axis=1) | (missing > LARGEST_MISSING)
    if suspect.all() and all(
        gone > LARGEST_MISSING or longest_run(row) > longest for row, gone in zip(signal.signal, missing, strict=True)
    ):
        lead = "lead" if isinstance(signal, ECG) else "channel"
        return f"flat_{lead}: no change in any {lead} for most of the window"
    return ""


def require_channels(classifier: Classifier, names: Sequence[str], source: str) -> None:
    """Raise `ChannelError` where the bundle reads channels that are not among `names`.

    Of an ECG, whose limb leads follow from two of them, it is a `LeadError` that says which bundle would do.
    """
    if classifier.preparation.is_ecg:
        _require_leads(classifier, names, source)
    elif missing := [name for name in classifier.preparation.channels if name not in names]:
        raise ChannelError(
            f"{source}: no channel {', '.join(missing)}, which the bundle {classifier.bundle.title} reads (found "
            f"{', '.join(names)}); names are compared letter by letter"
        )


def _require_leads(classifier: Classifier, leads: Sequence[str], source: str) -> None:
    at_hand = set(leads)
    if len(at_hand & set(LIMB_LEADS)) > 1:
        at_hand |= set(LIMB_LEADS)
    if missing := [lead for lead in classifier.preparation.leads if lead not in at_hand]:
        fitting = [name for name in shipped_bundles() if at_hand.issuperset(shipped_manifest(name).preparation.leads)]
        shipped = f", such as {fitting[0]}, which is shipped" if fitting else ""
        raise LeadError(
            f"{source}: no lead {', '.join(missing)}, which the bundle {classifier.bundle.title} reads (found "
            f"{', '.join(leads) or 'none of the twelve'}). Take a bundle of these leads{shipped}; ecoscale finetune "
            f"{classifier.bundle.manifest.name} RECORDS --leads {','.join(leads) or 'II,V1,V5'} makes one"
        )
