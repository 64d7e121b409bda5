"""What verbs share: options on files that do not describe themselves, where results go, and the progress bar.

Progress and remarks go to standard error, so that results stay clean.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import Console
    from rich.table import Table

    from ecoscale.evaluation import Evaluation

FAILED = 1
"""Exit status when at least one recording could not be read or classified."""

CAN_WAIT = ("threshold", "AP", "spec.", "sens.")
"""Headings of the columns of figures that a narrow terminal does without, the first to go first."""

UNBOUNDED = 1000
"""Columns of a file or pipe, which has no edge: a table is as wide there as its content."""

Rate = Annotated[
    float | None,
    typer.Option(help="Samples per second, for .npy and tables, which do not state it.", show_default=False),
]
Unit = Annotated[
    str | None,
    typer.Option(
        help="mV, uV or V, for .npy and tables; of other signals any, or one each: g,g,a.u.", show_default=False
    ),
]
Lead_names = Annotated[
    str | None,
    typer.Option(
        "--leads",
        "--channels",
        help="Lead names in order, for .npy and tables: I,II,V1,...; or channels of another signal.",
        show_default=False,
    ),
]
Dialect_file = Annotated[
    Path | None,
    typer.Option("--dialect", help="A YAML file that says how tables are to be read.", show_default=False),
]

Prevalence = Annotated[
    list[str] | None,
    typer.Option(
        help="How common a finding is among these records, as NAME=SHARE, or 'estimate'; repeatable.",
        show_default="as where the bundle was calibrated",
    ),
]


class Numbers(StrEnum):
    """What a network computes with."""

    FP32 = "fp32"
    INT8 = "int8"
    BF16 = "bf16"


Precision = Annotated[
    Numbers | None,
    typer.Option(
        help="What the network computes with; bf16 needs ecoscale\\[openvino].",
        show_default="int8 where the bundle has it, else fp32",
    ),
]

Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Measure heart rate, intervals and axis too; needs ecoscale\\[measure].",
        show_default=False,
    ),
]

Cache = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        help="Folder of the copies of what lies at URLs.",
        envvar="ECOSCALE_CACHE",
        show_default="the user's cache folder",
    ),
]

CollectionName = Annotated[
    str, typer.Argument(help="The collection (ecoscale datasets).", metavar="NAME", show_default=False)
]
CollectionFolder = Annotated[
    Path, typer.Argument(help="Its folder, as published.", metavar="DIR", file_okay=False, show_default=False)
]


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def stated(rate: float | None, unit: str | None, leads: str | None, dialect: Path | None) -> dict[str, Any]:
    """What the user states about files, as options of `read_ecg`."""
    options = {"rate": rate, "unit": unit, "leads": None if leads is None else _names(leads)}
    if dialect is not None:
        from ecoscale.formats.dialect import load_dialect

        options["dialect"] = load_dialect(dialect)
    return {name: value for name, value in options.items() if value is not None}


def _names(text: str) -> list[str]:
    """Names between commas, which may have blanks; without a comma, between blanks."""
    return [name.strip() for name in text.split(",") if name.strip()] if "," in text else text.split()


def tables_wanted(options: Mapping[str, Any]) -> Any:
    """Which tables of a folder are read, as `find_recordings` takes it: those that fit the dialect, or all, or none."""
    return options.get("dialect") or {"rate", "unit"} <= options.keys()


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[str]]:
    """The file at `path`, or standard output."""
    if path is None:
        yield sys.stdout
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream


def console_on(stream: IO[str]) -> Console:
    """A console that writes to `stream`: as wide as the terminal, or as the content where it is a file or a pipe."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else UNBOUNDED, highlight=False)


def counted_ahead(items: Iterable, most: int = 10_000) -> tuple[Iterable, int | None]:
    """The items, and how many there are, if at most so many; beyond, to count them would take memory."""
    from itertools import chain, islice

    waiting = iter(items)
    first = list(islice(waiting, most + 1))
    return (first, len(first)) if len(first) <= most else (chain(first, waiting), None)


def progress_shown() -> bool:
    """Whether progress bars are seen: standard error is a terminal."""
    return sys.stderr.isatty()


def tracked(items: Iterable, description: str, total: int | None = None, *, show: bool = True) -> Iterable:
    """The items, counted by a progress bar where standard error is a terminal."""
    if not show or not progress_shown():
        return items
    return _tracked(items, description, total)


def _tracked(items: Iterable, description: str, total: int | None) -> Iterator:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class PerSecond(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.3g}/s" if speed and speed < 100 else f"{speed or 0:,.0f}/s")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        PerSecond(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # Results that are written to standard output meanwhile must stay there.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        yield from bar.track(items, total=total, description=description)


def counts_by_part(parts: Mapping[str, Mapping[str, int]]) -> Table:
    """A column for each part, a row for what is counted in it."""
    names = next(iter(parts.values()), {})
    return counts_table("", {name: {part: counts[name] for part, counts in parts.items()} for name in names})


def counts_table(heading: str, rows: Mapping[str, Mapping[str, int]]) -> Table:
    """Numbers by row and column."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(heading)
    for name in next(iter(rows.values()), {}):
        table.add_column(name, justify="right")
    for name, counts in rows.items():
        table.add_row(name, *(f"{count:,}" for count in counts.values()))
    return table


def numbers(texts: list[str], option: str, form: str) -> dict[str, float]:
    """`["AF=0.3"]` as numbers by name."""
    found = {}
    for name, value in pairs(texts, option, form).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{name}={value}; expected a number", param_hint=option) from None
    return found


def prevalences(texts: list[str] | None) -> tuple[dict[str, float], bool]:
    """`["AF=0.02", "estimate"]` as what is stated, and whether the others shall be estimated."""
    stated = [text for text in texts or [] if text != "estimate"]
    return numbers(stated, "--prevalence", "NAME=SHARE or estimate"), stated != (texts or [])


def pairs(texts: list[str], option: str, form: str) -> dict[str, str]:
    """`["a=b"]` as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise typer.BadParameter(f"{text!r}; expected {form}", param_hint=option)
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = value
    return found


def changes(texts: list[str] | None) -> dict[str, Any]:
    """What `--set KEY=VALUE` changes, by key; values as YAML reads them: numbers, lists, words."""
    import yaml

    found: dict[str, Any] = {}
    for key, text in pairs(texts or [], "--set", "KEY=VALUE").items():
        try:
            found[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise typer.BadParameter(f"{key}={text}; expected a value as YAML writes it", param_hint="--set") from None
    return found


def recipe_changes(texts: list[str] | None) -> dict[str, Any]:
    """What `--set KEY=VALUE` changes in a recipe, as `load_recipe` takes it."""
    return {key.replace(".", "__"): value for key, value in changes(texts).items()}


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print the figures without vertical rules; where the terminal is too narrow, without the columns that may wait."""
    from rich.box import SIMPLE_HEAD
    from rich.measure import Measurement

    from ecoscale.evaluation import render_table

    table = render_table(evaluation)
    table.box, table.padding, table.show_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    for column in table.columns:
        heading = str(column.header)
        column.min_width = len("[.999, 1.000]") if "[" in heading else max(map(len, heading.split()))
    waiting = [column for heading in CAN_WAIT for column in table.columns if column.header == heading]
    left_out = []
    while waiting and Measurement.get(console, console.options.update(width=1000), table).minimum > console.width:
        left_out.append(waiting[0].header)
        table.columns.remove(waiting.pop(0))
    console.print(table)
    if left_out:
        console.print(f"No room here for {', '.join(left_out)}: see the report.", style="dim", markup=False)
