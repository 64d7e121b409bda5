"""An evaluation as one object, as JSON, as a page and as a table in the terminal."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import TypeAdapter
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ecoscale.evaluation._arrays import EvaluationError, checked, checked_names, checked_thresholds, patient_index
from ecoscale.evaluation.bootstrap import BootstrapIntervals, Interval, bootstrap_intervals
from ecoscale.evaluation.confusion import Confusion, confusion_table
from ecoscale.evaluation.metrics import Metrics, decimals, measure
from ecoscale.evaluation.plots import MOST_PANELS, draw_all, inline_svg, save_png, shown_classes
from ecoscale.evaluation.single_label import overall_intervals
from ecoscale.evaluation.thresholds import CrossFittedF1, cross_fitted_f1
from ecoscale.findings import DISCLAIMER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

OPTIMISTIC = (
    "The thresholds were chosen on these same records, so F1, sensitivity and specificity at them are optimistic. "
    "The cross-fitted F1 is the fair figure: each record is decided at a threshold that other patients chose. "
    "AUROC and average precision need no threshold and are not concerned."
)

OVERALL_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
}

METRIC_TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ece": "calibration error",
    "brier": "Brier score",
}

_CONTEXT_TITLES = {
    "bundle": "Bundle",
    "dataset": "Dataset",
    "folds": "Folds",
    "thresholds": "Thresholds",
    "calibration": "Calibration",
    "command": "Command",
}


@dataclass(frozen=True)
class Evaluation:
    """What a network is worth on a set of labelled records.

    - `context`: what was evaluated, see `evaluate`.
    - `metrics`: at the chosen thresholds; `at_half`: at 0.5. Of classes that exclude each other the most probable one
      is decided for: `at_half` is None, and `overall` holds what they are worth together, with intervals.
    - `intervals`: at the chosen thresholds, by resampling patients.
    - `confusion`: at the chosen thresholds.
    - `cross_fitted`: only where the thresholds were chosen on these records.
    """

    context: dict[str, Any]
    names: tuple[str, ...]
    n_records: int
    n_patients: int
    metrics: Metrics
    at_half: Metrics | None
    intervals: BootstrapIntervals
    confusion: Confusion
    cross_fitted: CrossFittedF1 | None
    disclaimer: str = DISCLAIMER
    overall: dict[str, Interval] | None = None

    @property
    def thresholds_chosen_here(self) -> bool:
        """Whether the thresholds were chosen on the records that they are measured on."""
        return bool(self.context.get("thresholds_chosen_here"))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with null for NaN."""
        return json.loads(_ADAPTER.dump_json(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `to_dict` wrote; raises `EvaluationError` for anything else."""
        try:
            return _ADAPTER.validate_python(dict(values))
        except ValueError as error:
            raise EvaluationError(f"this is not an evaluation that ecoscale wrote: {error}") from error


_ADAPTER = TypeAdapter(Evaluation)


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None,
    names: Sequence[str],
    patients: ArrayLike | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    context: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measure a network's probabilities against labels.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown.
    probabilities
        `(records, classes)`, in [0, 1].
    thresholds
        `(classes,)`; a probability that reaches it counts as present. None: the classes exclude each other, each record
        is of one, or of none that is known, and the most probable one is decided for.
    names
        The classes' names.
    patients
        `(records,)` ids, by which records are resampled; None makes each record its own patient.
    n_resamples, seed
        Of the bootstrap intervals.
    context
        What the report says of where the figures come from: `bundle`, `dataset`, `folds`, `thresholds` (how they were
        chosen), `command`, and whatever else is worth a line; JSON values. With `thresholds_chosen_here` true, the
        report says that F1 is optimistic, and the cross-fitted F1 is computed. `n_records` and `n_patients` are
        refused where they contradict the arrays.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together, or the context is not JSON or contradicts them.
    """
    single_label = thresholds is None
    truth, scores = checked(labels, probabilities, single_label=single_label)
    n_records, n_classes = truth.shape
    names = checked_names(names, n_classes)
    thresholds = None if thresholds is None else checked_thresholds(thresholds, n_classes)
    _, n_patients = patient_index(patients, n_records)
    context = dict(context or {})
    for key, counted in (("n_records", n_records), ("n_patients", n_patients)):
        if context.pop(key, counted) != counted:
            raise EvaluationError(f"the context's {key} is not the {counted} that the arrays hold")
    try:
        json.dumps(context, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"the context holds something that JSON cannot: {error}") from error
    chosen_here = bool(context.get("thresholds_chosen_here"))
    if chosen_here and single_label:
        raise EvaluationError(
            "the context says that thresholds were chosen here; classes that exclude each other have none"
        )
    return Evaluation(
        context=context,
        names=names,
        n_records=n_records,
        n_patients=n_patients,
        metrics=measure(truth, scores, thresholds, names),
        at_half=None if single_label else measure(truth, scores, 0.5, names),
        intervals=bootstrap_intervals(
            truth, scores, thresholds, patients, n_resamples=n_resamples, seed=seed, names=names
        ),
        confusion=confusion_table(truth, scores, thresholds, names),
        cross_fitted=cross_fitted_f1(truth, scores, patients, names, n_folds=min(5, n_patients), seed=seed)
        if chosen_here
        else None,
        overall=overall_intervals(truth, scores, patients, n_resamples, seed=seed) if single_label else None,
    )


def write_report(
    evaluation: Evaluation,
    labels: ArrayLike,
    probabilities: ArrayLike,
    folder: str | Path,
    uncalibrated: ArrayLike | None = None,
) -> Path:
    """Write `evaluation.json`, the figures as PNG and `report.html`, which needs no other file; return its path.

    `labels` and `probabilities` are those that were evaluated: the curves are drawn from them. With the `uncalibrated`
    probabilities, the reliability curves show both. The folder is made if it is not there; files of these names in it
    are replaced.

    Raises
    ------
    EvaluationError
        If the arrays are not of the evaluation's size.
    """
    truth, scores = checked(labels, probabilities, single_label=evaluation.overall is not None)
    if truth.shape != (evaluation.n_records, len(evaluation.names)):
        raise EvaluationError(
            f"labels have shape {truth.shape}; the evaluation is of {evaluation.n_records} records and "
            f"{len(evaluation.names)} classes"
        )
    before = None if uncalibrated is None else checked(labels, uncalibrated)[1]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "evaluation.json").write_text(document + "\n", encoding="utf-8")
    figures = draw_all(evaluation, truth, scores, before)
    for name, figure in figures.items():
        save_png(figure, folder / f"{name}.png")
    page = folder / "report.html"
    shown = {name: inline_svg(figure) for name, figure in figures.items()}
    page.write_text(_render(evaluation, shown, both_curves=before is not None), "utf-8")
    return page


def render_table(evaluation: Evaluation) -> Table:
    """The figures as a table for the terminal, intervals beside AUROC and F1."""
    if evaluation.overall is not None:
        return _single_label_table(evaluation, evaluation.overall)
    level = f"{100 * evaluation.intervals.level:.0f} %"
    fitted = evaluation.cross_fitted
    table = Table(
        title=escape(_title(evaluation)),
        caption=(OPTIMISTIC + " " if fitted else "")
        + f"Brackets: {level} intervals over {evaluation.n_patients} patients, "
        + f"{evaluation.intervals.n_resamples} resamples. {evaluation.disclaimer}",
        caption_justify="left",
    )
    table.add_column("finding")
    headings = ["positives", f"AUROC [{level}]", "AP", f"F1 [{level}]", "sens.", "spec.", "threshold", "F1 at 0.5"]
    for heading in headings:
        table.add_column(heading, justify="right")
    if fitted:
        table.add_column("F1 cross-fitted", justify="right")
    assert evaluation.at_half is not None
    for found, half in zip(evaluation.metrics.classes, evaluation.at_half.classes, strict=True):
        intervals = evaluation.intervals.classes[found.name]
        table.add_row(
            escape(found.name),
            str(found.positives),
            with_interval(intervals["auroc"]),
            decimals(found.average_precision),
            with_interval(intervals["f1"]),
            decimals(found.sensitivity),
            decimals(found.specificity),
            decimals(found.threshold),
            decimals(half.f1),
            *([decimals(fitted.f1[found.name])] if fitted else []),
        )
    table.add_section()
    macro = evaluation.metrics.macro
    table.add_row(
        "macro",
        "",
        with_interval(evaluation.intervals.macro["auroc"]),
        decimals(macro["average_precision"]),
        with_interval(evaluation.intervals.macro["f1"]),
        decimals(macro["sensitivity"]),
        decimals(macro["specificity"]),
        "",
        decimals(evaluation.at_half.macro["f1"]),
        *([decimals(fitted.macro)] if fitted else []),
        style="bold",
    )
    return table


def _single_label_table(evaluation: Evaluation, overall: Mapping[str, Interval]) -> Table:
    """The same of classes that exclude each other, and below it what they are worth together."""
    level = f"{100 * evaluation.intervals.level:.0f} %"
    together = ", ".join(f"{title} {with_interval(overall[metric])}" for metric, title in OVERALL_TITLES.items())
    table = Table(
        title=escape(_title(evaluation)),
        caption=Text.assemble(
            (f"All classes together: {together}.", "not italic not dim"),
            f"\nEach class is against the rest; a record's class is its most probable one. Brackets: {level} intervals "
            f"over {evaluation.n_patients} patients, {evaluation.intervals.n_resamples} resamples. "
            f"{evaluation.disclaimer}",
        ),
        caption_justify="left",
    )
    table.add_column("class")
    for heading in ("records", f"AUROC [{level}]", "AP", f"F1 [{level}]", "sens.", "spec.", "PPV"):
        table.add_column(heading, justify="right")
    for found in evaluation.metrics.classes:
        intervals = evaluation.intervals.classes[found.name]
        table.add_row(
            escape(found.name),
            str(found.positives),
            with_interval(intervals["auroc"]),
            decimals(found.average_precision),
            with_interval(intervals["f1"]),
            *(decimals(value) for value in (found.sensitivity, found.specificity, found.ppv)),
        )
    table.add_section()
    macro = evaluation.metrics.macro
    table.add_row(
        "macro",
        str(evaluation.metrics.classes[0].positives + evaluation.metrics.classes[0].negatives),
        with_interval(evaluation.intervals.macro["auroc"]),
        decimals(macro["average_precision"]),
        with_interval(evaluation.intervals.macro["f1"]),
        *(decimals(macro[metric]) for metric in ("sensitivity", "specificity", "ppv")),
        style="bold",
    )
    return table


def with_interval(interval: Interval) -> str:
    """The estimate with its interval in brackets; a dash for NaN."""
    if math.isnan(interval.estimate):
        return decimals(interval.estimate)
    return f"{decimals(interval.estimate)} [{decimals(interval.low)}, {decimals(interval.high)}]"


def _title(evaluation: Evaluation) -> str:
    bundle, dataset = (str(evaluation.context.get(key) or "") for key in ("bundle", "dataset"))
    return " on ".join(part for part in (bundle, dataset) if part) or "Evaluation"


def _render(evaluation: Evaluation, figures: Mapping[str, str], *, both_curves: bool) -> str:
    environment = Environment(
        loader=PackageLoader("ecoscale.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimals": decimals, "with_interval": with_interval}
    overall = (
        None if evaluation.overall is None else [(OVERALL_TITLES[name], at) for name, at in evaluation.overall.items()]
    )
    shown = shown_classes(evaluation)
    undefined = [
        (METRIC_TITLES[metric], names) for metric, names in evaluation.metrics.undefined.items() if metric != "npv"
    ]
    seldom = [
        (name, METRIC_TITLES[metric], interval.undefined)
        for name, intervals in evaluation.intervals.classes.items()
        for metric, interval in intervals.items()
        if 0 < interval.undefined < 1
    ]
    return environment.get_template("report.html").render(
        evaluation=evaluation,
        overall=overall,
        title=_title(evaluation),
        context=[
            (_CONTEXT_TITLES.get(key, key), ", ".join(map(str, value)) if isinstance(value, list | tuple) else value)
            for key, value in evaluation.context.items()
            if key != "thresholds_chosen_here"
        ],
        optimistic=OPTIMISTIC,
        figures={name: Markup(svg) for name, svg in figures.items()},
        only_weakest=MOST_PANELS if len(shown) < len(evaluation.names) and len(shown) == MOST_PANELS else 0,
        both_curves=both_curves,
        undefined=undefined,
        seldom=seldom,
    )
