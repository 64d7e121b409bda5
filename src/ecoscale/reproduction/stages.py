"""The stages of a reproduction: split, store, every network with every seed, what each says of the test part.

Each stage is skipped where its result lies in the folder, and training goes on from its last checkpoint, so that
whatever interrupts the work, the same command goes on with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale import __version__
from ecoscale.datasets import in_part, open_collection
from ecoscale.datasets.preparing import prepare
from ecoscale.datasets.processes import silent
from ecoscale.datasets.splits import read_split, shared_patients, stratified_split, write_split
from ecoscale.datasets.store import is_store, open_store
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.reproduction.protocol import differing_keys
from ecoscale.training import train
from ecoscale.training.data import Examples
from ecoscale.training.prediction import predict_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecoscale.datasets.processes import Progress
    from ecoscale.datasets.store import PreparedStore
    from ecoscale.reproduction.protocol import Plan
    from ecoscale.training import Run


def reproduce(
    plan: Plan,
    directory: Path,
    *,
    external: Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    show_progress: bool = False,
    say: Callable[[str], object] = lambda _line: None,
) -> None:
    """Do whatever of the plan is not done yet.

    Parameters
    ----------
    plan
        What to train, in which folder.
    directory, external
        Folders of the collection, and of the protocol's external test set.
    workers
        Processes that prepare the store; all cores by default.
    progress, show_progress, say
        How far records and trainings are, and a line at the beginning of each stage.

    Raises
    ------
    RecipeError
        If a run that lies in the folder was made by another recipe, or the protocol has no external test set.
    DatasetError
        If a collection cannot be read, or the folder's store was made from another one.
    """
    protocol = plan.protocol
    if external is not None and protocol.external is None:
        raise RecipeError(f"{protocol.folder}: the protocol names no external test set")
    # Before hours of training: what is there must be of this plan.
    for network in plan.recipes:
        for seed in plan.seeds:
            _refuse_another(plan, network, seed)
    store = _store(plan, protocol.collection, directory, workers, progress, say, split=True)
    if shared := shared_patients(store.records, read_split(plan.split)):
        raise DatasetError(
            f"{plan.split}: {len(shared)} patients are in two parts, {next(iter(shared))} among them; split by patient"
        )
    test = _examples(plan, store, in_part(store.records, split=(plan.split, protocol.test)))
    sets = {protocol.test: test}
    if external is not None and protocol.external is not None:
        name = protocol.external.collection
        other = _store(plan, name, external, workers, progress, say)
        sets[name] = _examples(plan, other, np.ones(len(other), dtype=bool))
    total = len(plan.recipes) * len(plan.seeds)
    for number, (network, seed) in enumerate(((n, s) for n in plan.recipes for s in plan.seeds), start=1):
        run = plan.run(network, seed)
        missing = {name: examples for name, examples in sets.items() if not predictions(run, name).exists()}
        if not missing:
            say(f"{number} of {total}: {network}, seed {seed}: done before")
            continue
        if not predictions(run, protocol.test).exists():
            begun = (run.folder / "recipe.yaml").exists()
            say(f"{number} of {total}: {network}, seed {seed}: {'going on' if begun else 'training'}")
            train(
                plan.recipe(network, seed),
                {protocol.collection: store.path},
                run.folder,
                resume=begun,
                progress=progress,
                show_progress=show_progress,
            )
        for name, examples in missing.items():
            _predict(run, name, examples, progress)


def predictions(run: Run, name: str) -> Path:
    """Where a run's logits on a set lie: `logits`, `labels`, `records` and `patients`."""
    return run.folder / f"{name}.npz"


def _refuse_another(plan: Plan, network: str, seed: int) -> None:
    run, recipe = plan.run(network, seed), plan.recipe(network, seed)
    if (run.folder / "recipe.yaml").exists() and (other := differing_keys(run.recipe, recipe)):
        had = ", ".join(f"{key}={value}" for key, value in other.items())
        raise RecipeError(
            f"{run.folder}: was trained with {had}; go on with the same --set, or choose another folder (--out)"
        )


def _store(
    plan: Plan,
    name: str,
    directory: Path,
    workers: int | None,
    progress: Progress,
    say: Callable[[str], object],
    *,
    split: bool = False,
) -> PreparedStore:
    """A collection's store, made if it is not there, and before it the split."""
    path = plan.store(name)
    if is_store(path) and (plan.split.exists() or not split):
        store = open_store(path)
        # Some archives unpack to a folder within.
        if not Path(store.manifest.directory).is_relative_to(directory.resolve()):
            raise DatasetError(
                f"{path}: was prepared from {store.manifest.directory}, not {directory}; give that folder, or choose "
                "another --out"
            )
        return store
    say(f"opening {directory}")
    collection = open_collection(directory, name)
    for note in collection.notes:
        say(f"{collection.title}: {note}")
    if split and not plan.split.exists():
        say(f"splitting by patient: {plan.split}")
        options, findings = plan.protocol.split, plan.shared.findings
        parts = stratified_split(collection.records, collection.labels(findings), options.shares, options.seed)
        shares = ",".join(f"{part}={share:g}" for part, share in options.shares.items())
        how = f"by patient, stratified by {' '.join(findings)}, seed {options.seed}"
        partial = plan.split.with_suffix(".partial")
        write_split(partial, collection.records, parts, f"ecoscale {__version__}: {collection.title}, {shares}, {how}")
        partial.replace(plan.split)
    say(f"preparing {path}")
    return prepare(collection, plan.preparation, path, workers=workers, progress=progress)


def _examples(plan: Plan, store: PreparedStore, chosen: np.ndarray) -> Examples:
    labels = store.labels(plan.shared.findings, plan.shared.task)
    rows = np.flatnonzero(chosen)
    return Examples(store.manifest.collection, store, rows, labels[rows])


def _predict(run: Run, name: str, examples: Examples, progress: Progress) -> None:
    path = predictions(run, name)
    partial = path.with_suffix(".partial.npz")
    logits = predict_logits(run, examples, progress=progress)
    np.savez_compressed(
        partial, logits=logits, labels=examples.labels, records=examples.records, patients=examples.patients
    )
    partial.replace(path)
