"""A stretch of some leads is altered, and what the network's output loses is what it was worth: the common part.

What altering a stretch in all leads costs is shared among them by Shapley values (Castro et al. 2009,
doi:10.1016/j.cor.2008.04.004), estimated from one order of the leads and its reverse: leads are altered one by one, and
each is given what it cost then. One lead alone says little, since twelve leads see the same beat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.bundle import MODEL
from ecoscale.calibration import log_odds_against_others
from ecoscale.explaining.explanation import Explanation, by_step, column_of, map_record, step_samples, stretch
from ecoscale.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.explaining.explanation import Method
    from ecoscale.inference import Classifier

    Logits = Callable[[NDArray[np.float32]], NDArray[np.floating]]

STEPS_TOGETHER = 3
"""Steps that are altered at once, 0.12 s: about a QRS or a P wave. Each next stretch begins a step later."""
SHARED_PART = 0.9
"""Stretches are looked at lead by lead in the order of what they cost, up to this part of the sum; the others, which
cost next to nothing, are shared as those are on the whole."""
AT_ONCE = 128
"""Altered windows in memory together."""


def explain_by_perturbation(
    classifier: Classifier,
    ecg: ECG,
    finding: str,
    method: Method,
    map_window: Callable[[Logits, NDArray[np.float32], int, slice], NDArray[np.float64]],
    *,
    start: float | None,
    threads: int | None,
) -> Explanation:
    """An explanation from maps of windows: `map_window(logits, window, column, inside)` gives `(leads, samples)`.

    Of classes that exclude each other, it is the log-odds of one against the others that are mapped, since a logit
    alone says nothing there. It is the network in float that is asked, whatever the classifier computes with:
    integers round away what one lead changes. Raises as `explain_ecg` does.
    """
    column, preparation = column_of(classifier.bundle, finding), classifier.preparation
    explained = stretch(ecg, preparation, start)
    probability = classifier.predict(explained).findings[finding].probability
    network = classifier.runtime
    if network.precision != "fp32":
        network = open_runtime(classifier.bundle.path / MODEL, "fp32", threads)

    def log_odds(windows: NDArray[np.float32]) -> NDArray[np.floating]:
        logits = network.logits(windows)
        return log_odds_against_others(logits) if classifier.bundle.manifest.single_label else logits

    def of_window(window: NDArray[np.float32], inside: slice) -> NDArray[np.float64]:
        return map_window(log_odds, window, column, inside)

    step = step_samples(preparation.rate)
    relevance = map_record(explained, preparation, of_window)
    samples = by_step(np.ones((1, relevance.shape[1])), step)
    return Explanation.of(
        by_step(relevance, step) / samples,
        finding=finding,
        method=method,
        leads=preparation.leads,
        start=start or 0.0,
        step=step / preparation.rate,
        probability=probability,
    )


def perturbation_map(
    logits: Logits,
    window: NDArray[np.float32],
    column: int,
    rate: float,
    inside: slice,
    change: Callable[[int, int, int], NDArray[np.floating]],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """What each sample of a prepared window is worth to one logit, `(leads, samples)`; zero outside of `inside`.

    `logits` is the network: `(batch, leads, samples)` to `(batch, findings)`. `change(first, begin, end)` is what is
    added to the samples from `begin` to `end` of the signal by the stretch that begins at `first`, `(leads, samples)`.
    `seed` is of the orders of the leads. A sample's value is the mean over the stretches that hold it.
    """
    offset = inside.indices(window.shape[1])[0]
    n_leads, n_samples = window[:, inside].shape
    hop = step_samples(rate)
    length = hop * STEPS_TOGETHER
    firsts = np.arange(hop - length, n_samples, hop)

    def altered(stretches: NDArray[np.int64], leads: NDArray[np.bool_]) -> NDArray[np.float32]:
        copies = np.repeat(window[None], len(stretches), axis=0)
        for copy, first, rows in zip(copies, firsts[stretches].tolist(), leads, strict=True):
            begin, end = max(first, 0), min(first + length, n_samples)
            copy[rows, offset + begin : offset + end] += change(first, begin, end)[rows]
        return copies

    def lost(stretches: NDArray[np.int64], leads: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = [
            logits(altered(stretches[at : at + AT_ONCE], leads[at : at + AT_ONCE]))[:, column]
            for at in range(0, len(stretches), AT_ONCE)
        ]
        return whole - np.concatenate([np.empty(0), *found]).astype(np.float64)

    whole = float(logits(window[None])[0, column])
    together = lost(np.arange(len(firsts)), np.ones((len(firsts), n_leads), dtype=bool))
    most = _with_most(together)
    # (stretches, orders, leads): an order of its own for each, and its reverse.
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(n_leads), (len(most), 1, 1)), axis=2)
    orders = np.concatenate([orders, orders[..., ::-1]], axis=1)
    ranks = np.argsort(orders, axis=2)
    taken = ranks[:, :, None, :] < np.arange(1, n_leads)[:, None]
    costs = np.zeros((len(most), 2, n_leads + 1))
    costs[:, :, n_leads] = together[most, None]
    if n_leads > 1:
        stretches = np.repeat(most, 2 * (n_leads - 1))
        costs[:, :, 1:n_leads] = lost(stretches, taken.reshape(-1, n_leads)).reshape(len(most), 2, n_leads - 1)
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


def _with_most(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """The stretches that cost most, up to `SHARED_PART` of the sum."""
    order = np.argsort(-np.abs(costs), kind="stable")
    held = np.cumsum(np.abs(costs)[order])
    return order[: int(np.searchsorted(held, SHARED_PART * held[-1])) + 1] if held[-1] else order[:0]
