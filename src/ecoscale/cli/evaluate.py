"""`ecoscale evaluate`: measure a bundle on a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecoscale.cli._output import Cache, Precision, Prevalence, prevalences


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder or name.", metavar="BUNDLE", show_default=False)],
    dataset: Annotated[
        str,
        typer.Argument(
            help="Folder or URL of a collection (ecoscale datasets).", metavar="DATASET", show_default=False
        ),
    ],
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
    split: Annotated[
        Path | None, typer.Option(help="A stored split (ecoscale datasets split).", dir_okay=False, show_default=False)
    ] = None,
    part: Annotated[str | None, typer.Option(help="Which part of it.", show_default="test")] = None,
    against: Annotated[
        str | None, typer.Option(help="Another bundle; report the difference with its interval.", show_default=False)
    ] = None,
    prevalence: Prevalence = None,
    precision: Precision = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", file_okay=False, help="Folder of the report.", show_default="evaluation/<bundle>-<name>"
        ),
    ] = None,
    cache: Cache = None,
    resamples: Annotated[int, typer.Option(min=2, help="Bootstrap resamples (by patient).")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings classified at once.")] = 64,
) -> None:
    """Measure a bundle on a collection: per finding and macro, with intervals, plots and a report.

    Says so when records were trained on, or when thresholds were chosen on them. Of a bundle whose classes exclude each
    other, accuracy and log loss are reported too, and each class against the rest. With --prevalence, the probabilities
    and thresholds are those of ecoscale predict --prevalence; 'estimate' does not look at the labels.

    Examples:
      ecoscale evaluate six-findings ptb-xl --folds 9
      ecoscale evaluate bundles/mine ecg-arrhythmia --share 0.75-1 --against six-findings
      ecoscale evaluate six-findings ecg-arrhythmia --share 0.75-1 --prevalence estimate
      ecoscale evaluate bundles/mine CODE-15 --split splits/code15.csv --part test
    """
    import shlex
    import sys

    from ecoscale import measuring
    from ecoscale.bundle import Bundle
    from ecoscale.cli._output import console_on, print_evaluation, tracked
    from ecoscale.datasets import open_collection
    from ecoscale.datasets.remote import local_folder
    from ecoscale.evaluation import write_report
    from ecoscale.prevalence import estimate_prevalences

    if part is not None and split is None:
        raise typer.BadParameter("a part of which split? give --split FILE too", param_hint="--part")
    shares, estimate = prevalences(prevalence)
    stored = None if split is None else (split, part or "test")
    loaded = Bundle.load(bundle)
    rival = None if against is None else Bundle.load(against)
    if rival is not None:
        measuring.check_comparable(loaded, rival)
    opened = open_collection(local_folder(dataset, cache, tracked), collection)
    chosen = measuring.choose_records(opened, _folds(folds), _share(share), stored)

    def classified(which: Bundle) -> measuring.Classified:
        return measuring.classify_records(
            which,
            opened,
            chosen,
            batch_size,
            precision=None if precision is None else precision.value,
            progress=lambda items: tracked(items, f"classifying by {which.title}", int(chosen.sum())),
        )

    def corrected(found: measuring.Classified) -> measuring.Classified:
        estimated = estimate_prevalences(found.bundle, found.probabilities) if estimate else {}
        return found.at_prevalence(estimated | shares)

    first = corrected(classified(loaded))
    remarks, difference = list(first.remarks), None
    if rival is not None:
        second = corrected(classified(rival))
        remarks += [f"{rival.title}: {remark}" for remark in second.exposure]
        difference = measuring.compare(first, second, n_resamples=resamples, seed=seed)
    evaluation = measuring.evaluate_classified(
        first,
        n_resamples=resamples,
        seed=seed,
        command=shlex.join(("ecoscale", *sys.argv[1:])),
        remarks=remarks,
        difference=difference,
    )
    folder = out or Path("evaluation") / f"{loaded.manifest.name}-{opened.name}"
    report = write_report(evaluation, first.labels, first.probabilities, folder, first.uncalibrated)
    first.write_predictions(folder / "predictions.csv")
    console = console_on(sys.stdout)
    print_evaluation(console, evaluation)
    for remark in remarks:
        console.print(remark, style="yellow", markup=False)
    if difference is not None:
        console.print(difference, markup=False)
    console.print(f"report: {report}", markup=False, soft_wrap=True)


def _folds(text: str | None) -> tuple[int, ...] | None:
    """`1-3,9` as 1, 2, 3, 9."""
    if text is None:
        return None
    folds: list[int] = []
    try:
        for piece in text.split(","):
            low, _, high = piece.partition("-")
            if int(low) > int(high or low):
                raise ValueError
            folds.extend(range(int(low), int(high or low) + 1))
    except ValueError:
        raise typer.BadParameter(f"{text!r}; expected numbers such as 9 or 1-8 or 8,9", param_hint="--folds") from None
    return tuple(folds)


def _share(text: str | None) -> tuple[float, float] | None:
    """`0.75-1` as two numbers."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split("-"))
        if not 0 <= low < high <= 1:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}; expected two rising numbers from 0 to 1 such as 0.75-1", param_hint="--share"
        ) from None
    return low, high
