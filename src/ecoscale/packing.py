"""From a training run to a bundle: calibration and thresholds from its validation part, the export, the model card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ecoscale import __version__
from ecoscale.bundle import Label, Manifest, write_bundle
from ecoscale.complexity import measure_complexity
from ecoscale.datasets import list_collections, named_collection
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.errors import RecipeError
from ecoscale.evaluation import choose_thresholds, evaluate, fit_platt
from ecoscale.export import export_onnx, export_weights
from ecoscale.findings import DISCLAIMER, FINDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ecoscale.bundle import Bundle
    from ecoscale.complexity import Complexity
    from ecoscale.evaluation import ChosenThresholds, Evaluation, PlattScaling
    from ecoscale.preparation import Preparation
    from ecoscale.training import Run
    from ecoscale.training.recipe import Part, Recipe

SELF_TEST_CASES: tuple[tuple[str, ...], ...] = ((), ("AF",), ("LBBB",), ("SB", "1dAVb"))
"""Synthetic ECGs that make the self-test's input."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run's best epoch on its validation part, with the calibration and thresholds chosen there."""

    run: Run
    calibration: PlattScaling
    thresholds: ChosenThresholds
    chosen: str
    evaluation: Evaluation
    cost: Complexity

    @property
    def seconds(self) -> float:
        """Training time."""
        return sum(row["seconds"] for row in self.run.history)


def measure_run(run: Run, sensitivity: float | None = None) -> MeasuredRun:
    """Choose calibration (Platt) and then thresholds on a run's validation part, and measure there.

    Thresholds are F1-optimal or, with `sensitivity`, the highest that have at least that sensitivity. Raises
    `EvaluationError` for a sensitivity that is not above 0 and up to 1.
    """
    recipe, preparation, validation = run.recipe, run.preparation, run.validation
    labels, logits = validation["labels"], validation["logits"]
    calibration = fit_platt(labels, logits, names=recipe.findings)
    probabilities = calibration.probabilities(logits)
    thresholds = choose_thresholds(
        labels,
        probabilities,
        "f1" if sensitivity is None else "sensitivity",
        target=sensitivity,
        names=recipe.findings,
    )
    part = _validated_on(run)
    how = "F1-optimal" if sensitivity is None else f"the highest with a sensitivity of {sensitivity:g}"
    chosen = f"{how} for each finding on the validation part ({part}), after calibration"
    evaluation = evaluate(
        labels,
        probabilities,
        thresholds.values,
        recipe.findings,
        validation["patients"],
        context={"dataset": part, "thresholds": chosen, "thresholds_chosen_here": True},
    )
    cost = measure_complexity(run.load_network(), preparation.n_leads, preparation.window)
    return MeasuredRun(run, calibration, thresholds, chosen, evaluation, cost)


def pack(
    run: Run,
    folder: Path,
    *,
    name: str | None = None,
    version: str = "1",
    beside: Sequence[Run] = (),
    sensitivity: float | None = None,
) -> Bundle:
    """Make a bundle of a run's best epoch.

    Each finding's calibration and threshold are chosen on the run's validation part (`measure_run`); the figures in the
    bundle and its card are of the same part, beside cross-fitted ones that are not optimistic. The card also shows the
    runs `beside`, measured alike; `RecipeError` is raised if they were validated on other records or findings.
    """
    for other in beside:
        _refuse_other_validation(run, other)
    measured, others = measure_run(run, sensitivity), [measure_run(other, sensitivity) for other in beside]
    recipe, preparation = run.recipe, run.preparation
    part = _validated_on(run)
    self_test = _self_test_signals(preparation)
    network = run.load_network()
    exported = export_onnx(network, self_test)
    manifest = Manifest(
        name=name or recipe.name,
        version=version,
        created=datetime.now(UTC).date().isoformat(),
        description=recipe.description,
        labels=tuple(
            Label(
                name=finding,
                title=_title(recipe, finding),
                snomed=_snomed(recipe, finding),
                threshold=float(threshold),
                slope=float(slope),
                intercept=float(intercept),
            )
            for finding, threshold, slope, intercept in zip(
                recipe.findings,
                measured.thresholds.values,
                measured.calibration.slope,
                measured.calibration.intercept,
                strict=True,
            )
        ),
        preparation=preparation,
        thresholds_chosen="; ".join((measured.chosen, *measured.thresholds.warnings)),
        calibration_chosen="; ".join(
            (f"Platt scaling on the validation part ({part})", *measured.calibration.warnings)
        ),
        network={
            "model": recipe.model.name,
            "config": recipe.model.config,
            "parameters": measured.cost.parameters,
            "macs": measured.cost.macs,
        },
        provenance={
            "ecoscale": __version__,
            "recipe": recipe.model_dump(mode="json"),
            "environment": run.environment,
            "epochs": len(run.history),
            "training_seconds": round(measured.seconds),
        },
        metrics=measured.evaluation.to_dict(),
        parity={"max_difference": exported.max_difference, "compared": exported.compared},
    )
    return write_bundle(
        folder,
        manifest,
        exported.onnx,
        {"signal": self_test, "logits": exported.logits},
        model_card(manifest, measured, others),
        export_weights(network, self_test),
    )


def _refuse_other_validation(run: Run, other: Run) -> None:
    ours, theirs = run.validation, other.validation
    if run.recipe.findings != other.recipe.findings or list(ours["records"]) != list(theirs["records"]):
        raise RecipeError(
            f"{other.folder}: validated on other records or findings than {run.folder}; they cannot stand side by side"
        )


def _title(recipe: Recipe, finding: str) -> str:
    """What one of the recipe's findings means."""
    if recipe.task is not None:
        return named_collection(recipe.collections[0]).task(recipe.task).titles.get(finding, finding)
    return FINDINGS[finding].title if finding in FINDINGS else finding


def _snomed(recipe: Recipe, finding: str) -> str | None:
    # A class may be called as a finding is and be another thing: PTB-XL's subclass STTC is one of several in STTC.
    return FINDINGS[finding].snomed if recipe.task is None and finding in FINDINGS else None


def _validated_on(run: Run) -> str:
    return run.validated_on or describe_parts(run.recipe.data.validation)


def describe_parts(parts: Iterable[Part]) -> str:
    """A recipe's parts in words, such as `ptbxl fold 9`."""
    return ", ".join(f"{part.collection} {_which(part)}" for part in parts)


def _which(part: Part) -> str:
    if part.folds is not None:
        return f"{'fold' if len(part.folds) == 1 else 'folds'} {_ranges(part.folds)}"
    if part.share is not None:
        return f"patients {part.share[0]:g}-{part.share[1]:g}"
    return f"part {part.part} of {part.split}"


def model_card(manifest: Manifest, measured: MeasuredRun, others: Sequence[MeasuredRun] = ()) -> str:
    """The bundle's README, in Markdown."""
    recipe = measured.run.recipe
    loader = PackageLoader("ecoscale", "templates")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("model_card.md").render(
        manifest=manifest,
        evaluation=measured.evaluation,
        recipe=recipe,
        rows=[measured, *others] if others else [],
        training=describe_parts(recipe.data.train),
        validation=_validated_on(measured.run),
        cross_validated=measured.run.validated_on is not None,
        begun=measured.run.environment.get("pretrained"),
        collections=[list_collections()[name] for name in recipe.collections],
        disclaimer=DISCLAIMER,
    )


def _self_test_signals(preparation: Preparation) -> np.ndarray:
    ecgs = [synthetic_ecg(findings, seed=seed).ecg for seed, findings in enumerate(SELF_TEST_CASES)]
    return np.concatenate([preparation.windows(ecg) for ecg in ecgs])


def _ranges(numbers: tuple[int, ...]) -> str:
    """`1, 2, 3, 5` as `1-3, 5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs)
