"""The figures of `results/` in docs/performance.md, README.md and docs/performance.svg: `python benchmarks/page.py`.

Between `<!-- NAME -->` and `<!-- end -->` stands what `BLOCKS[NAME]` makes of the results; all else is written by hand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from measurement import RESULTS, read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.figure import Figure

CLONE = Path(__file__).parents[1]
PAGES = (CLONE / "docs" / "performance.md", CLONE / "README.md")
FIGURE = CLONE / "docs" / "performance.svg"
LONG, SHORT = "4,096 samples at 400 Hz", "1,000 samples at 100 Hz"
_BLOCK = re.compile(r"<!-- (?P<name>[a-z0-9-]+) -->\n(?P<content>.*?)<!-- end -->", re.DOTALL)

Results = dict[str, dict[str, Any]]


def main(folder: Path = RESULTS) -> None:
    """Write the tables into the pages, and the figure."""
    from ecoscale.evaluation.plots import save_svg

    results = load_all(folder)
    for page in PAGES:
        page.write_text(render(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    save_svg(draw(results), FIGURE)


def load_all(folder: Path = RESULTS) -> Results:
    """Every results file of this form, by its name."""
    found = {path.stem: read_results(path) for path in sorted(folder.glob("*.json"))}
    return {name: content for name, content in found.items() if "rows" in content}


def render(text: str, results: Results) -> str:
    """The page with its blocks made anew. Raises `KeyError` for a block that nothing makes."""
    return _BLOCK.sub(lambda block: f"<!-- {block['name']} -->\n{BLOCKS[block['name']](results)}\n<!-- end -->", text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown: the first column to the left, the others to the right."""
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """To three digits, with commas; a dash for what there is not."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def spread(row: dict[str, Any], key: str = "") -> str:
    """Median and quartiles in ms."""
    low, high = row[f"{key}iqr_ms"]
    return f"{number(row[f'{key}median_ms'])} [{number(low)}, {number(high)}]"


def measured(results: Results, file: str, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of a file that have these values."""
    rows = results.get(file, {}).get("rows", [])
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def machines(results: Results) -> str:
    """Where and when each file was measured, and the rate of the matrix product."""
    rows = []
    for name, content in results.items():
        machine, rates = content["machine"], content["matmul_gmacs"]
        features = " ".join(one for one in machine["features"] if one not in ("fma", "avx2")) or "-"
        rows.append(
            [
                f"[{name}](../benchmarks/results/{name}.json)",
                f"`{content['command']}`",
                content["date"][:10],
                f"{machine['processor']}, {machine['cores']} cores",
                features,
                ", ".join(f"{number(rate)} ({threads})" for threads, rate in rates.items()) or "-",
                number(machine.get("load")),
            ]
        )
    headings = ("figures", "command", "date", "machine", "it has", "matrix product, GMAC/s (threads)", "load before")
    return table(headings, rows)


def notes(results: Results) -> str:
    """What the files say of themselves."""
    return "\n".join(f"- {name}: {note}" for name, content in results.items() for note in content["notes"])


def engines(results: Results) -> str:
    """One network in several engines: a table for each network."""
    rows = [row for row in measured(results, "networks") if "skipped" not in row]
    if not rows:
        return "Not measured yet."
    by_network = defaultdict(list)
    for row in rows:
        by_network[row.get("network", "")].append(row)
    headings = ("engine", "batch", "threads", "ms [quartiles]", "times as fast", "floor, ms", "records/s")
    parts = []
    for network, members in by_network.items():
        lines = [
            [
                row["name"],
                str(row["batch"]),
                str(row["threads"]),
                spread(row),
                number(row.get("ratio")),
                number(row.get("floor_ms")),
                number(1e3 * row["batch"] / row["median_ms"]),
            ]
            for row in members
        ]
        parts.append((f"{network}\n\n" if network else "") + table(headings, lines))
    return "\n\n".join(parts) + skipped(measured(results, "networks"))


def latency(shape: str) -> Callable[[Results], str]:
    """One record through every network."""

    def block(results: Results) -> str:
        rows = measured(results, "peers", kind="network", input=shape)
        singles = {row["name"]: row for row in rows if row.get("threads") == 1 and row.get("batch") == 1}
        doubles = {row["name"]: row for row in rows if row.get("threads") == 2 and row.get("batch") == 1}
        lines = [
            [
                name,
                f"{row['parameters']:,}",
                number(row["macs"] / 1e9),
                number(row["floor_ms"]),
                spread(row),
                number(row["ratio"]),
                *((spread(doubles[name]), number(doubles[name]["ratio"])) if name in doubles else ("-", "-")),
                number(row["peak_mb"]),
            ]
            for name, row in singles.items()
        ]
        headings = ("network", "parameters", "GMAC", "floor, ms", "1 thread, ms", "times as fast")
        return table((*headings, "2 threads, ms", "times as fast", "memory, MB"), lines) + skipped(rows)

    return block


def throughput(shape: str) -> Callable[[Results], str]:
    """Many records at once through every network."""

    def block(results: Results) -> str:
        rows = measured(results, "peers", kind="network", input=shape)
        singles = {row["name"]: row for row in rows if row.get("threads") == 1}  # the later one is of the larger batch
        doubles = {row["name"]: row for row in rows if row.get("threads") == 2}
        lines = [
            [
                name,
                str(row["batch"]),
                number(1e3 * row["batch"] / row["floor_ms"]),
                number(row["records_per_s"]),
                number(row["ratio"]),
                *(
                    (number(doubles[name]["records_per_s"]), number(doubles[name]["ratio"]))
                    if name in doubles
                    else ("-", "-")
                ),
                number(row["peak_mb"]),
            ]
            for name, row in singles.items()
        ]
        headings = ("network", "batch", "at the floor, records/s", "1 thread, records/s", "times as fast")
        return table((*headings, "2 threads, records/s", "times as fast", "memory, MB"), lines)

    return block


def packages(results: Results) -> str:
    """Size and import time of what one installs."""
    rows = measured(results, "peers", kind="package")
    lines = []
    for row in rows:
        size = row.get("install_mb")
        lines.append(
            [
                f"`{row['name']}`",
                number(None if size is None else row["distributions"]),
                number(None if size is None else size - row["torch_mb"]),
                number(size),
                f"`{row['statement']}`",
                "-" if "skipped" in row else spread(row, "import_"),
            ]
        )
    headings = ("environment", "packages", "MB without torch", "MB", "what is imported", "import, ms")
    return table(headings, lines) + skipped(rows)


def reading(results: Results) -> str:
    """Records read and prepared."""
    rows = measured(results, "reading")
    lines = [
        [
            row["name"],
            number(row["records_per_s"]),
            spread(row),
            number(row["ratio"]),
            "-" if row["name"] == "ecoscale" else f"{row['difference_mv']:g}",
        ]
        for row in rows
        if "skipped" not in row
    ]
    headings = ("", "records/s", "ms for 20 records", "times as fast", "differs from ours, mV")
    return table(headings, lines) + skipped(rows)


def start(results: Results) -> str:
    """From the start of a process."""
    rows = measured(results, "path", kind="start")
    return table(
        ("process", "ms [quartiles]", "peak memory, MB"),
        ([row["name"], spread(row), number(row["peak_mb"])] for row in rows),
    )


def folder(results: Results) -> str:
    """Many records."""
    rows = measured(results, "path", kind="folder")
    lines = [
        [
            row["name"],
            str(row["threads"]),
            number(row["records_per_s"]),
            f"{100 * row['ratio']:.0f} %",
            number(row.get("peak_mb")),
        ]
        for row in rows
    ]
    return table(("", "threads", "records/s", "of the network alone", "peak memory, MB"), lines)


def signals(results: Results) -> str:
    """Long records and live signals."""
    rows = measured(results, "path", kind="signal")
    lines = []
    for row in rows:
        if "times_real_time" in row:
            what = f"{number(row['times_real_time'])} times real time, {number(row['peak_mb'])} MB"
            lines.append([f"{row['name']}, {row['hours']} h at {row['rate']} Hz", what])
        elif "core_percent" in row:
            what = f"{row['core_percent']:g} % of one core"
            lines.append([f"{row['name']}, a window every {row['hop_s']:g} s", what])
    return (table(("", ""), lines) if lines else "Not measured yet.") + skipped(rows)


def summary(results: Results) -> str:
    """What stands in the README: one record, one thread."""
    rows = measured(results, "peers", kind="network", input=LONG, threads=1, batch=1)
    headings = (f"one record (12 leads, {LONG}), one thread", "ms", "times as fast", "floor, ms", "memory, MB")
    lines = [
        [
            row["name"],
            number(row["median_ms"]),
            number(row["ratio"]),
            number(row["floor_ms"]),
            number(row["peak_mb"]),
        ]
        for row in rows
    ]
    return table(headings, lines)


def skipped(rows: Iterable[dict[str, Any]]) -> str:
    """What is missing in a table, and why."""
    lines = [f"- {row['name']}: {row['skipped']}" for row in rows if "skipped" in row]
    return "\n\nNot measured:\n" + "\n".join(lines) if lines else ""


BLOCKS: dict[str, Callable[[Results], str]] = {
    "machines": machines,
    "notes": notes,
    "engines": engines,
    "latency-4096": latency(LONG),
    "throughput-4096": throughput(LONG),
    "latency-1000": latency(SHORT),
    "throughput-1000": throughput(SHORT),
    "packages": packages,
    "reading": reading,
    "start": start,
    "folder": folder,
    "signals": signals,
    "summary": summary,
}


def draw(results: Results) -> Figure:
    """One record, one thread: how many times as fast as eager EcoScale-Net, a panel an input, on a logarithmic axis.

    Blue is what ecoscale runs, grey what one would install instead.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    from ecoscale.evaluation.plots import in_style

    panels = {
        shape: measured(results, "peers", kind="network", input=shape, threads=1, batch=1) for shape in (LONG, SHORT)
    }
    panels = {shape: rows for shape, rows in panels.items() if rows}
    with in_style():
        figure = Figure(figsize=(9, 1 + 0.3 * sum(map(len, panels.values()))), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[*map(len, panels.values())])
        for axes, (shape, rows) in zip(grid.flat, panels.items(), strict=True):
            ratios = [row["ratio"] for row in rows]
            ours = [row["name"].startswith(("EcoScale", "six-findings", "statements")) for row in rows]
            axes.barh(
                [row["name"] for row in rows],
                [ratio - 1 for ratio in ratios],
                left=1,
                color=["#2b7bba" if own else "#5d6878" for own in ours],
                height=0.7,
            )
            for place, ratio in enumerate(ratios):
                side = "left" if ratio >= 1 else "right"
                offset = (4 if ratio >= 1 else -4, 0)
                axes.annotate(
                    f"{number(ratio)}",
                    (ratio, place),
                    offset,
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    fontsize=7,
                )
            axes.set(xscale="log", title=shape)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.invert_yaxis()
            axes.margins(x=0.15)
            axes.grid(visible=False, axis="y")
        grid.flat[-1].set_xlabel("times as fast as eager EcoScale-Net, one record, one thread")
    return figure


if __name__ == "__main__":
    typer.run(main)
