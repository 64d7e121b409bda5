"""One network of a benchmark: trained, or taken up where it was left, and its probabilities of every test record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecoscale.benchmarking.protocol import model_label, recipe_for
from ecoscale.complexity import measure_complexity
from ecoscale.datasets import UNKNOWN, named_collection, open_collection
from ecoscale.datasets.processes import silent
from ecoscale.datasets.store import is_store, open_store
from ecoscale.errors import RecipeError
from ecoscale.training import Run, train
from ecoscale.training.data import ECGData
from ecoscale.training.prediction import accelerator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.benchmarking.protocol import Aggregate, Benchmark, Epoch, Folds
    from ecoscale.datasets import Task
    from ecoscale.datasets.processes import Progress
    from ecoscale.preparation import Preparation
    from ecoscale.training import Recipe
    from ecoscale.training.data import Examples

_BATCH = 64


@dataclass(frozen=True)
class Protocol:
    """What holds for all networks of a benchmark: folds, the epoch that is measured, and how a record is read."""

    benchmark: Benchmark
    folds: Folds
    epoch: Epoch = "best"
    aggregate: Aggregate = "whole"

    @property
    def remark(self) -> str:
        """What a reader of the figures must know."""
        read = {
            "whole": "Each record was read at once.",
            "mean": "Probabilities are means over windows as long as trained on, overlapping by half.",
            "max": "Probabilities are maxima over windows as long as trained on, overlapping by half.",
        }
        return f"{self.folds.remark(self.epoch)} {read[self.aggregate]}"


@dataclass(frozen=True)
class Opened:
    """What a folder says of its records before any is read."""

    folds: frozenset[int]
    notes: tuple[str, ...]


def open_records(benchmark: Benchmark, directory: Path) -> Opened:
    """The folds of a collection's folder or of a store of it, and what must be known of its patients."""
    if is_store(directory):
        store = open_store(directory)
        return Opened(frozenset(store.records["fold"].tolist()), store.manifest.notes)
    collection = open_collection(directory, benchmark.name)
    return Opened(frozenset(collection.records["fold"].tolist()), collection.notes)


@dataclass(frozen=True)
class Scores:
    """What one trained network says of the records of the test fold, and of those that thresholds are chosen on.

    `labels` and `probabilities` are `(records, classes)`, of the records that the task selects. `others` holds the
    labels of the same records in published tasks all of whose classes this network knows, where its own is none.
    """

    task: str
    model: str
    seed: int
    names: tuple[str, ...]
    records: NDArray[np.str_]
    patients: NDArray[np.str_]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    validation_labels: NDArray[np.int8]
    validation_probabilities: NDArray[np.float64]
    others: dict[str, NDArray[np.int8]]
    parameters: int
    macs: int
    epochs: int
    seconds: float


def train_and_score(
    protocol: Protocol,
    task: str,
    model: str,
    seed: int,
    directory: Path,
    out: Path,
    *,
    stores: Path,
    changes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    show_progress: bool = True,
    announce: Callable[[str], None] = lambda _text: None,
) -> Scores:
    """Train one network into `out/<task>/<model>-<seed>`, unless that is done, and score the test fold.

    A run that was interrupted goes on where it stopped, and scores are kept in the run's folder, so that the same call
    again does only what is missing. Raises `RecipeError` if the folder holds a run of another recipe.
    """
    benchmark, folds = protocol.benchmark, protocol.folds
    recipe = recipe_for(benchmark, task, model, seed, folds, changes)
    if protocol.aggregate != "whole" and recipe.augmentation.excerpt is None:
        raise RecipeError(
            f"{recipe.name}: trained on whole records, so it has no windows to aggregate; set augmentation.excerpt, or "
            "read records at once (--aggregate whole)"
        )
    run = Run(out / task / f"{model_label(model)}-{seed}")
    what = f"{task}, {model_label(model)}, seed {seed}"
    begun = (run.folder / "recipe.yaml").exists()
    directories = {benchmark.name: directory}
    if begun and run.recipe.model_dump(mode="json") != recipe.model_dump(mode="json"):
        raise RecipeError(
            f"{run.folder}: holds a run of another recipe (folds, options or ecoscale's own have changed); "
            "choose another folder (--out), or delete it"
        )
    if begun and run.finished:
        announce(f"{what}: trained before")
    else:
        announce(f"{what}: {'goes on' if begun else 'training'} in {run.folder}")
        train(
            recipe,
            directories,
            run.folder,
            stores=stores,
            resume=begun,
            progress=progress,
            show_progress=show_progress,
        )
    path = run.folder / f"scores-fold{folds.test}-{protocol.epoch}-{protocol.aggregate}.npz"
    if not path.exists():
        _write_scores(path, protocol, run, directories, stores, progress)
    starts, length = _windows(recipe, run.preparation, protocol.aggregate)
    cost = measure_complexity(run.load_network(), run.preparation.n_channels, length)
    with np.load(path, allow_pickle=False) as arrays:
        kept = dict(arrays)
    return Scores(
        task=task,
        model=model_label(model),
        seed=seed,
        names=recipe.findings,
        records=kept["records"],
        patients=kept["patients"],
        labels=kept["labels"],
        probabilities=kept["probabilities"].astype(np.float64),
        validation_labels=kept["validation_labels"],
        validation_probabilities=kept["validation_probabilities"].astype(np.float64),
        others={name.removeprefix("task:"): array for name, array in kept.items() if name.startswith("task:")},
        parameters=cost.parameters,
        macs=cost.macs * len(starts),
        epochs=len(run.history),
        seconds=sum(row["seconds"] for row in run.history),
    )


def _write_scores(
    path: Path,
    protocol: Protocol,
    run: Run,
    directories: Mapping[str, Path],
    stores: Path,
    progress: Progress,
) -> None:
    """Score the test fold and the validation fold, and keep both. The file is put in place whole."""
    benchmark, folds = protocol.benchmark, protocol.folds
    network, n = run.load_network(protocol.epoch), len(run.recipe.findings)
    arrays: dict[str, NDArray[Any]] = {}
    for part, fold in (("", folds.test), ("validation_", folds.validation)):
        (examples,) = ECGData(_validated_on(run.recipe, fold), directories, stores).validation
        labels = examples.labels[:, :n]
        selected = np.flatnonzero((labels != UNKNOWN).any(axis=1))
        found = []
        for first, _ in enumerate(progress(examples.records[selected], f"scoring fold {fold}", len(selected))):
            if first % _BATCH == 0:
                signals = examples.store.read(examples.rows[selected[first : first + _BATCH]])
                found.append(record_probabilities(network, run.preparation, signals, protocol.aggregate, run.recipe))
        arrays |= {
            f"{part}records": examples.records[selected],
            f"{part}patients": examples.patients[selected],
            f"{part}labels": labels[selected],
            f"{part}probabilities": np.concatenate(found).astype(np.float32),
        }
        if not part:
            others = _other_tasks(benchmark, run.recipe, examples)
            arrays |= {f"task:{task.name}": own[selected] for task, own in others}
    partial = path.with_suffix(".partial.npz")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    partial.replace(path)


def _validated_on(recipe: Recipe, fold: int) -> Recipe:
    """The recipe with this fold for its validation, so that its records are served as those are."""
    content = recipe.model_dump()
    for part in content["data"]["validation"]:
        part["folds"] = (fold,)
    return type(recipe).model_validate(content)


def _other_tasks(benchmark: Benchmark, recipe: Recipe, examples: Examples) -> list[tuple[Task, NDArray[np.int8]]]:
    """Published tasks that this network answers too, with the labels of these records in each."""
    if recipe.task is None or recipe.task in benchmark.tasks:
        return []
    collection = named_collection(benchmark.name)
    own = collection.task(recipe.task)
    known = {name: own.classes[name] for name in recipe.findings}
    answered = [task for task in map(collection.task, benchmark.tasks) if task.classes.items() <= known.items()]
    labels = [examples.store.labels(task.names, task.name)[examples.rows] for task in answered]
    # Of a small part of the collection, a task may select no record.
    return [(task, own) for task, own in zip(answered, labels, strict=True) if (own != UNKNOWN).any()]


def _windows(recipe: Recipe, preparation: Preparation, aggregate: Aggregate) -> tuple[list[int], int]:
    """First samples of the pieces of a record that the network reads, and their length."""
    if aggregate == "whole":
        return [0], preparation.window
    length = recipe.augmentation.excerpt or preparation.window
    cut = preparation.model_copy(update={"window": length, "overlap": 0.5})
    return cut.starts(preparation.window).tolist(), length


def record_probabilities(
    network: torch.nn.Module,
    preparation: Preparation,
    signals: NDArray[np.float32],
    aggregate: Aggregate,
    recipe: Recipe,
) -> NDArray[np.float64]:
    """Probabilities `(records, classes)` of signals in mV `(records, channels, samples)`.

    Windows, where they are asked for, are as long as the excerpts that the recipe trains on, and overlap by half: of
    10 s at 100 Hz, seven of 2.5 s, as in the published benchmark of PTB-XL.
    """
    device = accelerator()
    prepared = torch.from_numpy(preparation.standardise(signals)).to(device)
    network = network.to(device)
    starts, length = _windows(recipe, preparation, aggregate)
    with torch.inference_mode():
        pieces = [network(prepared[:, :, start : start + length]).double().sigmoid() for start in starts]
    found = torch.stack(pieces).cpu().numpy()
    return found.max(axis=0) if aggregate == "max" else found.mean(axis=0)
