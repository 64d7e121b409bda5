"""`ecoscale evaluate`: measure a bundle on a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder or name.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="Folder of a collection (ecoscale datasets).", show_default=False)],
    collection: Annotated[
        str | None, typer.Option(help="Which collection it is.", show_default="recognised by content")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="The publisher's folds: 9 or 1-8 or 8,9.", show_default="all")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(help="A share of the patients, as training recipes give it: 0.75-1.", show_default="all"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another bundle; report the difference with its interval.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the report.", show_default="evaluation/<bundle>-<name>"),
    ] = None,
    resamples: Annotated[int, typer.Option(min=2, help="Bootstrap resamples (by patient).")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings classified at once.")] = 64,
) -> None:
    """Measure a bundle on a collection: per finding and macro, with intervals, plots and a report.

    Says so when records were trained on, or when thresholds were chosen on them.

    Examples:

      ecoscale evaluate six-findings ptb-xl --folds 9

      ecoscale evaluate bundles/mine ecg-arrhythmia --share 0.75-1 --against six-findings
    """
    import sys

    from rich.console import Console

    from ecoscale import measuring
    from ecoscale.bundle import Bundle
    from ecoscale.cli._output import tracked
    from ecoscale.datasets import open_collection
    from ecoscale.evaluation import render_table, write_report

    console = Console(highlight=False)
    opened = open_collection(dataset, collection)
    chosen = measuring.choose_records(opened, _folds(folds), _share(share))
    loaded = Bundle.load(bundle)
    command = "ecoscale " + " ".join(sys.argv[1:])

    def classified(which: Bundle) -> measuring.Classified:
        return measuring.classify_records(
            which, opened, chosen, batch_size, progress=lambda items: tracked(items, f"classifying by {which.title}")
        )

    first = classified(loaded)
    evaluation = measuring.evaluate_classified(first, n_resamples=resamples, seed=seed, command=command)
    folder = out or Path("evaluation") / f"{loaded.manifest.name}-{opened.name}"
    report = write_report(evaluation, first.labels, first.probabilities, folder)
    first.write_predictions(folder / "predictions.csv")
    console.print(render_table(evaluation))
    for remark in first.remarks:
        console.print(remark, style="yellow", markup=False)
    if against is not None:
        difference = measuring.compare(first, classified(Bundle.load(against)), n_resamples=resamples, seed=seed)
        console.print(difference, markup=False)
    console.print(f"report: {report}", markup=False)


def _folds(text: str | None) -> tuple[int, ...] | None:
    """`1-3,9` as 1, 2, 3, 9."""
    if text is None:
        return None
    folds: list[int] = []
    try:
        for piece in text.split(","):
            low, _, high = piece.partition("-")
            folds.extend(range(int(low), int(high or low) + 1))
    except ValueError:
        raise typer.BadParameter(f"--folds {text!r}; expected numbers such as 9 or 1-8 or 8,9") from None
    return tuple(folds)


def _share(text: str | None) -> tuple[float, float] | None:
    """`0.75-1` as two numbers."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split("-"))
    except ValueError:
        raise typer.BadParameter(f"--share {text!r}; expected two numbers from 0 to 1 such as 0.75-1") from None
    return low, high
