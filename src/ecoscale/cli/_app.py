"""The command and its verbs; errors of ecoscale end it with one message and status 2."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from ecoscale import __version__
from ecoscale.cli.datasets import datasets
from ecoscale.cli.demo import demo
from ecoscale.cli.evaluate import evaluate
from ecoscale.cli.info import info
from ecoscale.cli.models import models
from ecoscale.cli.pack import pack
from ecoscale.cli.predict import predict
from ecoscale.cli.synth import synth
from ecoscale.cli.train import train
from ecoscale.errors import EcoscaleError
from ecoscale.findings import DISCLAIMER


class _Verbs(TyperGroup):
    """Turns ecoscale's errors, which say what to do, into one message instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EcoscaleError as error:
            Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
            sys.exit(2)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


app = typer.Typer(
    cls=_Verbs,
    name="ecoscale",
    help=f"Read 12-lead ECGs and say what they show.\n\n{DISCLAIMER}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group, verbs in (
    ("Use", (predict, info, demo)),
    ("Train and measure", (train, evaluate, pack, models, datasets)),
    ("Make", (synth,)),
):
    for verb in verbs:
        app.command(rich_help_panel=group)(verb)


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Options of the command itself."""
    if version:
        typer.echo(f"ecoscale {__version__}")
        raise typer.Exit
