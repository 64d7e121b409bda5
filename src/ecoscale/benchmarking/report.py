"""A benchmark's figures beside the published ones: Markdown, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ecoscale.benchmarking.figures import CLASS_METRICS
from ecoscale.benchmarking.plot import draw_benchmark
from ecoscale.datasets import named_collection
from ecoscale.evaluation.plots import in_style

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecoscale.benchmarking.figures import Figures
    from ecoscale.benchmarking.protocol import Benchmark, Published
    from ecoscale.benchmarking.scoring import Protocol
    from ecoscale.datasets import Task
    from ecoscale.evaluation import Interval

COLUMNS = ("task", "network", "measured on", "seeds", "parameters", "MMAC", "epochs", "minutes", "macro AUROC")


@dataclass(frozen=True)
class BenchmarkReport:
    """What was measured, by what protocol, and the command that does it again."""

    protocol: Protocol
    figures: tuple[Figures, ...]
    notes: tuple[str, ...] = ()
    command: str = ""

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark."""
        return self.protocol.benchmark

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks measured."""
        collection = named_collection(self.benchmark.name)
        return tuple(collection.task(name) for name in dict.fromkeys(found.task for found in self.figures))

    def figures_of(self, task: Task) -> list[Figures]:
        """Those of one task."""
        return [found for found in self.figures if found.task == task.name]

    def published_on(self, task: Task) -> list[Published]:
        """The published figures of one task."""
        return [one for one in self.benchmark.published if one.task == task.name]

    def rows(self) -> Iterator[dict[str, str]]:
        """`COLUMNS` in words: of each task the models measured, then the published ones."""
        for task in self.tasks:
            for found in self.figures_of(task):
                yield {
                    "task": task.name,
                    "network": _called(found),
                    "measured on": f"fold {self.protocol.folds.test}",
                    "seeds": str(len(found.seeds)),
                    "parameters": f"{found.parameters:,}",
                    "MMAC": f"{found.macs / 1e6:,.1f}",
                    "epochs": f"{found.epochs:g}",
                    "minutes": f"{found.seconds / 60:.1f}",
                    "macro AUROC": _in_words(found.auroc) + ("" if found.spread is None else f" ± {found.spread:.3f}"),
                }
            for one in self.published_on(task):
                yield dict.fromkeys(COLUMNS, "") | {
                    "task": task.name,
                    "network": one.model,
                    "measured on": f"fold {self.benchmark.test} (published)",
                    "macro AUROC": f"{one.macro_auroc:.3f} ({one.uncertainty:.3f})",
                }

    def differences(self) -> Iterator[str]:
        """Each model's difference from the first of its task, a sentence each."""
        for task in self.tasks:
            first, *others = self.figures_of(task)
            for found in others:
                if found.difference is not None:
                    yield f"{task.name}: {_called(found)} minus {_called(first)}: {_in_words(found.difference, '+')}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the table must know."""
        said = [self.protocol.remark, *(f"{note}." for note in self.notes)]
        said.append(
            "Brackets are 95 % intervals by resampling patients, the networks held fixed; ± is the standard deviation "
            "over seeds; MMAC are for one record."
        )
        said += [
            f"{task}: {', '.join(undefined)} have no positives or no negatives among these records and are in no mean."
            for task, undefined in {found.task: found.undefined for found in self.figures}.items()
            if undefined
        ]
        if any(self.published_on(task) for task in self.tasks):
            said.append(
                f"Published figures are of fold {self.benchmark.test} ({self.benchmark.source}); in parentheses "
                f"{self.benchmark.uncertainty}."
            )
        return tuple(said)

    def write(self, folder: Path) -> Path:
        """Write `benchmark.md`, `.csv`, `.json`, `.svg` and `benchmark-classes.csv`; returns the first."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "benchmark.md"
        path.write_text(self.to_markdown(), encoding="utf-8")
        (folder / "benchmark.json").write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        _write_csv(folder / "benchmark.csv", [*self._flat_rows()])
        _write_csv(folder / "benchmark-classes.csv", [*self._class_rows()])
        with in_style():
            figure = draw_benchmark(self)
            figure.savefig(folder / "benchmark.svg", metadata={"Date": None, "Creator": "ecoscale"})
        return path

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with null for NaN."""
        content = {
            "benchmark": self.benchmark.name,
            "source": self.benchmark.source,
            "command": self.command,
            "folds": asdict(self.protocol.folds),
            "epoch": self.protocol.epoch,
            "aggregate": self.protocol.aggregate,
            "remarks": list(self.remarks),
            "figures": [asdict(found) | {"spread": found.spread} for found in self.figures],
            "published": [asdict(one) for task in self.tasks for one in self.published_on(task)],
        }
        return json.loads(json.dumps(_without_nan(content)))

    def to_markdown(self) -> str:
        """The tables: models beside the published ones, then the classes of each."""
        lines = [f"# {self.benchmark.title}", ""]
        if self.command:
            lines += ["```", self.command, "```", ""]
        lines += [*(f"- {remark}" for remark in self.remarks), ""]
        lines += _markdown(COLUMNS, [[row[name] for name in COLUMNS] for row in self.rows()])
        if differences := [*self.differences()]:
            lines += ["", "Differences, on the same resamples:", "", *(f"- {said}" for said in differences)]
        lines += ["", "![Macro AUROC over MACs, by task](benchmark.svg)"]
        for task in self.tasks:
            for found in self.figures_of(task):
                lines += ["", f"## {task.name}, {_called(found)}: {task.title} ({found.n_records:,} records)", ""]
                head = ("class", "meaning", "positives", "AUROC", "average precision", "F1")
                body = [
                    [
                        own.name,
                        task.titles.get(own.name, ""),
                        f"{own.positives:,}",
                        *(_in_words(interval) for interval in (own.auroc, own.average_precision, own.f1)),
                    ]
                    for own in found.classes
                ]
                lines += _markdown(head, body)
        return "\n".join(lines) + "\n"

    def _flat_rows(self) -> Iterator[dict[str, Any]]:
        for task in self.tasks:
            for found in self.figures_of(task):
                yield {
                    "task": task.name,
                    "model": found.model,
                    "trained_on": found.trained_on,
                    "fold": self.protocol.folds.test,
                    "published": 0,
                    "seeds": len(found.seeds),
                    "parameters": found.parameters,
                    "macs": found.macs,
                    "epochs": found.epochs,
                    "seconds": round(found.seconds, 1),
                    "records": found.n_records,
                    "macro_auroc": found.auroc.estimate,
                    "low": found.auroc.low,
                    "high": found.auroc.high,
                    "spread": found.spread,
                    "uncertainty": None,
                    "source": "ecoscale",
                }
            for one in self.published_on(task):
                yield {
                    "task": task.name,
                    "model": one.model,
                    "fold": self.benchmark.test,
                    "published": 1,
                    "macro_auroc": one.macro_auroc,
                    "uncertainty": one.uncertainty,
                    "source": one.source,
                }

    def _class_rows(self) -> Iterator[dict[str, Any]]:
        for found in self.figures:
            for own in found.classes:
                row = {"task": found.task, "model": found.model, "class": own.name, "positives": own.positives}
                for metric in CLASS_METRICS:
                    interval: Interval = getattr(own, metric)
                    row |= {metric: interval.estimate, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
                yield row


def _called(found: Figures) -> str:
    return found.model if found.trained_on == found.task else f"{found.model} (trained for {found.trained_on})"


def _in_words(interval: Interval, sign: str = "") -> str:
    if math.isnan(interval.estimate):
        return "–"  # noqa: RUF001
    return f"{interval.estimate:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def _markdown(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(
            {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
            for row in rows
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
