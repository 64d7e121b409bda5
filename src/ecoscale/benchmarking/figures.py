"""The figures of a benchmark: macro AUROC of each model with its interval, and every class."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import DatasetError
from ecoscale.evaluation import Interval, choose_thresholds, mean_of_defined, patient_multiplicities, weighted_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ecoscale.benchmarking.scoring import Scores

CLASS_METRICS = ("auroc", "average_precision", "f1")


@dataclass(frozen=True)
class ClassFigures:
    """One class: its positives among the records, and the mean over the seeds of its figures."""

    name: str
    positives: int
    auroc: Interval
    average_precision: Interval
    f1: Interval


@dataclass(frozen=True)
class Figures:
    """One model on one task.

    - `trained_on`: the task that it was trained for, where that is another one.
    - `auroc`: macro, the mean over the seeds; its interval resamples patients and holds the networks fixed.
    - `spread`: standard deviation of the seeds' macro AUROC; None for one seed.
    - `difference`: from the first model of the task, on the same resamples; None for the first.
    - `undefined`: classes without positives or without negatives here, which are in no mean.
    - `seconds`: training time, the mean over the seeds.
    """

    task: str
    model: str
    trained_on: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    auroc: Interval
    difference: Interval | None
    n_records: int
    classes: tuple[ClassFigures, ...]
    undefined: tuple[str, ...]
    parameters: int
    macs: int
    epochs: float
    seconds: float

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None


def measure_scores(
    scores: Sequence[Scores],
    class_names: Mapping[str, Sequence[str]],
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Figures]:
    """The figures of each model on each task, seeds together; tasks and models as they come first in `scores`.

    `class_names` are those of each task, which are picked from what a network for another task knows. All models of a
    task are measured on the same resamples of patients. Raises `DatasetError` if they were scored on other records.
    """
    groups: dict[str, dict[tuple[str, str], list[Scores]]] = defaultdict(lambda: defaultdict(list))
    for one in scores:
        for task in (one.task, *one.others):
            groups[task][one.model, one.task].append(one)
    found = []
    for task, members in groups.items():
        found += _measure_task(task, tuple(class_names[task]), members, n_resamples, level, seed)
    return found


def _measure_task(
    task: str,
    names: tuple[str, ...],
    members: Mapping[tuple[str, str], list[Scores]],
    n_resamples: int,
    level: float,
    seed: int,
) -> Iterable[Figures]:
    pattern = next(iter(members.values()))[0]
    labels, chosen = _labels(pattern, task)
    blocks = patient_multiplicities(pattern.patients[chosen], len(labels), n_resamples, seed)
    drawn = np.concatenate((np.ones((len(labels), 1), dtype=np.int32), *blocks), axis=1)
    first: NDArray[np.float64] | None = None
    for (model, trained_on), seeds in members.items():
        resampled = []
        for one in seeds:
            _, own = _labels(one, task)
            if not np.array_equal(pattern.records[chosen], one.records[own]):
                raise DatasetError(
                    f"{task}: {model}, seed {one.seed}, was scored on other records than the first model; delete its "
                    "scores, or choose another folder (--out)"
                )
            columns = [one.names.index(name) for name in names]
            thresholds = choose_thresholds(
                one.validation_labels[:, columns], one.validation_probabilities[:, columns], names=names
            ).values
            resampled.append(weighted_metrics(labels, one.probabilities[own][:, columns], thresholds, drawn))
        by_metric = {metric: np.mean([values[metric] for values in resampled], axis=0) for metric in CLASS_METRICS}
        macro = mean_of_defined(by_metric["auroc"])
        yield Figures(
            task=task,
            model=model,
            trained_on=trained_on,
            seeds=tuple(one.seed for one in seeds),
            by_seed=tuple(float(mean_of_defined(values["auroc"][0])) for values in resampled),
            auroc=_interval(macro, level),
            difference=None if first is None else _interval(macro - first, level),
            n_records=len(labels),
            classes=tuple(
                ClassFigures(
                    name,
                    int((labels[:, position] == 1).sum()),
                    *(_interval(by_metric[metric][:, position], level) for metric in CLASS_METRICS),
                )
                for position, name in enumerate(names)
            ),
            undefined=tuple(np.array(names)[np.isnan(by_metric["auroc"][0])].tolist()),
            parameters=seeds[0].parameters,
            macs=seeds[0].macs,
            epochs=float(np.mean([one.epochs for one in seeds])),
            seconds=float(np.mean([one.seconds for one in seeds])),
        )
        first = macro if first is None else first


def _labels(scores: Scores, task: str) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """The labels of the records that a task selects, and their positions among those scored."""
    labels = scores.labels if task == scores.task else scores.others[task]
    chosen = np.flatnonzero((labels >= 0).any(axis=1))
    return labels[chosen], chosen


def _interval(values: NDArray[np.float64], level: float) -> Interval:
    """From an estimate and what it is under each resample."""
    resampled = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) if resampled.size else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high), 1 - resampled.size / (len(values) - 1))
