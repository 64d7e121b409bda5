"""Runs against each other: the difference of their scores with its interval, and their curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit, softmax

from ecoscale.errors import RecipeError
from ecoscale.evaluation import paired_difference
from ecoscale.evaluation.plots import in_style
from ecoscale.training.run import rank_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.evaluation import PairedDifference
    from ecoscale.training.run import Run

CURVES = {"train_loss": "training loss", "val_loss": "validation loss", "val_macro_auroc": "validation macro AUROC"}

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b2430")
_LINES = ("solid", (0, (5, 2)), (0, (1, 1.5)))


def refuse_other_validation(run: Run, other: Run) -> None:
    """Raise `RecipeError` unless both runs were validated on the same records and findings of one kind."""
    ours, theirs = run.validation, other.validation
    if run.recipe.single_label != other.recipe.single_label:
        single, separate = (run, other) if run.recipe.single_label else (other, run)
        raise RecipeError(
            f"{single.folder}: its classes exclude each other (single_label), the findings of {separate.folder} do "
            "not; they cannot stand side by side"
        )
    if run.recipe.findings != other.recipe.findings or list(ours["records"]) != list(theirs["records"]):
        raise RecipeError(
            f"{other.folder}: validated on other records or findings than {run.folder}; they cannot stand side by side"
        )


def compare_runs(first: Run, second: Run, *, n_resamples: int = 1000, seed: int = 0) -> PairedDifference:
    """The first run's scores on the validation part minus the second's, macro and of each class, with 95 % intervals.

    Patients are resampled, the same for both; both are of their best epoch. AUROC and average precision mean what they
    say; what depends on a threshold is at a probability of 0.5 before calibration or, where classes exclude each other,
    of the most probable class. Raises `RecipeError` if the runs were validated on other records or findings, or have
    not ended an epoch yet.
    """
    refuse_other_validation(first, second)
    ours = first.validation
    threshold = None if first.recipe.single_label else 0.5
    return paired_difference(
        ours["labels"],
        uncalibrated(first),
        uncalibrated(second),
        threshold,
        threshold,
        ours["patients"],
        n_resamples=n_resamples,
        seed=seed,
        names=first.recipe.findings,
    )


def uncalibrated(run: Run) -> NDArray[np.float64]:
    """Probabilities `(records, findings)` of the validation part at the best epoch, as the network gives them."""
    logits = run.validation["logits"].astype(np.float64)
    return softmax(logits, axis=1) if run.recipe.single_label else expit(logits)


def draw_curves(runs: Sequence[Run], path: Path) -> None:
    """Draw the histories of runs, a panel each for losses and score, their best epochs dotted, into an image file.

    Raises `RecipeError` if none has ended an epoch, or the path's suffix is of no image.
    """
    begun = [run for run in runs if run.history]
    if not begun:
        raise RecipeError(f"{', '.join(str(run.folder) for run in runs)}: no epoch has ended yet; nothing to draw")
    with in_style():
        figure = Figure(figsize=(12, 3.8), layout="constrained")
        kinds = figure.canvas.get_supported_filetypes()
        if path.suffix.removeprefix(".") not in kinds:
            raise RecipeError(f"{path}: not the name of an image; expected one that ends in {', '.join(sorted(kinds))}")
        panels = figure.subplots(1, len(CURVES))
        for position, run in enumerate(begun):
            colour = _COLOURS[position % len(_COLOURS)]
            line = _LINES[position // len(_COLOURS) % len(_LINES)]
            epochs = [row["epoch"] for row in run.history]
            best = run.history.index(max(run.history, key=rank_of))
            for axes, name in zip(panels, CURVES, strict=True):
                values = [row[name] for row in run.history]
                axes.plot(epochs, values, color=colour, linestyle=line, linewidth=1.5, label=run.folder.name)
                axes.plot(epochs[best], values[best], "o", color=colour, markersize=5)
        for axes, title in zip(panels, CURVES.values(), strict=True):
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[-1].legend(fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix in (".svg", ".pdf") else None)
