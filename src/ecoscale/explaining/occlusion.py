"""Occlusion: a stretch of some leads is taken out, and what the network's output loses is what it was worth.

Zeiler and Fergus 2014 (arXiv 1311.2901), in one dimension and with two changes that measurements asked for
(docs/explaining.md): what is taken out fades into the lead's baseline, a running median, and out of it, since zeros, or
a line between the ends, leave edges that a network reads as waves; and a stretch is taken out of all leads, and shared
among them (`ecoscale.explaining.perturbation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.explaining.explanation import step_samples
from ecoscale.explaining.perturbation import STEPS_TOGETHER, explain_by_perturbation, perturbation_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.explaining.explanation import Explanation
    from ecoscale.explaining.perturbation import Logits
    from ecoscale.inference import Classifier

TAPER_SECONDS = 0.03
BASELINE_SECONDS = 1.2
"""Length of the running median: longer than a beat's waves, so that it lies between them."""


def explain_ecg(
    classifier: Classifier, ecg: ECG, finding: str, *, start: float | None = None, threads: int | None = None
) -> Explanation:
    """What in an ECG speaks for a finding, by occlusion.

    A value is the log-odds that are lost when the 0.12 s around are taken out of all leads: the lead's share of them.
    The signal is occluded after its preparation, so that a stretch ends where it is said to end. It is the network in
    float that is asked, whatever the classifier computes with: integers round away what one lead changes.

    Parameters
    ----------
    classifier
        Gives the probability, and the bundle.
    ecg
        At most 60 s, unless `start` is given. One longer than a window is explained window by window.
    finding
        One of the bundle's findings, present or not.
    start
        Explain one window from here on, in seconds from the start of the record.
    threads
        Processor threads (None: all).

    Raises
    ------
    BundleError
        For a finding that the bundle does not know.
    LeadError
        If leads are missing that cannot be derived.
    SignalError
        For a record that is too long, or a `start` outside of it.
    """

    def map_window(logits: Logits, window: NDArray[np.float32], column: int, inside: slice) -> NDArray[np.float64]:
        return occlusion_map(logits, window, column, classifier.preparation.rate, inside)

    return explain_by_perturbation(classifier, ecg, finding, "occlusion", map_window, start=start, threads=threads)


def occlusion_map(
    logits: Logits,
    window: NDArray[np.float32],
    column: int,
    rate: float,
    inside: slice = slice(None),
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """What each sample of a prepared window is worth to one logit (`perturbation_map`, with its `seed`)."""
    signal = window[:, inside]
    to_baseline = running_median(signal, max(1, round(BASELINE_SECONDS * rate / 2))) - signal
    length = step_samples(rate) * STEPS_TOGETHER
    taper = min(max(1, round(TAPER_SECONDS * rate)), length // 2)
    rise = np.sin(np.pi / 2 * np.arange(1, taper + 1) / (taper + 1)) ** 2
    weight = np.ones(length)
    weight[:taper], weight[length - taper :] = rise, rise[::-1]

    def change(first: int, begin: int, end: int) -> NDArray[np.floating]:
        return weight[begin - first : end - first] * to_baseline[:, begin:end]

    return perturbation_map(logits, window, column, rate, inside, change, seed=seed)


def running_median(signal: NDArray[np.float32], half: int) -> NDArray[np.float32]:
    """Median over `half` samples to both sides, `(leads, samples)`; mirrored at the ends."""
    half = min(half, signal.shape[1] - 1)
    mirrored = np.pad(signal, ((0, 0), (half, half)), mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(mirrored, 2 * half + 1, axis=1), axis=-1)
