"""`ecoscale prepare`: a collection to a prepared store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import Cache, CollectionName  # noqa: TC001 - typer reads them at run time

if TYPE_CHECKING:
    from ecoscale.preparation import Preparation


class Numbers(StrEnum):
    """How signals are stored."""

    INT16 = "int16"
    FLOAT16 = "float16"


def prepare(
    name: CollectionName,
    directory: Annotated[
        str, typer.Argument(help="Its folder, as published, or its URL.", metavar="DIR", show_default=False)
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="The store's folder, or its URL.", show_default=False)],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Prepare as this training recipe says; instead of the options below.", show_default=False),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Samples per second.", show_default="100")] = None,
    window: Annotated[int | None, typer.Option(help="Samples of each record.", show_default="1000")] = None,
    highpass: Annotated[
        float | None, typer.Option(min=0, help="Corner of the high-pass in Hz; 0 for none.", show_default="0.5")
    ] = None,
    leads: Annotated[str | None, typer.Option(help="Leads, in order: I,II,V1.", show_default="all twelve")] = None,
    numbers: Annotated[
        Numbers, typer.Option("--dtype", help="int16: steps of 0.001 mV, to 32.8 mV. float16: mV, 11 bits.")
    ] = Numbers.INT16,
    cache: Cache = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then compare every byte of the store with its checksums.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    r"""Prepare a collection for training: signals memory-mapped, a table, checksums (needs ecoscale\[data]).

    Interrupted or killed, the same command goes on where it stopped and ends with the same bytes. Records that cannot
    be read are listed and lose nothing else. Train on it with: ecoscale train RECIPE --data NAME=STORE

    Examples:
      ecoscale prepare ptbxl ptb-xl --out stores/ptbxl-100hz
      ecoscale prepare code15 CODE-15 --out stores/code15 --rate 400 --window 4096 --highpass 0
      ecoscale prepare code15 CODE-15 --out stores/code15 --recipe recipes/mine.yaml
      ecoscale prepare ptbxl ptb-xl --out s3://bucket/stores/ptbxl
    """
    import sys

    from ecoscale.cli._output import console_on, tracked
    from ecoscale.datasets import open_collection, preparing
    from ecoscale.datasets.processes import silent
    from ecoscale.datasets.remote import local_folder, prepare_at_url
    from ecoscale.errors import EcoscaleError
    from ecoscale.storage import is_url

    asked = {"rate": rate, "window": window, "highpass": highpass, "leads": leads}
    preparation = _preparation(recipe, {key: value for key, value in asked.items() if value is not None})
    progress = silent if quiet else tracked
    collection = open_collection(local_folder(directory, cache, progress), name)
    console = console_on(sys.stdout)
    for note in collection.notes:
        console.print(note, style="yellow", markup=False)
    options = {"dtype": numbers.value, "workers": workers, "progress": progress}
    try:
        if is_url(out):
            store = prepare_at_url(collection, preparation, out, cache=cache, verify=verify, **options)
        else:
            store = preparing.prepare(collection, preparation, out, **options)
            if verify:
                store.verify(lambda blocks: tracked(blocks, "verifying", show=not quiet))
    except KeyboardInterrupt:
        raise EcoscaleError(f"{out}: interrupted; the same command goes on from where it stopped") from None
    size = sum(path.stat().st_size for path in store.path.iterdir())
    console.print(f"{out}: {len(store):,} records, {size / 1e9:.2f} GB", markup=False, soft_wrap=True)
    if is_url(out):
        console.print(f"this machine's copy: {store.path}", markup=False, soft_wrap=True)
    unreadable = store.manifest.unreadable
    for record, reason in list(unreadable.items())[:3]:
        console.print(f"left out: {record}: {reason}", style="yellow", markup=False, soft_wrap=True)
    if len(unreadable) > 3:
        console.print(f"left out: {len(unreadable) - 3:,} more, see {store.path / 'manifest.json'}", markup=False)
    for code, count in store.warnings().items():
        console.print(f"warning {code}: {count:,} records", style="yellow", markup=False)


def _preparation(recipe: Path | None, asked: dict) -> Preparation:
    """The preparation that the options or the recipe ask for."""
    from pydantic import ValidationError

    from ecoscale.errors import MissingExtraError
    from ecoscale.preparation import Preparation

    if recipe is not None:
        if asked:
            raise typer.BadParameter("the recipe says how; leave this option out", param_hint=f"--{next(iter(asked))}")
        try:
            from ecoscale.training import load_recipe
        except ModuleNotFoundError as error:
            raise MissingExtraError("reading a recipe", error.name or "torch", "train") from error
        return load_recipe(recipe).preparation
    if "leads" in asked:
        asked["leads"] = tuple(asked["leads"].replace(",", " ").split())
    if asked.get("highpass") == 0:
        asked["highpass"] = None
    try:
        return Preparation(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        hint = f"--{first['loc'][0]}" if first["loc"] else "--highpass"
        raise typer.BadParameter(first["msg"].removeprefix("Value error, "), param_hint=hint) from error
