"""What trained networks say of the training records, as targets for another (Hinton et al. 2015, arXiv 1503.02531).

A teacher that was trained on a record has learnt its label too, right or wrong. So a record is taught by teachers that
were not trained on it, wherever there are any: give teachers that were each trained without a part of the folds, and
every target is out of fold. Labels that the collection does not state are filled with what the teachers say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from ecoscale.datasets import PRESENT, named_collection
from ecoscale.datasets.vocabulary import OWN, mappings
from ecoscale.errors import RecipeError
from ecoscale.findings import FINDINGS
from ecoscale.training.prediction import predict_logits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.datasets.processes import Progress
    from ecoscale.training.data import Examples
    from ecoscale.training.recipe import Recipe
    from ecoscale.training.run import Run

ROWS = 256


def teach(
    recipe: Recipe, teachers: list[Run], training: list[Examples], kept: Path, progress: Progress
) -> list[Examples]:
    """The training examples with the targets that the recipe's `distillation` asks for.

    What the teachers said is `kept` in a file, since a resumed run must hear the same, and asking takes minutes.
    Raises `RecipeError` for a teacher that was prepared for otherwise or knows none of the findings.
    """
    if kept.exists():
        with np.load(kept, allow_pickle=False) as arrays:
            said = arrays["probabilities"]
    else:
        for teacher in teachers:
            _refuse_stranger(recipe, teacher)
        said = np.concatenate([_heard(recipe, teachers, examples, progress) for examples in training])
        partial = kept.with_name(f"partial-{kept.name}")
        np.savez_compressed(partial, probabilities=said)
        partial.replace(kept)
    ends = np.cumsum([len(examples.rows) for examples in training])[:-1]
    parts = zip(training, np.split(said, ends), strict=True)
    return [replace(examples, targets=_blended(recipe, examples.labels, part)) for examples, part in parts]


def _blended(recipe: Recipe, labels: NDArray[np.int8], said: NDArray[np.float32]) -> NDArray[np.float32]:
    """Targets `(records, outputs)`: labels and teachers' probabilities by weight, either where the other is not there.

    Auxiliary codes, which come after the findings, are not taught.
    """
    assert recipe.distillation is not None
    weight, targets = recipe.distillation.weight, labels.astype(np.float32)
    own = targets[:, : said.shape[1]]
    mixed = np.where(own < 0, said, (1 - weight) * own + weight * said)
    targets[:, : said.shape[1]] = np.where(np.isnan(said), own, mixed)
    return targets


def _heard(recipe: Recipe, teachers: list[Run], examples: Examples, progress: Progress) -> NDArray[np.float32]:
    """Mean probability of the teachers `(records, findings)`; NaN where none of a record's teachers knows a finding."""
    records = pd.MultiIndex.from_arrays([np.full(len(examples.rows), examples.collection), examples.records])
    knew = [records.isin(_trained_on(teacher)) for teacher in teachers]
    unheard = np.all(knew, axis=0)
    total = np.zeros((len(records), len(recipe.findings)), dtype=np.float64)
    count = np.zeros_like(total)
    assert recipe.distillation is not None
    for teacher, known in zip(teachers, knew, strict=True):
        asked = np.flatnonzero(~known | unheard)
        if not len(asked):
            continue
        few = replace(examples, rows=examples.rows[asked], labels=examples.labels[asked], targets=None)
        logits = predict_logits(teacher, few, batch_size=ROWS, progress=progress)
        shared = _shared(recipe, teacher.recipe)
        ours, columns = list(shared), list(shared.values())
        said = logits[:, columns] / recipe.distillation.temperature
        total[asked[:, None], ours] += softmax(said, axis=1) if recipe.single_label else expit(said)
        count[asked[:, None], ours] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0).astype(np.float32)


def _trained_on(teacher: Run) -> pd.MultiIndex:
    """Collection and record of everything that a run was trained on."""
    split = pd.read_csv(teacher.folder / "split.csv", dtype=str)
    return pd.MultiIndex.from_frame(split.loc[split["part"] == "train", ["collection", "record"]])


def _shared(recipe: Recipe, teacher: Recipe) -> dict[int, int]:
    """Positions of the recipe's findings that the teacher knows, each with its position there.

    A class of a benchmark's task is the finding that the same codes mean, whatever either is called.
    """
    collection = named_collection(teacher.collections[0])

    def meanings(asked: Recipe) -> list[frozenset[str] | str]:
        if asked.task is not None:
            return [collection.task(asked.task).classes[name] for name in asked.findings]
        stated = mappings(collection.scheme) if collection.scheme != OWN else ()
        codes = {
            name: frozenset(m.code for m in stated if m.finding == name and m.value == PRESENT) for name in FINDINGS
        }
        return [codes.get(name) or name for name in asked.findings]

    theirs = {meaning: position for position, meaning in enumerate(meanings(teacher))}
    return {position: theirs[meaning] for position, meaning in enumerate(meanings(recipe)) if meaning in theirs}


def _refuse_stranger(recipe: Recipe, teacher: Run) -> None:
    differing = teacher.preparation.differences(recipe.preparation)
    if wrong := [f"{key} {theirs} (this recipe: {asked})" for key, (theirs, asked) in differing.items()]:
        raise RecipeError(
            f"distillation.teachers: {teacher.folder} reads {', '.join(wrong)}; choose one that reads alike"
        )
    if teacher.recipe.single_label != recipe.single_label:
        kinds = ("each present or absent", "classes that exclude each other")
        raise RecipeError(
            f"distillation.teachers: the findings of {teacher.folder} are {kinds[teacher.recipe.single_label]}, those "
            f"of this recipe {kinds[recipe.single_label]}; choose a teacher with the same single_label"
        )
    shared = _shared(recipe, teacher.recipe)
    if recipe.single_label and not len(shared) == len(recipe.findings) == len(teacher.recipe.findings):
        raise RecipeError(
            f"distillation.teachers: {teacher.folder} tells {', '.join(teacher.recipe.findings)}; with single_label a "
            f"teacher must tell the same classes as the recipe, {', '.join(recipe.findings)}"
        )
    if not shared:
        raise RecipeError(
            f"distillation.teachers: {teacher.folder} knows none of {', '.join(recipe.findings)}; it tells "
            + ", ".join(teacher.recipe.findings)
        )
