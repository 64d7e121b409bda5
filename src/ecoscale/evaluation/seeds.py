"""Networks that were trained several times: means over their seeds, and how sure those and their differences are.

Two things make a figure uncertain: which patients it was measured on, and which seed the network was trained with. Each
estimate therefore has two intervals. One resamples patients and holds the trained networks fixed: what other patients
would change for these very networks. The other resamples patients and, for each network by itself, its seeds too: what
other patients and another training would change. Of n seeds it draws n - 1 with replacement, since a draw of n would
make the variance of their mean too small by (n - 1) / n (Rao and Wu 1988, J. Am. Stat. Assoc. 83, 231). Every network
is measured on the same resamples of patients, so that what makes one hard for all cancels out of a difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from ecoscale.evaluation._arrays import (
    EvaluationError,
    Number,
    checked,
    checked_names,
    mean_of_defined,
    patient_index,
)
from ecoscale.evaluation.bootstrap import Interval, check_plan, interval, patient_multiplicities, weighted_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

SEED_METRICS = ("f1", "auroc")

MACRO = "macro"


@dataclass(frozen=True, eq=False)
class TrainedOnce:
    """What one training of a network gives: probabilities `(records, classes)` and the thresholds `(classes,)`.

    Without thresholds (None) the classes exclude each other, and the most probable one is present.
    """

    probabilities: ArrayLike
    thresholds: ArrayLike | None


@dataclass(frozen=True)
class OverSeeds:
    """A figure's mean over the seeds, `by_seed` in their order, and their standard deviation (NaN for one).

    `patients` is its interval with the trained networks held fixed; `patients_and_seeds` covers both, and is None where
    a network has one seed.
    """

    by_seed: tuple[Number, ...]
    deviation: Number
    patients: Interval
    patients_and_seeds: Interval | None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return self.patients.estimate


@dataclass(frozen=True)
class Difference:
    """A figure's mean over the first network's seeds minus that over the second's, with both intervals."""

    patients: Interval
    patients_and_seeds: Interval | None

    @property
    def mean(self) -> float:
        """The difference of the means."""
        return self.patients.estimate


@dataclass(frozen=True)
class SeedComparison:
    """Networks side by side: `networks[name][metric][class]`, and `differences[first][second][metric][class]`.

    The classes are `names` and `MACRO`, their mean; the metrics are `SEED_METRICS`.
    """

    names: tuple[str, ...]
    n_records: int
    n_patients: int
    positives: dict[str, int]
    networks: dict[str, dict[str, dict[str, OverSeeds]]]
    differences: dict[str, dict[str, dict[str, dict[str, Difference]]]]
    level: float
    n_resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with null for NaN."""
        return json.loads(TypeAdapter(SeedComparison).dump_json(self))


def compare_over_seeds(
    labels: ArrayLike,
    networks: Mapping[str, Sequence[TrainedOnce]],
    pairs: Sequence[tuple[str, str]] = (),
    patients: ArrayLike | None = None,
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> SeedComparison:
    """Measure networks that were each trained once or more, and the differences of `pairs` of them.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    networks
        By name, what each of their trainings gives on these records.
    pairs
        `(first, second)` names; the difference is first minus second.
    patients
        `(records,)` ids; None makes each record its own patient.
    n_resamples, level, seed
        Resamples, coverage in (0, 1), and seed of the drawing.
    names
        The classes' names.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, a network has no training, or a pair names one that is not there.
    """
    if not networks or not all(networks.values()):
        empty = [name for name, runs in networks.items() if not runs]
        raise EvaluationError(f"nothing to compare: no training of {', '.join(empty) or 'any network'}")
    if strangers := {name for pair in pairs for name in pair} - set(networks):
        raise EvaluationError(f"pairs name {', '.join(sorted(strangers))}; there are {', '.join(networks)}")
    truth, _ = checked(labels, next(iter(networks.values()))[0].probabilities)
    names = checked_names(names, truth.shape[1])
    check_plan(n_resamples, level)
    drawn = _measured(truth, networks, patients, n_resamples, seed)
    generator = np.random.default_rng([seed, 1])
    # For each network by itself: equal seeds of two networks have nothing in common but their number.
    chosen = {
        name: generator.integers(len(runs), size=(n_resamples, len(runs) - 1)) if len(runs) > 1 else None
        for name, runs in networks.items()
    }

    def resampled(name: str, metric: str, column: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """Of one figure: its estimate by seed, its mean under each resample of patients, and of seeds too."""
        values = drawn[name][metric][:, :, column]
        of_network = chosen[name]
        seeds = None if of_network is None else values[of_network.T, np.arange(1, n_resamples + 1)].mean(axis=0)
        return values[:, 0], values.mean(axis=0), seeds

    columns = {name: column for column, name in enumerate((*names, MACRO))}

    def over_seeds(name: str, metric: str, column: int) -> OverSeeds:
        by_seed, mean, seeds = resampled(name, metric, column)
        return OverSeeds(
            by_seed=tuple(by_seed.tolist()),
            deviation=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else float("nan"),
            patients=interval(mean[0], mean[1:], level),
            patients_and_seeds=None if seeds is None else interval(mean[0], seeds, level),
        )

    def difference(first: str, second: str, metric: str, column: int) -> Difference:
        _, one, one_seeds = resampled(first, metric, column)
        _, other, other_seeds = resampled(second, metric, column)
        seeds = None if one_seeds is None or other_seeds is None else one_seeds - other_seeds
        estimate = one[0] - other[0]
        return Difference(
            patients=interval(estimate, one[1:] - other[1:], level),
            patients_and_seeds=None if seeds is None else interval(estimate, seeds, level),
        )

    differences: dict[str, dict[str, dict[str, dict[str, Difference]]]] = {first: {} for first, _ in pairs}
    for first, second in pairs:
        differences[first][second] = {
            metric: {name: difference(first, second, metric, column) for name, column in columns.items()}
            for metric in SEED_METRICS
        }
    return SeedComparison(
        names=names,
        n_records=len(truth),
        n_patients=patient_index(patients, len(truth))[1],
        positives=dict(zip(names, (truth == 1).sum(axis=0).tolist(), strict=True)),
        networks={
            network: {
                metric: {name: over_seeds(network, metric, column) for name, column in columns.items()}
                for metric in SEED_METRICS
            }
            for network in networks
        },
        differences=differences,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
    )


def _measured(
    truth: NDArray[np.int8],
    networks: Mapping[str, Sequence[TrainedOnce]],
    patients: ArrayLike | None,
    n_resamples: int,
    seed: int,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Network to metric to `(seeds, 1 + resamples, classes + 1)`: first as it is, then resampled; macro last."""
    blocks: dict[str, list[list[dict[str, NDArray[np.float64]]]]] = {
        name: [[] for _ in runs] for name, runs in networks.items()
    }

    def measure(times: NDArray[np.int32]) -> None:
        for name, runs in networks.items():
            for own, run in zip(blocks[name], runs, strict=True):
                own.append(weighted_metrics(truth, run.probabilities, run.thresholds, times))

    measure(np.ones((len(truth), 1), dtype=np.int32))
    for times in patient_multiplicities(patients, len(truth), n_resamples, seed):
        measure(times)

    def joined(own: list[dict[str, NDArray[np.float64]]], metric: str) -> NDArray[np.float64]:
        values = np.concatenate([block[metric] for block in own])
        return np.column_stack((values, mean_of_defined(values)))

    return {
        name: {metric: np.stack([joined(own, metric) for own in runs]) for metric in SEED_METRICS}
        for name, runs in blocks.items()
    }
