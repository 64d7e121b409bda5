"""Occlusion: a stretch of some leads is taken out, and what the network's output loses is what it was worth.

Zeiler and Fergus 2014 (arXiv 1311.2901), in one dimension and with two changes that measurements asked for
(docs/explaining.md):

- What is taken out fades into the lead's baseline, a running median, and out of it. Zeros, or a line between the ends,
  leave edges that a network reads as waves.
- One lead alone says little, since twelve leads see the same beat. So each stretch is taken out of all leads, and what
  that costs is shared among them by Shapley values (Castro et al. 2009, doi:10.1016/j.cor.2008.04.004), estimated from
  one order of the leads and its reverse: leads are taken out one by one, and each is given what it cost then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.bundle import MODEL
from ecoscale.explaining.explanation import Explanation, by_step, column_of, map_record, step_samples, stretch
from ecoscale.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.inference import Classifier

STEPS_TOGETHER = 3
"""Steps that are taken out at once, 0.12 s: about a QRS or a P wave. Each next stretch begins a step later."""
TAPER_SECONDS = 0.03
BASELINE_SECONDS = 1.2
"""Length of the running median: longer than a beat's waves, so that it lies between them."""
SHARED_PART = 0.9
"""Stretches are looked at lead by lead in the order of what they cost, up to this part of the sum; the others, which
cost next to nothing, are shared as those are on the whole."""
PAIRS = 1
"""Orders of the leads, each with its reverse, by which a stretch is shared."""
AT_ONCE = 128
"""Occluded windows in memory together."""


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
    column, preparation = column_of(classifier.bundle, finding), classifier.preparation
    explained = stretch(ecg, preparation, start)
    probability = classifier.predict(explained).findings[finding].probability
    network = classifier.runtime
    if network.precision != "fp32":
        network = open_runtime(classifier.bundle.path / MODEL, "fp32", threads)

    def of_window(window: NDArray[np.float32], inside: slice) -> NDArray[np.float64]:
        return occlusion_map(network.logits, window, column, preparation.rate, inside)

    step = step_samples(preparation.rate)
    relevance = map_record(explained, preparation, of_window)
    samples = by_step(np.ones((1, relevance.shape[1])), step)
    return Explanation.of(
        by_step(relevance, step) / samples,
        finding=finding,
        method="occlusion",
        leads=preparation.leads,
        start=start or 0.0,
        step=step / preparation.rate,
        probability=probability,
    )


def occlusion_map(
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    window: NDArray[np.float32],
    column: int,
    rate: float,
    inside: slice = slice(None),
    *,
    pairs: int = PAIRS,
) -> NDArray[np.float64]:
    """What each sample of a prepared window is worth to one logit, `(leads, samples)`; zero outside of `inside`.

    `logits` is the network: `(batch, leads, samples)` to `(batch, findings)`; `pairs` are the orders of the leads, each
    with its reverse, that a stretch is shared by. A sample's value is the mean over the stretches that hold it.
    """
    signal = window[:, inside]
    n_leads, n_samples = signal.shape
    hop = step_samples(rate)
    firsts = np.arange(hop - hop * STEPS_TOGETHER, n_samples, hop)
    replaced = _Replaced(window, inside.indices(window.shape[1])[0], signal, hop * STEPS_TOGETHER, rate)

    def lost(stretches: NDArray[np.int64], leads: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = [
            logits(replaced.by(firsts[stretches[at : at + AT_ONCE]], leads[at : at + AT_ONCE]))[:, column]
            for at in range(0, len(stretches), AT_ONCE)
        ]
        return whole - np.concatenate([np.empty(0), *found]).astype(np.float64)

    whole = float(logits(window[None])[0, column])
    together = lost(np.arange(len(firsts)), np.ones((len(firsts), n_leads), dtype=bool))
    most = _with_most(together)
    # (stretches, orders, leads): each order is followed by its reverse.
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(n_leads), (len(most), pairs, 1)), axis=2)
    orders = np.concatenate([orders, orders[..., ::-1]], axis=1)
    ranks = np.argsort(orders, axis=2)
    taken = ranks[:, :, None, :] < np.arange(1, n_leads)[:, None]
    costs = np.zeros((len(most), 2 * pairs, n_leads + 1))
    costs[:, :, n_leads] = together[most, None]
    if n_leads > 1:
        stretches = np.repeat(most, 2 * pairs * (n_leads - 1))
        costs[:, :, 1:n_leads] = lost(stretches, taken.reshape(-1, n_leads)).reshape(*costs.shape[:2], n_leads - 1)
    shared = np.take_along_axis(np.diff(costs, axis=2), ranks, axis=2).mean(axis=1)
    by_lead = np.abs(shared).sum(axis=0)
    worth = np.outer(together, by_lead / (by_lead.sum() or 1.0))
    worth[most] = shared

    total, count = np.zeros(window.shape), np.zeros(n_samples)
    own = total[:, inside]
    for first, each in zip(firsts, worth, strict=True):
        part = slice(max(first, 0), first + hop * STEPS_TOGETHER)
        own[:, part] += each[:, None]
        count[part] += 1
    own /= count
    return total


class _Replaced:
    """Copies of a window in which stretches of some leads give way to the baseline."""

    def __init__(
        self, window: NDArray[np.float32], offset: int, signal: NDArray[np.float32], length: int, rate: float
    ) -> None:
        self._window, self._offset, self._length = window, offset, length
        self._n_samples = signal.shape[1]
        self._change = running_median(signal, max(1, round(BASELINE_SECONDS * rate / 2))) - signal
        taper = min(max(1, round(TAPER_SECONDS * rate)), length // 2)
        rise = np.sin(np.pi / 2 * np.arange(1, taper + 1) / (taper + 1)) ** 2
        self._weight = np.ones(length)
        self._weight[:taper], self._weight[length - taper :] = rise, rise[::-1]

    def by(self, firsts: NDArray[np.int64], leads: NDArray[np.bool_]) -> NDArray[np.float32]:
        """A copy for each first sample (of the signal) and row of `leads`, `(copies, leads, samples)`."""
        copies = np.repeat(self._window[None], len(firsts), axis=0)
        for copy, first, rows in zip(copies, firsts, leads, strict=True):
            begin, end = max(first, 0), min(first + self._length, self._n_samples)
            change = self._weight[begin - first : end - first] * self._change[rows, begin:end]
            copy[rows, self._offset + begin : self._offset + end] += change
        return copies


def running_median(signal: NDArray[np.float32], half: int) -> NDArray[np.float32]:
    """Median over `half` samples to both sides, `(leads, samples)`; mirrored at the ends."""
    half = min(half, signal.shape[1] - 1)
    mirrored = np.pad(signal, ((0, 0), (half, half)), mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(mirrored, 2 * half + 1, axis=1), axis=-1)


def _with_most(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """The stretches that cost most, up to `SHARED_PART` of the sum."""
    order = np.argsort(-np.abs(costs), kind="stable")
    held = np.cumsum(np.abs(costs)[order])
    return order[: int(np.searchsorted(held, SHARED_PART * held[-1])) + 1] if held[-1] else order[:0]
