"""`ecoscale quantise`: a bundle's network in 8-bit integers beside the one in float."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from ecoscale.cli._output import Cache  # noqa: TC001 - typer reads it at run time


def quantise(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder or name.", metavar="BUNDLE", show_default=False)],
    data: Annotated[
        list[str],
        typer.Option(
            help="Where a collection of its recipe, or its store, lies: NAME=FOLDER or NAME=URL.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", file_okay=False, help="Folder of the new bundle.", show_default=False)
    ],
    stores: Annotated[
        Path | None, typer.Option(help="Folder of prepared signals.", show_default="stores beside the new bundle")
    ] = None,
    records: Annotated[int, typer.Option(min=8, help="Training records that set the ranges of activations.")] = 512,
    auroc_fall: Annotated[float, typer.Option(min=0, help="Accepted fall of the macro AUROC.")] = 0.002,
    f1_fall: Annotated[
        float, typer.Option(min=0, help="Accepted fall of macro F1, or exclusive classes' accuracy.")
    ] = 0.005,
    even_if_slower: Annotated[
        bool, typer.Option("--even-if-slower", help="Write it though it is no faster on this processor.")
    ] = False,
    cache: Cache = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Add the network in 8-bit integers to a bundle: faster, smaller, as accurate (needs ecoscale\[train]).

    Ranges come from the bundle's training records. What integers cost is measured on its validation records; layers
    that cost too much stay in float. A bundle that would lose more than is accepted, or gain no time, is not written.

    Examples:
      ecoscale quantise bundles/mine --data ptbxl=ptb-xl --out bundles/mine-int8
      ecoscale quantise six-findings --data ptbxl=ptb-xl --data chapman=ecg-arrhythmia --out six
    """
    from rich.console import Console

    from ecoscale.bundle import INTEGER_MODEL, Bundle
    from ecoscale.cli._output import pairs, tracked
    from ecoscale.datasets.processes import silent
    from ecoscale.datasets.remote import local_folder
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import quantising
    except ModuleNotFoundError as error:
        raise MissingExtraError("quantising", error.name or "torch", "train") from error

    progress = silent if quiet else tracked
    made = quantising.quantise(
        Bundle.load(bundle),
        {name: local_folder(place, cache, progress) for name, place in pairs(data, "--data", "NAME=FOLDER").items()},
        out,
        stores=stores or out.parent / "stores",
        records=records,
        auroc_fall=auroc_fall,
        f1_fall=f1_fall,
        even_if_slower=even_if_slower,
        progress=progress,
    )
    integers = made.manifest.integers
    assert integers is not None
    console = Console(highlight=False)
    for figure in integers.figures:
        console.print(f"{integers.measured_on}: {figure}", markup=False, soft_wrap=True)
    sizes = [path.stat().st_size / 1e6 for path in (made.model, made.path / INTEGER_MODEL)]
    in_float = f"{len(integers.in_float)} layers in float ({', '.join(integers.in_float)})" * bool(integers.in_float)
    console.print(
        f"{made.path}: {made.title}, {sizes[1]:.1f} MB in int8 instead of {sizes[0]:.1f} MB, "
        f"{integers.milliseconds[1]:.2f} ms a window on one thread here instead of {integers.milliseconds[0]:.2f}"
        + (f"; {in_float}" if in_float else "")
        + f".\nNext: ecoscale predict FILE --bundle {made.path}",
        markup=False,
        soft_wrap=True,
    )
