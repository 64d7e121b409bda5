"""Macro AUROC over what a record costs, a panel a task: models measured here, and the published ones."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ecoscale.complexity import measure_complexity
from ecoscale.models import create_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ecoscale.benchmarking.report import BenchmarkReport
    from ecoscale.datasets import Task

_OURS, _THEIRS = "#2b7bba", "#5d6878"
_PUBLISHED_SAMPLES = 1000
_LEADS = 12


def draw_benchmark(report: BenchmarkReport) -> Figure:
    """One panel a task.

    Filled points with 95 % intervals are measured here, open ones published: at the cost of our network of the same
    body for a whole record, since their authors state none. Published models that ecoscale does not have are lines.
    """
    tasks = report.tasks
    n_columns = min(3, len(tasks))
    n_rows = math.ceil(len(tasks) / n_columns)
    figure = Figure(figsize=(4.4 * n_columns, 3.8 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.set_axis_off()
    for axes, task in zip(grid.flat, tasks, strict=False):
        _panel(axes, report, task)
    return figure


def _panel(axes: Axes, report: BenchmarkReport, task: Task) -> None:
    for found in report.figures_of(task):
        x, shown = found.macs / 1e6, found.auroc
        axes.vlines(x, shown.low, shown.high, color=_OURS, linewidth=2.5, alpha=0.35)
        axes.plot(x, shown.estimate, "o", color=_OURS, markersize=6)
        label = found.model if found.trained_on == task.name else f"{found.model} ({found.trained_on})"
        axes.annotate(label, (x, shown.estimate), xytext=(6, 4), textcoords="offset points", fontsize=7, color=_OURS)
    for one in report.published_on(task):
        if one.network is None:
            axes.axhline(one.macro_auroc, color=_THEIRS, linewidth=0.7, linestyle=(0, (2, 3)))
            at = axes.get_yaxis_transform()
            axes.text(0.01, one.macro_auroc, one.model, transform=at, va="bottom", fontsize=6, color=_THEIRS)
        else:
            x = _macs(one.network, len(task.names)) / 1e6
            axes.plot(x, one.macro_auroc, "o", color=_THEIRS, fillstyle="none", markersize=6)
            place = (x, one.macro_auroc)
            axes.annotate(one.model, place, xytext=(6, -9), textcoords="offset points", fontsize=7, color=_THEIRS)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.35)
    axes.set_title(task.name)
    axes.set_xlabel("MMAC for one record")
    fold = report.protocol.folds.test
    theirs = report.benchmark.test
    axes.set_ylabel(f"macro AUROC, fold {fold}" + ("" if fold == theirs else f" (published: fold {theirs})"))


@cache
def _macs(network: str, n_classes: int) -> int:
    return measure_complexity(create_model(network, _LEADS, n_classes), _LEADS, _PUBLISHED_SAMPLES).macs
