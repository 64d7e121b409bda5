"""`ecoscale finetune`: from a bundle and a folder of your own to a bundle of your own."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer


def finetune(
    bundle: Annotated[
        str,
        typer.Argument(
            help="What to begin from: a bundle's folder or name, or a run.", metavar="BUNDLE", show_default=False
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            help="Your recordings, with labels.csv (docs/collections/folder.md).", metavar="FOLDER", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", file_okay=False, help="A new folder for everything made.", show_default=False),
    ],
    labels: Annotated[
        str | None, typer.Option(help="The table in the folder, if it has another name.", show_default="labels.csv")
    ] = None,
    findings: Annotated[
        str | None, typer.Option(help="Columns to learn: AF,hyperkalaemia.", show_default="all label columns")
    ] = None,
    leads: Annotated[
        str | None, typer.Option(help="Leads to read: I or II,V5.", show_default="what the first record has")
    ] = None,
    parts: Annotated[int, typer.Option(min=3, help="Parts of the cross-validation.")] = 5,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe, as KEY=VALUE; repeatable.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new bundle's name.", show_default="that of --out")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the parts and of the training.")] = 0,
    cross_validate: Annotated[
        bool,
        typer.Option("--cross-validate/--once", help="A network for each part left out; or only the final one."),
    ] = True,
    beside_scratch: Annotated[
        bool, typer.Option("--beside-scratch", help="Train from nothing too, and show the difference.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Fine-tune a bundle on your own recordings: other findings, fewer leads, any rate (needs ecoscale\[train]).

    Each record is told by a network that has not seen its patient (cross-validation).
    Figures, calibration and thresholds are of these answers; then a network trained alike is packed.

    Examples:
      ecoscale finetune six-findings mine --out tuned/mine
      ecoscale finetune six-findings mine --labels 2024.csv --findings AF,wide_qrs -o tuned/mine
      ecoscale finetune six-findings watch --leads I --out tuned/watch --beside-scratch
    """
    import sys

    from rich.console import Console

    from ecoscale.cli._output import changes, console_on, print_evaluation, tracked
    from ecoscale.datasets.processes import silent
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import finetuning
    except ModuleNotFoundError as error:
        raise MissingExtraError("fine-tuning", error.name or "torch", "train") from error

    tuned = finetuning.finetune(
        bundle,
        folder if labels is None else folder / labels,
        out,
        findings=_names(findings),
        leads=_names(leads),
        parts=parts,
        changes=changes(change),
        name=name,
        seed=seed,
        cross_validate=cross_validate,
        beside_scratch=beside_scratch,
        resume=resume,
        progress=silent if quiet else tracked,
    )
    console = console_on(sys.stdout)
    print_evaluation(console, tuned.evaluation)
    if tuned.from_scratch is not None and tuned.difference is not None:
        console.print("From scratch:", markup=False)
        print_evaluation(console, tuned.from_scratch)
        for metric, title in (("auroc", "macro AUROC"), ("average_precision", "macro average precision")):
            interval = tuned.difference.macro[metric]
            console.print(
                f"Fine-tuned minus from scratch, {title}: {interval.estimate:+.3f} "
                f"[{interval.low:+.3f}, {interval.high:+.3f}]",
                markup=False,
            )
    for remark in tuned.remarks:
        console.print(remark, style="yellow", markup=False)
    known = f"; it knew {', '.join(tuned.kept)} already" if tuned.kept else ""
    Console(stderr=True, highlight=False).print(
        f"{tuned.bundle.path}: {tuned.bundle.title}{known}.\n"
        f"Next: ecoscale predict FILE --bundle {tuned.bundle.path}; or change {tuned.recipe} and "
        f"ecoscale train {tuned.recipe} --data folder={folder if labels is None else folder / labels}",
        markup=False,
        soft_wrap=True,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.replace(",", " ").split())
