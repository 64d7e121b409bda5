"""A recipe drafted from a folder of a user's own records: what `ecoscale train FOLDER` trains.

What the records say is taken from them (`ecoscale.datasets.surveying`); the rest follows by the rules below, which
docs/own-signals.md lists. Any key can be changed, and what depends on it follows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.datasets import PRESENT, UNKNOWN, splits
from ecoscale.datasets.checking import part_counts
from ecoscale.datasets.processes import silent
from ecoscale.datasets.surveying import survey
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.formats.leads import canonical_lead
from ecoscale.formats.quantities import millivolts
from ecoscale.models import series_config
from ecoscale.training.recipe import changed, validated_recipe
from ecoscale.training.run import Run, refuse_another_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ecoscale.datasets import Folder
    from ecoscale.datasets.processes import Progress
    from ecoscale.datasets.surveying import Outline, Survey
    from ecoscale.training.recipe import Recipe

PARTS = "parts.csv"
"""Beside the run's own files: which record is in which part."""
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = {TRAIN: 0.7, VALIDATION: 0.15, TEST: 0.15}
SHARE_OF_FEW = 0.25
"""Of the patients choose the epoch where none are kept aside, and two at least: calibrations are compared between."""
ENOUGH_FOR_TEST = 20
"""Patients from which on some are kept aside to measure on."""
FEWEST_PATIENTS = 4

LONGEST_PADDED = 2.0
"""The window holds the longest record where that is at most so many times the median, else the median one."""
LONG_WINDOW = 10_000
"""Samples beyond which a remark says how to have fewer."""

ECG_RATE = 100.0
"""Hz: what the networks of docs/networks.md are measured at."""
ECG_MODEL = {"name": "ecoscalenet_lean_tiny", "config": {"stem_stride": 2, "pooling": "mean_max"}}
ECG_AUGMENTATION = {"gain": 0.2, "noise": 0.03, "wander": 0.1, "crop": 0.2}

FEW = 10
"""Records of a class in the training part, below which little can be learnt of it."""
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1200, 20, 100
BATCHES, SMALLEST_BATCH, LARGEST_BATCH = 10, 8, 64


@dataclass(frozen=True)
class Draft:
    """A recipe, and what it was drafted from.

    - `run`: where the run will lie, and its parts with it.
    - `parts`: the part of each record that has a label; None where the changes say what is trained on.
    - `by_fold`: whether the table's folds say so; else the recipe finds the parts in the run's folder.
    - `found`, `doubts`: what the records are, and what is doubtful about them, in words.
    """

    recipe: Recipe
    collection: Folder
    run: Path
    parts: Mapping[str, str] | None
    by_fold: bool
    found: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Of each part: records, patients, and those that show each class."""
        return {} if self.parts is None else part_counts(self.collection, self.parts, self.recipe.findings)

    @property
    def kept_aside(self) -> str | None:
        """How `ecoscale evaluate` is told to measure on the records that training does not see; None without any."""
        held_out = [record for record, part in (self.parts or {}).items() if part == TEST]
        if not held_out:
            return None
        fold = self.collection.records["fold"][held_out[0]]
        return f"--folds {fold}" if self.by_fold else f"--split {self.run / PARTS}"

    def write_parts(self) -> None:
        """Store the parts where the recipe finds them. Raises `RecipeError` where the folder holds a run."""
        refuse_another_run(Run(self.run), self.recipe, resume=False)
        if self.parts is not None and not self.by_fold:
            about = f"{self.collection.directory}, by patient, stratified by label, seed {self.recipe.seed}"
            splits.write_split(self.run / PARTS, self.collection.records, self.parts, about)


def own_name(source: Path) -> str:
    """What a run on a folder (or on its table) is called."""
    folder = source.resolve()
    return re.sub(r"[^\w.-]+", "-", folder.name if folder.is_dir() else folder.stem) or "own"


def draft_recipe(
    collection: Folder, run: Path, changes: Mapping[str, Any] | None = None, *, progress: Progress = silent
) -> Draft:
    """The recipe for a folder's records, each of which is read once for it.

    Parameters
    ----------
    collection
        The folder.
    run
        Where the run will lie, and the parts with it; nothing is written.
    changes
        Keys of the recipe, with dots, and their values: `{"optimisation.epochs": 40}`.
    progress
        May wrap the iteration over the records.

    Raises
    ------
    DatasetError, RecipeError
        If none of the records can be read, they differ in channels, units or rate, they cannot be split by patient, or
        a change is none that a recipe takes.
    """
    changes = dict(changes or {})
    seen = survey(collection, progress=progress)
    preparation = _preparation(seen, changes)
    findings = list(changes.get("findings", collection.label_names))
    parts, by_fold = _parts(seen, findings, int(changes.get("seed", 0)))
    n_training = sum(part == TRAIN for part in parts.values())
    content: dict[str, Any] = {
        "name": own_name(collection.directory),
        "description": f"Trained on {len(seen.outlines):,} records of its user's own",
        "findings": findings,
        "single_label": collection.single_label,
        "model": _model(preparation, changes),
        "preparation": preparation,
        "data": _data(collection, parts, None if by_fold else run / PARTS),
        "augmentation": dict(ECG_AUGMENTATION) if "leads" in preparation else {},
        "optimisation": _optimisation(n_training),
    }
    # What they say of channels is in the preparation already, under the name that fits.
    further = {key: value for key, value in changes.items() if key not in _CHANNELS}
    source = f"{collection.directory}: the recipe drafted from it"
    recipe = validated_recipe(changed(content, further, source), source)
    own_data = any(key.split(".")[0] == "data" for key in changes)
    doubts = [*seen.doubts(), *_length_doubts(seen, recipe)]
    if not own_data:
        doubts += _label_doubts(collection, recipe, parts, by_fold=by_fold)
    chosen = None if own_data else parts
    return Draft(recipe, collection, run, chosen, by_fold, tuple(_found(seen, recipe)), tuple(doubts))


_CHANNELS = ("preparation.channels", "preparation.leads")


def _preparation(seen: Survey, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Channels, units, rate and window: those of all records, or those asked for."""
    asked = next((changes[key] for key in _CHANNELS if key in changes), None)
    channels = tuple(asked) if asked is not None else _agreed_channels(seen)
    if set(channels) <= set(LEADS) and all(_leads(outline) is not None for outline in seen.outlines.values()):
        slowest = min(outline.rate for outline in seen.outlines.values())
        rate = float(changes.get("preparation.rate", min(ECG_RATE, slowest)))
        prepared: dict[str, Any] = {"rate": rate, "leads": [lead for lead in LEADS if lead in channels]}
    else:
        units = changes.get("preparation.units") or _agreed_units(seen, channels)
        rate = float(changes.get("preparation.rate") or _agreed_rate(seen))
        prepared = {"rate": rate, "channels": list(channels), "units": units, "highpass": None}
    return prepared | {"window": int(changes.get("preparation.window", _window(_lengths(seen, rate))))}


def _leads(outline: Outline) -> tuple[str, ...] | None:
    """The canonical leads of an ECG; None where a channel is no lead, or in no unit of voltage."""
    names = tuple(canonical_lead(name) for name in outline.channels)
    if None in names or any(millivolts(unit) is None for unit in outline.units):
        return None
    return tuple(name for name in names if name is not None)


def _agreed_channels(seen: Survey) -> tuple[str, ...]:
    first = next(iter(seen.outlines.values()))
    names = seen.agreed(
        "channels",
        lambda outline: tuple(sorted(_leads(outline) or outline.channels)),
        ", ".join,
        "State those that every record has: --set preparation.channels=[...]",
    )
    # In the order of the first record, in which the user knows them.
    return tuple(sorted(names, key=(_leads(first) or first.channels).index))


def _agreed_units(seen: Survey, channels: Sequence[str]) -> list[str]:
    def units(outline: Outline) -> tuple[str, ...]:
        own = dict(zip(outline.channels, outline.units, strict=True))
        return tuple(own[name] for name in channels)

    for record, outline in seen.outlines.items():
        if missing := [name for name in channels if name not in outline.channels]:
            raise DatasetError(
                f"{seen.collection.path(record)}: no channel {', '.join(missing)}; it has {', '.join(outline.channels)}"
            )
    remedy = "Convert the samples of some, or leave their channel out: --set preparation.channels=[...]"
    return list(seen.agreed(f"the units of {', '.join(channels)}", units, ", ".join, remedy))


def _agreed_rate(seen: Survey) -> float:
    remedy = "Name the rate that all are to be brought to: --set preparation.rate=..."
    return seen.agreed("rate", lambda outline: outline.rate, lambda rate: f"{rate:g} Hz", remedy)


def _lengths(seen: Survey, rate: float) -> np.ndarray:
    """Samples of each record at a rate."""
    return np.array([max(1, round(outline.seconds * rate)) for outline in seen.outlines.values()])


def _window(lengths: np.ndarray) -> int:
    """The longest record's length where that is at most twice the median, else the median."""
    longest, median = int(lengths.max()), int(np.median(lengths))
    return longest if longest <= LONGEST_PADDED * median else median


def _model(preparation: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The network that docs/networks.md ends with for ECGs at 100 Hz; else one made for the window's length."""
    if "model" in changes or "model.name" in changes or "model.pretrained" in changes:
        return {}
    if "leads" in preparation and preparation["rate"] == ECG_RATE:
        return {"name": ECG_MODEL["name"], "config": dict(ECG_MODEL["config"])}
    n_channels = len(preparation.get("leads") or preparation["channels"])
    return {"name": "ecoscalenet", "config": series_config(preparation["window"], n_channels)}


def _optimisation(n_training: int) -> dict[str, Any]:
    """Some ten batches an epoch at least, and some 1200 steps."""
    batch = LARGEST_BATCH
    while batch > SMALLEST_BATCH and n_training < BATCHES * batch:
        batch //= 2
    epochs = -(-STEPS // -(-n_training // batch))
    return {
        "epochs": min(MOST_EPOCHS, max(FEWEST_EPOCHS, epochs)),
        "batch_size": batch,
        "learning_rate": 3e-3,
        "weight_decay": 0.05,
        "warmup": 0.2,
    }


def _parts(seen: Survey, findings: Sequence[str], seed: int) -> tuple[dict[str, str], bool]:
    """The part of each readable record with a label; and whether the table's folds say so."""
    table = seen.collection.records
    labels = seen.collection.labels(findings)
    labelled = labels == PRESENT if seen.collection.single_label else labels != UNKNOWN
    usable = np.flatnonzero(table.index.isin(list(seen.outlines)) & labelled.any(axis=1))
    records, labels = table.iloc[usable], labels[usable]
    folds = sorted(records["fold"].unique().tolist())
    if len(folds) > 1:
        held_out, validation = (folds[-1], folds[-2]) if len(folds) > 2 else (None, folds[-1])
        names = {validation: VALIDATION} | ({} if held_out is None else {held_out: TEST})
        parts = {str(record): names.get(fold, TRAIN) for record, fold in records["fold"].items()}
        if shared := splits.shared_patients(records, parts):
            patient, theirs = next(iter(shared.items()))
            raise DatasetError(
                f"{seen.collection.directory}: {len(shared)} patients are in more than one part by the column fold, "
                f"{patient} among them ({', '.join(theirs[:3])}); give all records of a patient one fold, or leave "
                "the column out"
            )
        return parts, True
    n_patients = records["patient"].nunique()
    if n_patients < FEWEST_PATIENTS:
        raise DatasetError(
            f"{seen.collection.directory}: {n_patients} patients with a label; expected at least {FEWEST_PATIENTS}, "
            "two to train on and two to choose on, since the records of one are never in both"
        )
    choosing = max(SHARE_OF_FEW, 2 / n_patients)
    shares = SHARES if n_patients >= ENOUGH_FOR_TEST else {TRAIN: 1 - choosing, VALIDATION: choosing}
    return splits.stratified_split(records, labels, shares, seed), False


def _data(collection: Folder, parts: Mapping[str, str], stored: Path | None) -> dict[str, Any]:
    """The recipe's section `data`."""
    if stored is not None:
        return {
            part: [{"collection": collection.name, "split": str(stored), "part": part}] for part in (TRAIN, VALIDATION)
        }
    folds = collection.records["fold"]
    return {
        part: [
            {
                "collection": collection.name,
                "folds": sorted(
                    set(folds[[record for record, own in parts.items() if own == part]].astype(int).tolist())
                ),
            }
        ]
        for part in (TRAIN, VALIDATION)
    }


def _found(seen: Survey, recipe: Recipe) -> Iterator[str]:
    """What the records are, and what is made of them."""
    collection, preparation = seen.collection, recipe.preparation
    yield from collection.notes
    seconds = np.array([outline.seconds for outline in seen.outlines.values()])
    rates = sorted({outline.rate for outline in seen.outlines.values()})
    units = dict(zip(preparation.channels, preparation.units, strict=True))
    yield (
        f"{len(seen.outlines):,} records, {_span(seconds)} s at {' and '.join(f'{rate:g}' for rate in rates)} Hz; "
        f"channels {', '.join(f'{name} ({unit})' if unit else name for name, unit in units.items())}"
    )
    yield (
        f"window of {preparation.window:,} samples, {preparation.seconds:g} s at {preparation.rate:g} Hz; "
        f"{recipe.model.name}, {recipe.optimisation.epochs} epochs in batches of {recipe.optimisation.batch_size}"
    )


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g} (median {np.median(values):.4g})"


def _length_doubts(seen: Survey, recipe: Recipe) -> Iterator[str]:
    """What does not fit the window."""
    window = recipe.preparation.window
    lengths = _lengths(seen, recipe.preparation.rate)
    if shorter := int((lengths < 0.95 * window).sum()):
        yield f"{shorter:,} records are shorter than the window and are padded with zeros on both sides"
    if longer := int((lengths > window).sum()):
        yield (
            f"{longer:,} records are longer than the window: the middle of each is trained on, and in use the "
            "probabilities of all its windows are averaged (--set preparation.window=... takes another length)"
        )
    if window > LONG_WINDOW:
        yield (
            f"the window has {window:,} samples, and time and memory of training grow with them; a lower rate may tell "
            "as much (--set preparation.rate=...), or a shorter window"
        )


def _label_doubts(collection: Folder, recipe: Recipe, parts: Mapping[str, str], *, by_fold: bool) -> Iterator[str]:
    """What is doubtful about labels and parts."""
    records = collection.records.loc[list(parts)]
    labels = collection.label(records, recipe.findings)
    of_part = np.array(list(parts.values()))
    kind = "class" if recipe.single_label else "label"
    for finding, column in zip(recipe.findings, (labels == PRESENT).T, strict=True):
        training, validation = (int(column[of_part == part].sum()) for part in (TRAIN, VALIDATION))
        if not training:
            yield f"{kind} {finding}: no record to train on has it, so it will not be told"
        elif training < FEW:
            yield f"{kind} {finding}: {training} records to train on, which is few"
        if not validation:
            yield f"{kind} {finding}: no record of the validation part has it, so nothing will be known of it"
        folds = records["fold"][column].unique()
        if by_fold and len(folds) == 1 and column.sum() > 1:
            yield f"{kind} {finding}: all its records are in fold {folds[0]}"
    if left_out := len(collection) - len(parts):
        yield f"{left_out:,} records have no label, or cannot be read, and are in no part"
    if TEST not in of_part:
        yield (
            "no records are kept aside to measure on: figures of the validation part, on which the epoch and the "
            "thresholds are chosen, are optimistic"
        )
    if recipe.single_label:
        own: dict[str, set[str]] = defaultdict(set)
        for patient, row in zip(records["patient"], labels, strict=True):
            own[patient].update(str(column) for column in np.flatnonzero(row == PRESENT))
        several = [patient for patient, classes in own.items() if len(classes) > 1]
        # Where most have, each was recorded in all of them.
        if 0 < len(several) < len(own) / 2:
            yield f"{len(several):,} of {len(own):,} patients have records of several classes, {several[0]} among them"
