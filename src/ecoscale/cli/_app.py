"""The command and its verbs; errors of ecoscale end it with one message and status 2."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ecoscale import __version__
from ecoscale.cli.benchmark import benchmark
from ecoscale.cli.complexity import complexity
from ecoscale.cli.convert import convert
from ecoscale.cli.datasets import datasets
from ecoscale.cli.demo import demo
from ecoscale.cli.design import design
from ecoscale.cli.evaluate import evaluate
from ecoscale.cli.explain import explain
from ecoscale.cli.finetune import finetune
from ecoscale.cli.info import info
from ecoscale.cli.models import models
from ecoscale.cli.pack import pack
from ecoscale.cli.plot import plot
from ecoscale.cli.predict import predict
from ecoscale.cli.prepare import prepare
from ecoscale.cli.quantise import quantise
from ecoscale.cli.reproduce import reproduce
from ecoscale.cli.runs import runs
from ecoscale.cli.serve import serve
from ecoscale.cli.synth import synth
from ecoscale.cli.timeline import timeline
from ecoscale.cli.train import train
from ecoscale.cli.watch import watch
from ecoscale.errors import EcoscaleError
from ecoscale.findings import DISCLAIMER


class _Verbs(TyperGroup):
    """Turns ecoscale's errors, which say what to do, into one message instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EcoscaleError as error:
            _end(str(error))
        except OSError as error:
            # Without a file it is a bug, or the reader of a pipe that went away, which typer knows how to end.
            if error.filename is None:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                _end(f"{error.strerror}; what was being written is not complete: make room, and run it again")
            _end(f"{error.filename}: {error.strerror}")


def _end(message: str) -> NoReturn:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    sys.exit(2)


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
    ("Use", (predict, plot, explain, timeline, info, demo)),
    ("Serve", (serve, watch)),
    ("Data", (convert, prepare)),
    ("Train and measure", (train, finetune, runs, evaluate, benchmark, reproduce, pack, quantise)),
    ("Networks", (models, complexity, design)),
    ("Make", (synth,)),
):
    for verb in verbs:
        app.command(rich_help_panel=group)(verb)
app.add_typer(datasets, name="datasets", rich_help_panel="Data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ecoscale {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - its callback does it, before a verb is asked for
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the command itself."""
    # A service may be started with neither, and what is printed then is not wanted.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name may hold what the terminal's encoding does not.
            stream.reconfigure(errors="backslashreplace")
