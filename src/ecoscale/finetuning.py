"""From a bundle and a folder of your own to a bundle of your own: recipe, cross-validation, training, packing.

The folder's records are dealt into parts by patient, with each finding in proportion. For each part one network is
trained on the others, of which one chooses its epoch, and then tells the part's records, which it has not seen. The
figures, the calibration and the thresholds are of these answers on all records (as in scikit-learn's
`CalibratedClassifierCV` with `ensemble=False`): of 200 records a single test part would hold 40, and too few of any
finding to measure it by. The network that is packed is trained alike, on all parts but the one that chooses its epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecoscale.calibration import sigmoid, softmax
from ecoscale.datasets import ABSENT, PRESENT, class_labels, open_collection, splits
from ecoscale.datasets.preparing import prepare_store
from ecoscale.datasets.processes import silent
from ecoscale.errors import EcoscaleError, RecipeError
from ecoscale.evaluation import Evaluation, paired_difference
from ecoscale.formats.leads import canonical_leads
from ecoscale.packing import measure_run, pack
from ecoscale.training import Recipe, Run, load_recipe, train
from ecoscale.training.pretrained import kept_outputs, open_pretrained
from ecoscale.training.recipe import changed, validated_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ecoscale.bundle import Bundle
    from ecoscale.datasets import Folder
    from ecoscale.datasets.processes import Progress
    from ecoscale.datasets.store import PreparedStore
    from ecoscale.evaluation import PairedDifference
    from ecoscale.training.pretrained import Pretrained

FEWEST_PARTS = 3
"""To train on, to choose the epoch on, and to measure on."""
FEWEST_MEASURED = 5
"""Patients, since the cross-fitted F1 takes each fifth's thresholds from the others."""
RECIPE, SPLIT, ANSWERS = "recipe.yaml", "split.csv", "cross-validation.npz"

AUGMENTATION: dict[str, float] = {"gain": 0.2, "noise": 0.03, "wander": 0.1, "crop": 0.2}
OPTIMISATION: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "features_factor": 0.1,
    "warmup": 0.2,
}
"""What docs/finetuning.md measures to be good for some hundred records."""
FROM_SCRATCH, SCRATCH_RATE = 2, 3e-3
"""Times as many epochs, since a network that knows nothing yet takes longer; at the learning rate of recipes."""


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning made.

    - `evaluation`: on all records, each told by a network that has not seen it; `from_scratch` alike, of networks that
      began from nothing, and `difference` by which the tuned ones are better.
    - `kept`: the findings whose output the base knew already.
    - `remarks`: what the user should know.
    """

    bundle: Bundle
    recipe: Path
    evaluation: Evaluation
    kept: tuple[str, ...]
    remarks: tuple[str, ...]
    from_scratch: Evaluation | None = None
    difference: PairedDifference | None = None


@dataclass(frozen=True)
class CrossValidatedRun(Run):
    """A run whose `validation` is of all records, each told by a network trained alike that has not seen it."""

    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts: int = 0

    @property
    def validation(self) -> dict[str, np.ndarray]:
        """`logits`, `labels`, `records`, `patients` of all records."""
        return dict(self.answers)

    @property
    def validated_on(self) -> str:
        """In words."""
        return (
            f"the {len(self.answers['records']):,} records of the folder, each told by that one of {self.parts} "
            "networks trained alike which has not seen its patient"
        )


@dataclass(frozen=True)
class _Plan:
    """One way of training on the folder: its recipe for each choice of parts, and where its runs lie."""

    content: Mapping[str, Any]
    folder: Path
    n_parts: int
    prefix: str

    def recipe(self, chooses: int, leave_out: int | None = None) -> Recipe:
        """Trained on all parts but the one that chooses the epoch and the one left out."""
        trained = [part for part in range(1, self.n_parts + 1) if part not in (chooses, leave_out)]
        data = {"train": list(map(self._part, trained)), "validation": [self._part(chooses)]}
        return validated_recipe({**self.content, "data": data}, f"{self.folder}: the recipe of fine-tuning")

    def _part(self, part: int) -> dict[str, str]:
        return {"collection": "folder", "split": str(self.folder / SPLIT), "part": str(part)}

    def run_without(self, part: int | None) -> Path:
        return self.folder / "runs" / (self.prefix + ("final" if part is None else f"without-{part}"))


def finetune(
    base: str | Path,
    directory: str | Path,
    out: str | Path,
    *,
    findings: Sequence[str] | None = None,
    leads: Sequence[str] | None = None,
    parts: int = 5,
    changes: Mapping[str, Any] | None = None,
    name: str | None = None,
    seed: int = 0,
    cross_validate: bool = True,
    beside_scratch: bool = False,
    resume: bool = False,
    progress: Progress = silent,
) -> FineTuned:
    """Fine-tune a bundle on a folder of your own (`ecoscale.datasets.Folder`), measure it there, and pack it.

    Parameters
    ----------
    base
        What training begins from: a bundle's folder, the name of a shipped one, a run's folder or a checkpoint of one.
    directory
        The folder with `labels.csv`, or the table itself if it has another name.
    out
        A new folder for `recipe.yaml`, `split.csv`, `runs`, `stores` and `bundle`.
    findings
        Columns of the table to learn; all by default.
    leads
        Leads to read; by default those of the base that the first record has. Limb leads follow from any two.
    parts
        Into how many parts the patients are dealt.
    changes
        Keys of the recipe, with dots, and their values: `{"optimisation.epochs": 40}`.
    name
        Of the bundle; by default that of `out`.
    seed
        Of the parts and of the training.
    cross_validate
        Whether to train a network for each part left out. Without it the figures are of the one part on which the
        final network's epoch and thresholds are chosen: optimistic, and the bundle's card says so.
    beside_scratch
        Whether to train as many networks from nothing too, for twice the epochs, and to measure the difference.
    resume
        Go on with what is in `out`. Runs that have ended are not repeated.
    progress
        May wrap the iteration over the runs: `progress(runs, description, total)`.

    Raises
    ------
    DatasetError, RecipeError, BundleError, LeadError
        If the table lacks a finding, a finding has too few patients with or without it, `out` holds something, or
        the base and the records do not fit together.
    """
    directory, out = Path(directory), Path(out)
    begins = open_pretrained(base)
    if begins.preparation is None:
        raise RecipeError(f"{base}: only weights; fine-tuning begins from a bundle or a run, which say how to use them")
    if parts < FEWEST_PARTS:
        raise RecipeError(f"parts is {parts}; expected at least {FEWEST_PARTS}: to train, to choose and to measure on")
    if (out / RECIPE).exists() != resume:
        raise RecipeError(
            f"{out}: nothing to resume here; start it without --resume"
            if resume
            else f"{out}: holds a fine-tuning already; go on with it (--resume) or choose another folder (--out)"
        )
    collection: Folder = open_collection(directory, "folder")  # type: ignore[assignment]
    chosen = _findings(collection, findings)
    if not begins.preparation.is_ecg:
        raise RecipeError(
            f"{begins.source} reads {', '.join(begins.preparation.channels)}; ecoscale finetune is of ECGs alone: "
            f"train on the folder (ecoscale train FOLDER), and begin from it with --set model.pretrained={base}"
        )
    read = _leads(begins, collection, leads)
    content: dict[str, Any] = {
        "name": name or out.name,
        "description": f"{begins.title}, fine-tuned on records of its user's own",
        "findings": list(chosen),
        "single_label": begins.single_label,
        "model": {"pretrained": str(base)},
        "preparation": {"leads": list(read)},
        "augmentation": dict(AUGMENTATION),
        "optimisation": dict(OPTIMISATION),
        "seed": seed,
    }
    tuned = _Plan(changed(content, changes or {}, "--set"), out, parts, "")
    whole = tuned.recipe(chooses=1)
    if resume and load_recipe(out / RECIPE) != whole:
        raise RecipeError(
            f"{out / RECIPE}: differs from what is asked for now; resume with the same options, or choose another "
            "folder (--out)"
        )
    store = prepare_store(collection, whole.preparation, out / "stores", progress=progress)
    _refuse_too_few(store, chosen, parts, cross_validate=cross_validate)
    if not resume:
        _write_split(store, chosen, parts, seed, out / SPLIT)
        (out / RECIPE).write_text(whole.to_yaml(), encoding="utf-8")

    plans = [tuned, *([_from_scratch(tuned, whole)] if beside_scratch else [])]
    left_out = range(1, parts + 1) if cross_validate else ()
    jobs = {
        plan.run_without(part).name: (plan, part)
        for plan in plans
        for part in (*left_out, *([None] if plan is tuned or not cross_validate else []))
    }
    for job in progress(jobs, "training", len(jobs)):
        _train(*jobs[job], {"folder": directory})
    run, *scratch = [_measured(plan, store, cross_validate=cross_validate) for plan in plans]
    bundle = pack(run, out / "bundle")
    evaluation = Evaluation.from_dict(bundle.manifest.metrics)
    remarks = tuple(_remarks(begins, collection, store, read))
    kept = kept_outputs(begins, chosen)
    if not scratch:
        return FineTuned(bundle, out / RECIPE, evaluation, kept, remarks)
    rival, difference = measure_run(scratch[0]).evaluation, _difference(run, scratch[0])
    return FineTuned(bundle, out / RECIPE, evaluation, kept, remarks, rival, difference)


def _findings(collection: Folder, asked: Sequence[str] | None) -> tuple[str, ...]:
    there = collection.label_names
    if asked is None:
        return there
    if missing := [finding for finding in asked if finding not in there]:
        raise RecipeError(
            f"{collection.directory}: the table has no labels {', '.join(missing)}; it has {', '.join(there)}"
        )
    return tuple(dict.fromkeys(asked))


def _leads(base: Pretrained, collection: Folder, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The leads to read, in the base's order: those asked for, or those of the first record that can be read."""
    assert base.preparation is not None
    known = base.preparation.leads
    if asked is not None:
        return canonical_leads(asked, "the leads to read")
    failed = None
    for record in collection.records.index:
        try:
            has = collection.read(record).leads
        except EcoscaleError as error:
            failed = failed or error
            continue
        if leads := tuple(lead for lead in known if lead in has):
            return leads
        raise RecipeError(
            f"{collection.path(record)}: has leads {', '.join(has)}; {base.source} reads {', '.join(known)}"
        )
    raise RecipeError(f"{collection.directory}: none of {len(collection)} records can be read; first: {failed}")


def _refuse_too_few(store: PreparedStore, findings: Sequence[str], parts: int, *, cross_validate: bool) -> None:
    """Each part must be able to hold a patient with each finding, and one without."""
    labels, patients = store.labels(findings), store.records["patient"].to_numpy()
    measured = len(set(patients)) // (1 if cross_validate else parts)
    if measured < FEWEST_MEASURED:
        raise RecipeError(
            f"{measured} patients to measure on; expected at least {FEWEST_MEASURED}: add records"
            + ("" if cross_validate else ", cross-validate (without --once), or take fewer parts (--parts)")
        )
    for column, finding in enumerate(findings):
        for label, what in ((PRESENT, "with"), (ABSENT, "without")):
            n = len(set(patients[labels[:, column] == label]))
            if n < parts:
                raise RecipeError(
                    f"{finding}: {n} patients {what} it among {len(store)} records; expected at least {parts}, one for "
                    "each part of the cross-validation: add records, leave it out (--findings), or take fewer parts "
                    "(--parts)"
                )


def _write_split(store: PreparedStore, findings: Sequence[str], parts: int, seed: int, path: Path) -> None:
    shares = {str(part): 1 / parts for part in range(1, parts + 1)}
    dealt = splits.stratified_split(store.records, store.labels(findings), shares, seed)
    how = f"by patient, stratified by {' '.join(findings)}, seed {seed}"
    splits.write_split(path, store.records, dealt, f"{store.manifest.title}, {parts} parts, {how}")


def _from_scratch(tuned: _Plan, whole: Recipe) -> _Plan:
    """The same network, preparation and training, but from nothing and for longer; its scale is the records' own."""
    content = whole.model_dump(mode="json")
    content["model"] |= {"pretrained": None}
    content["optimisation"]["epochs"] *= FROM_SCRATCH
    content["optimisation"] |= {"learning_rate": SCRATCH_RATE, "features_factor": 1.0}
    return _Plan(content, tuned.folder, tuned.n_parts, "scratch-")


def _train(plan: _Plan, part: int | None, directories: Mapping[str, Path]) -> None:
    """Train without one part, or the final network without none; go on where that had begun."""
    chooses = 1 if part is None else part % plan.n_parts + 1
    folder = plan.run_without(part)
    recipe = plan.recipe(chooses, part)
    begun = (folder / "recipe.yaml").exists()
    if begun and len(Run(folder).history) == recipe.optimisation.epochs and Run(folder).recipe == recipe:
        return
    train(recipe, directories, folder, stores=plan.folder / "stores", resume=begun, show_progress=False)


def _measured(plan: _Plan, store: PreparedStore, *, cross_validate: bool) -> Run:
    """The run whose `validation` the figures are of: all records, or those of the final network's part."""
    if not cross_validate:
        return Run(plan.run_without(None))
    final = plan.run_without(1 if plan.prefix else None)
    run = CrossValidatedRun(final, _answers(plan, store, Run(final).recipe.findings), plan.n_parts)
    np.savez_compressed(plan.folder / f"{plan.prefix}{ANSWERS}", allow_pickle=False, **run.answers)
    return run


def _answers(plan: _Plan, store: PreparedStore, findings: Sequence[str]) -> dict[str, np.ndarray]:
    """What the networks say of the records that they have not seen, in the store's order."""
    rows = [
        np.flatnonzero(splits.in_part(store.records, split=(plan.folder / SPLIT, str(part))))
        for part in range(1, plan.n_parts + 1)
    ]
    logits = np.empty((len(store), len(findings)), dtype=np.float32)
    for part, own in enumerate(rows, 1):
        logits[own] = _logits(Run(plan.run_without(part)), store.read(own))
    labels = store.labels(findings)
    if Run(plan.run_without(1)).recipe.single_label:
        labels = class_labels(labels).labels
    return {
        "logits": logits,
        "labels": labels,
        "records": store.records.index.to_numpy(dtype=str),
        "patients": store.records["patient"].to_numpy(dtype=str),
    }


def _logits(run: Run, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits `(records, findings)` of signals in mV `(records, leads, samples)`."""
    network = run.load_network()
    batches = torch.from_numpy(run.preparation.standardise(signals)).split(64)
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in batches]).numpy()


def _difference(tuned: Run, scratch: Run) -> PairedDifference:
    """By how much the tuned networks rank the records better; thresholds play no part in that."""
    single_label, answers, names = tuned.recipe.single_label, tuned.validation, list(tuned.recipe.findings)
    link = softmax if single_label else sigmoid
    first, second = (link(run.validation["logits"]) for run in (tuned, scratch))
    at = None if single_label else 0.5
    return paired_difference(answers["labels"], first, second, at, at, answers["patients"], names=names)


def _remarks(base: Pretrained, collection: Folder, store: PreparedStore, leads: Sequence[str]) -> list[str]:
    assert base.preparation is not None
    remarks = list(collection.notes)
    if unreadable := store.manifest.unreadable:
        record, reason = next(iter(unreadable.items()))
        remarks.append(
            f"{len(unreadable):,} of {len(collection):,} records could not be used and are left out; first: {record}: "
            f"{reason}"
        )
    if fewer := len(base.preparation.leads) - len(leads):
        remarks.append(f"the network reads {', '.join(leads)}, {fewer} fewer leads than {base.title} does")
    return remarks
