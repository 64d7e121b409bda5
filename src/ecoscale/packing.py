"""From a training run to a bundle: calibration and thresholds from its validation part, the export, the model card."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ecoscale import __version__
from ecoscale.bundle import RELIABILITY, Label, Manifest, write_bundle
from ecoscale.calibration import METHODS
from ecoscale.complexity import measure_complexity
from ecoscale.datasets import list_collections, named_collection
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.errors import RecipeError
from ecoscale.evaluation import (
    choose_thresholds,
    compare_calibrations,
    evaluate,
    fit_calibration,
    operating_points,
)
from ecoscale.evaluation.plots import draw_reliability, save_png
from ecoscale.evaluation.thresholds import DEFAULT_THRESHOLD
from ecoscale.export import export_onnx, export_weights
from ecoscale.findings import DISCLAIMER, FINDINGS
from ecoscale.training.comparing import refuse_other_validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ecoscale.bundle import Bundle
    from ecoscale.calibration import Calibration, CalibrationMethod
    from ecoscale.complexity import Complexity
    from ecoscale.evaluation import CalibrationComparison, ChosenThresholds, Evaluation
    from ecoscale.preparation import Preparation
    from ecoscale.training import Run
    from ecoscale.training.recipe import Part, Recipe

SELF_TEST_CASES: tuple[tuple[str, ...], ...] = ((), ("AF",), ("LBBB",), ("SB", "1dAVb"))
"""Synthetic ECGs that make the self-test's input."""

MOST_PROBABLE = "none: the classes exclude each other, and the most probable one is the answer"
"""What stands in place of how thresholds were chosen."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run's best epoch on its validation part, with the calibration and thresholds chosen there.

    Classes that exclude each other have no thresholds.
    """

    run: Run
    calibration: Calibration
    thresholds: ChosenThresholds | None
    chosen: str
    evaluation: Evaluation
    cost: Complexity

    @property
    def seconds(self) -> float:
        """Training time."""
        return sum(row["seconds"] for row in self.run.history)


def measure_run(
    run: Run,
    sensitivity: float | None = None,
    calibration: CalibrationMethod | None = None,
    fewest_positives: int = 1,
) -> MeasuredRun:
    """Fit the calibration and then choose thresholds on a run's validation part, and measure there.

    Thresholds are F1-optimal or, with `sensitivity`, the highest that have at least that sensitivity; with fewer than
    `fewest_positives` a finding keeps 0.5. The calibration is by default Platt's. Where classes exclude each other
    (`Recipe.single_label`) it is by default one temperature, and there are no thresholds.

    Raises `EvaluationError` for a sensitivity that is not above 0 and up to 1, and for a calibration that is unknown or
    not for exclusive classes; `RecipeError` for an option of thresholds where there are none.
    """
    recipe, preparation, validation = run.recipe, run.preparation, run.validation
    labels, logits = validation["labels"], validation["logits"]
    single = recipe.single_label
    if single and (sensitivity is not None or fewest_positives != 1):
        option = "sensitivity" if sensitivity is not None else "fewest_positives"
        raise RecipeError(
            f"{run.folder}: the classes of this run exclude each other, and the most probable one is the answer; "
            f"{option} is of thresholds, which there are none of: leave it out"
        )
    method = calibration or ("temperature" if single else "platt")
    fitted = fit_calibration(labels, logits, method, recipe.findings, single_label=single)
    probabilities = fitted.probabilities(logits)
    part = _validated_on(run)
    thresholds, chosen = None, MOST_PROBABLE
    if not single:
        thresholds = choose_thresholds(
            labels,
            probabilities,
            "f1" if sensitivity is None else "sensitivity",
            target=sensitivity,
            names=recipe.findings,
            fewest_positives=fewest_positives,
        )
        how = "F1-optimal" if sensitivity is None else f"the highest with a sensitivity of {sensitivity:g}"
        chosen = f"{how} for each finding on the validation part ({part}), after calibration"
    evaluation = evaluate(
        labels,
        probabilities,
        None if thresholds is None else thresholds.values,
        recipe.findings,
        validation["patients"],
        context={"dataset": part, "thresholds": chosen, "thresholds_chosen_here": not single},
    )
    cost = measure_complexity(run.load_network(), preparation.n_channels, preparation.window)
    return MeasuredRun(run, fitted, thresholds, chosen, evaluation, cost)


def pack(
    run: Run,
    folder: Path,
    *,
    name: str | None = None,
    version: str = "1",
    beside: Sequence[Run] = (),
    sensitivity: float | None = None,
    calibration: CalibrationMethod | None = None,
    fewest_positives: int = 1,
) -> Bundle:
    """Make a bundle of a run's best epoch.

    Each finding's calibration and threshold are chosen on the run's validation part (`measure_run`); the figures in the
    bundle and its card are of the same part, beside cross-fitted ones that are not optimistic, among them those of
    every method of calibration and the reliability plot. The card also shows the runs `beside`, measured alike;
    `RecipeError` is raised if they were validated on other records or findings.
    """
    for other in beside:
        refuse_other_validation(run, other)
    measured, *others = (measure_run(each, sensitivity, calibration, fewest_positives) for each in (run, *beside))
    recipe, preparation, validation = run.recipe, run.preparation, run.validation
    compared = compare_calibrations(
        validation["labels"],
        validation["logits"],
        validation["patients"],
        recipe.findings,
        n_folds=min(5, len(set(validation["patients"].tolist()))),
        single_label=recipe.single_label,
    )
    method = measured.calibration.method
    part = _validated_on(run)
    self_test = _self_test_signals(preparation)
    network = run.load_network()
    exported = export_onnx(network, self_test)
    manifest = Manifest(
        name=name or recipe.name,
        version=version,
        created=datetime.now(UTC).date().isoformat(),
        description=recipe.description,
        labels=_labels(measured),
        single_label=recipe.single_label,
        preparation=preparation,
        thresholds_chosen="; ".join((measured.chosen, *_left(measured.thresholds))),
        calibration=method,
        calibration_chosen="; ".join((_calibration_in_words(method, part), *measured.calibration.warnings)),
        calibrations_compared=compared.figures,
        network={
            "model": recipe.model.name,
            "config": recipe.model.config,
            "parameters": measured.cost.parameters,
            "macs": measured.cost.macs,
        },
        provenance={
            "ecoscale": __version__,
            "recipe": recipe.model_dump(mode="json"),
            # The command names folders of the machine that it ran on.
            "environment": {name: value for name, value in run.environment.items() if name != "command"},
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
        _reliability(measured, compared),
        export_weights(network, self_test),
    )


def _labels(measured: MeasuredRun) -> tuple[Label, ...]:
    """The findings with what was chosen on the validation part."""
    recipe, truth = measured.run.recipe, measured.run.validation["labels"]
    probabilities = measured.calibration.probabilities(measured.run.validation["logits"])
    found = []
    for column, finding in enumerate(recipe.findings):
        curve, at = measured.calibration.curves[column], measured.evaluation.metrics.classes[column]
        chosen = measured.thresholds
        f1_optimal = chosen is not None and chosen.method == "f1" and finding not in chosen.left
        found.append(
            Label(
                name=finding,
                title=_title(recipe, finding),
                snomed=_snomed(recipe, finding),
                threshold=None if chosen is None else float(chosen.values[column]),
                slope=curve.slope,
                intercept=curve.intercept,
                knots=curve.knots,
                prevalence=at.positives / (at.positives + at.negatives) if at.positives and at.negatives else None,
                operating_points=operating_points(truth[:, column], probabilities[:, column]) if f1_optimal else (),
            )
        )
    return tuple(found)


def _left(thresholds: ChosenThresholds | None) -> list[str]:
    """Which findings kept the threshold that they began with, if any."""
    if thresholds is None or not thresholds.left:
        return []
    return [f"left at {DEFAULT_THRESHOLD:g} for want of positives to choose by: {', '.join(thresholds.left)}"]


def _calibration_in_words(method: CalibrationMethod, part: str) -> str:
    return METHODS[method] if method == "none" else f"{METHODS[method]} on the validation part ({part})"


def _reliability(measured: MeasuredRun, compared: CalibrationComparison) -> bytes:
    """The reliability plot as PNG: cross-fitted probabilities, and those without calibration behind them."""
    chosen = compared.probabilities[measured.calibration.method]
    labels = measured.run.validation["labels"]
    uncalibrated = None if measured.calibration.method == "none" else compared.probabilities["none"]
    with io.BytesIO() as stream:
        save_png(draw_reliability(measured.evaluation, labels, chosen, uncalibrated), stream)
        return stream.getvalue()


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
        methods=METHODS,
        reliability=RELIABILITY,
        training=describe_parts(recipe.data.train),
        validation=_validated_on(measured.run),
        cross_validated=measured.run.validated_on is not None,
        begun=measured.run.environment.get("pretrained"),
        collections=[list_collections()[name] for name in recipe.collections],
        disclaimer=DISCLAIMER,
    )


def _self_test_signals(preparation: Preparation) -> np.ndarray:
    """Windows `(batch, channels, samples)` as the network reads them; of other signals than ECGs, white noise."""
    if not preparation.is_ecg:
        shape = (len(SELF_TEST_CASES), preparation.n_channels, preparation.window)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
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
