"""The figures of a report: one small panel a class, since good curves drawn on one axis hide each other.

Blue is what is right or measured, vermilion what is wrong: a pair that colour-blind readers tell apart. Matplotlib's
`Figure` is used by itself, without pyplot and its global state.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_curve

from ecoscale.evaluation.metrics import decimals
from ecoscale.evaluation.reliability import reliability_curve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import IO

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ecoscale.evaluation.metrics import ClassMetrics
    from ecoscale.evaluation.report import Evaluation

MOST_PANELS = 12
"""Beyond so many classes, curves are drawn for those with the lowest AUROC only."""

MOST_CELLS_WITH_TEXT = 16

_INK, _PALE, _BLUE, _VERMILION = "#1b2430", "#c3cad4", "#2b7bba", "#d5651a"
# In a page, ink and rules follow the page's light or dark scheme.
_IN_PAGE = {_INK: "currentColor", _PALE: "var(--rule)"}

_STYLE: dict[Any, Any] = {
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "svg.fonttype": "none",
    "svg.hashsalt": "ecoscale",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": _PALE,
    "ytick.color": _PALE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def in_style() -> AbstractContextManager[None]:
    """The style of this room's figures, for whoever draws others."""
    return mpl.rc_context(_STYLE)


def draw_all(
    evaluation: Evaluation,
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    uncalibrated: NDArray[np.float64] | None = None,
) -> dict[str, Figure]:
    """Every figure by the name of its file, without suffix."""
    with mpl.rc_context(_STYLE):
        figures = {
            "precision_recall": _panels(evaluation, labels, [probabilities], _precision_recall, "sensitivity", "PPV"),
            "roc": _panels(evaluation, labels, [probabilities], _roc, "1 - specificity", "sensitivity"),
            "confusion": _confusion(evaluation),
        }
        for figure in figures.values():
            _lay_out(figure)
    return figures | {"reliability": draw_reliability(evaluation, labels, probabilities, uncalibrated)}


def draw_reliability(
    evaluation: Evaluation,
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    uncalibrated: NDArray[np.float64] | None = None,
) -> Figure:
    """A reliability curve for each class; in grey behind it, that of the probabilities without calibration."""
    scores = [probabilities] if uncalibrated is None else [probabilities, uncalibrated]
    with mpl.rc_context(_STYLE):
        figure = _panels(evaluation, labels, scores, _reliability, "predicted", "observed")
        _lay_out(figure)
    return figure


def _lay_out(figure: Figure) -> None:
    """Once: all forms that a figure is saved in have its size."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def draw_over_cost(points: Sequence[Mapping[str, Any]], x_label: str, y_label: str) -> Figure:
    """A figure of merit over a cost on a logarithmic axis.

    Each point has `title`, `cost`, `interval` (an `Interval`), `each` (the single values that it is the mean of) and
    `baseline`, which draws it in vermilion.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        for point in points:
            cost, interval = point["cost"], point["interval"]
            colour = _VERMILION if point["baseline"] else _BLUE
            axes.vlines(cost, interval.low, interval.high, color=colour, linewidth=3, alpha=0.3)
            axes.plot(cost, interval.estimate, "o", color=colour, markersize=7)
            axes.plot([cost] * len(point["each"]), point["each"], ".", color=_INK, markersize=3)
            axes.annotate(
                point["title"],
                (cost, interval.estimate),
                xytext=(7, 5),
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
        axes.set(xscale="log", xlabel=x_label, ylabel=y_label)
        # Plain numbers: powers would need the mathematics that names of findings must not be read as.
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.35)
    return figure


def save_png(figure: Figure, to: Path | IO[bytes]) -> None:
    """Write the figure at a size fit for a document, on white."""
    with mpl.rc_context(_STYLE):
        figure.savefig(to, format="png", dpi=160, facecolor="white", metadata={"Software": "ecoscale"})


def save_svg(figure: Figure, path: Path) -> None:
    """Write the figure as a document of its own, on white."""
    path.write_text(_svg(figure, facecolor="white"), encoding="utf-8")


def _svg(figure: Figure, **background: Any) -> str:
    with mpl.rc_context(_STYLE), io.StringIO() as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "ecoscale"}, **background)
        # Without the blanks at the ends of lines of which matplotlib leaves some.
        return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def inline_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element whose ink follows the page's colours."""
    svg = _svg(figure, transparent=True)
    for colour, in_page in _IN_PAGE.items():
        svg = svg.replace(colour, in_page)
    return svg[svg.index("<svg") :]


def shown_classes(evaluation: Evaluation) -> list[int]:
    """Positions of the classes that get panels: all that have positives and negatives, or the weakest of them."""
    classes = evaluation.metrics.classes
    drawable = [position for position, found in enumerate(classes) if not math.isnan(found.auroc)]
    if len(drawable) > MOST_PANELS:
        drawable = sorted(sorted(drawable, key=lambda position: classes[position].auroc)[:MOST_PANELS])
    return drawable


def _panels(
    evaluation: Evaluation,
    labels: NDArray[np.int8],
    scores: Sequence[NDArray[np.float64]],
    draw: Callable[..., str],
    x_label: str,
    y_label: str,
) -> Figure:
    """One square panel a class, both axes from 0 to 1.

    `draw(axes, found, labels, *scores)` draws what is known of the class and returns what stands beside its name.
    """
    positions = shown_classes(evaluation)
    n_columns = min(3, max(1, len(positions)))
    n_rows = max(1, math.ceil(len(positions) / n_columns))
    figure = Figure(figsize=(2.75 * n_columns, 2.9 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat[len(positions) :]:
        axes.set_axis_off()
    for panel, (axes, position) in enumerate(zip(grid.flat, positions, strict=False)):
        found = evaluation.metrics.classes[position]
        known = labels[:, position] >= 0
        beside = draw(axes, found, labels[known, position], *(each[known, position] for each in scores))
        axes.set_title(found.name)
        axes.set_title(beside, loc="right", fontsize=8.5, fontweight="normal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        if panel % n_columns == 0:
            axes.set_ylabel(y_label)
        if panel + n_columns >= len(positions):
            axes.set_xlabel(x_label)
    if not positions:
        grid[0, 0].text(0.5, 0.5, "no class has both\npositives and negatives", ha="center", va="center")
    return figure


def _operating_point(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", color=_VERMILION, markersize=6, markeredgecolor="white", markeredgewidth=0.8, clip_on=False)


def _precision_recall(axes: Axes, found: ClassMetrics, column: NDArray[np.int8], scores: NDArray[np.float64]) -> str:
    precision, recall, _ = precision_recall_curve(column, scores, drop_intermediate=True)
    axes.axhline(found.positives / column.size, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)
    axes.step(recall, precision, where="post", color=_BLUE, linewidth=1.6, clip_on=False)
    if not math.isnan(found.ppv):
        _operating_point(axes, found.sensitivity, found.ppv)
    return f"AP {decimals(found.average_precision)}"


def _roc(axes: Axes, found: ClassMetrics, column: NDArray[np.int8], scores: NDArray[np.float64]) -> str:
    false_share, sensitivity, _ = roc_curve(column, scores)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)
    axes.plot(false_share, sensitivity, color=_BLUE, linewidth=1.6, clip_on=False)
    _operating_point(axes, 1 - found.specificity, found.sensitivity)
    return f"AUROC {decimals(found.auroc)}"


def _reliability(
    axes: Axes,
    _: ClassMetrics,
    column: NDArray[np.int8],
    scores: NDArray[np.float64],
    uncalibrated: NDArray[np.float64] | None = None,
) -> str:
    curve = reliability_curve(column, scores)
    beside = f"ECE {decimals(curve.expected_calibration_error)}"
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)
    if uncalibrated is not None:
        before = reliability_curve(column, uncalibrated)
        axes.plot(before.predicted, before.observed, "o-", color=_INK, linewidth=0.8, markersize=2.5, alpha=0.35)
        beside += f", was {decimals(before.expected_calibration_error)}"
    positives = np.rint(curve.observed * curve.count).astype(int)
    wilson = [
        binomtest(int(k), int(n)).proportion_ci(method="wilson") for k, n in zip(positives, curve.count, strict=True)
    ]
    low, high = np.array([[interval.low, interval.high] for interval in wilson]).T
    axes.vlines(curve.predicted, low, high, color=_BLUE, linewidth=1, alpha=0.55)
    axes.plot(curve.predicted, curve.observed, color=_BLUE, linewidth=1, alpha=0.55)
    # The area of a point follows the logarithm of its records: counts span four orders of magnitude.
    axes.scatter(curve.predicted, curve.observed, s=6 + 9 * np.log10(curve.count), color=_BLUE, zorder=3, clip_on=False)
    return beside


def _confusion(evaluation: Evaluation) -> Figure:
    table = evaluation.confusion
    n = len(table.names)
    size = max(4.2, min(12.0, 1.6 + 0.72 * n if n <= MOST_CELLS_WITH_TEXT else 1.6 + 0.14 * n))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    shares, wrong = np.array(table.shares), np.array(table.wrong_shares)
    right = np.eye(n, dtype=bool)
    for mask, values, colour in ((right, shares, _BLUE), (~right, wrong, _VERMILION)):
        # Shades by the square root, so that rare mistakes are seen; transparent at zero, as the page is.
        shade = np.where(mask, np.sqrt(np.nan_to_num(values)), 0)
        axes.imshow(np.dstack([np.broadcast_to(to_rgb(colour), (n, n, 3)), 0.85 * shade]))
    if n <= MOST_CELLS_WITH_TEXT:
        for row, column in np.ndindex(n, n):
            share = shares[row, column] if row == column else wrong[row, column]
            number = table.counts[row][column] if row == column else table.wrong[row][column]
            if math.isnan(share) or not number:
                continue
            colour = "white" if share > 0.4 else _INK
            percent = f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
            axes.text(column, row - 0.1, percent, ha="center", va="center", color=colour, fontsize=9)
            axes.text(column, row + 0.2, str(number), ha="center", va="center", color=colour, fontsize=7)
    records = [table.records[row][row] if row < n - 1 else table.records[row][n - 1] for row in range(n)]
    axes.set_xticks(range(n), table.names, rotation=0 if n <= 8 else 90)
    axes.set_yticks(range(n), [f"{name}  ({number})" for name, number in zip(table.names, records, strict=True)])
    axes.tick_params(length=0, labelsize=9 if n <= MOST_CELLS_WITH_TEXT else 6)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="predicted", ylabel="true (records)")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    return figure
