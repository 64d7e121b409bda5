"""The windows of a timeline in a file, written as they come: CSV, JSON lines or Parquet, as its suffix says."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ecoscale.errors import EcoscaleError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ecoscale.excerpts import Window
    from ecoscale.timeline.episodes import Timeline

    Write = Callable[[Window], None]

ROWS_AT_ONCE = 2048
"""Windows of a row group of a Parquet file."""


@contextmanager
def window_writer(path: Path, timeline: Timeline) -> Iterator[Write]:
    """A function that writes the window it is given to `path`.

    CSV and Parquet have the columns `start_s`, `stop_s`, `time` (wall-clock, where it is known), a probability and a
    decision for each finding (empty where a window is not classified) and `warnings`; JSON lines have the same with
    the findings as `ecoscale predict` writes them. Raises `EcoscaleError` for another suffix, `MissingExtraError` for
    Parquet without pyarrow.
    """
    kind = path.suffix.lower()
    openers = {".csv": _csv, ".jsonl": _jsonl, ".json": _jsonl, ".parquet": _parquet}
    if kind not in openers:
        raise EcoscaleError(f"{path}: cannot write to {kind or 'a file without suffix'}; use .csv, .jsonl or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    with openers[kind](path, timeline) as write:
        yield write


@contextmanager
def _csv(path: Path, timeline: Timeline) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.DictWriter(stream, _columns(timeline.names), restval="", lineterminator="\n")
        writer.writeheader()

        def write(window: Window) -> None:
            row = _row(window, timeline)
            for name in timeline.names if window.prediction else ():
                row[f"{name}_probability"] = f"{row[f'{name}_probability']:.6f}"
                row[f"{name}_present"] = int(row[f"{name}_present"])
            writer.writerow(row | {"warnings": " | ".join(window.warnings)})

        yield write


@contextmanager
def _jsonl(path: Path, timeline: Timeline) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as stream:

        def write(window: Window) -> None:
            said = None if window.prediction is None else window.prediction.to_dict()["findings"]
            line = {
                "source": timeline.record.source,
                "record": timeline.record.record,
                **_when(window, timeline),
                "findings": said,
                "warnings": list(window.warnings),
                "bundle": timeline.bundle,
            }
            stream.write(json.dumps(line) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, timeline: Timeline) -> Iterator[Write]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("writing Parquet", "pyarrow", "data") from error
    fields: list[tuple[str, Any]] = [("start_s", pa.float64()), ("stop_s", pa.float64()), ("time", pa.string())]
    for name in timeline.names:
        fields += [(f"{name}_probability", pa.float32()), (f"{name}_present", pa.bool_())]
    schema = pa.schema([*fields, ("warnings", pa.list_(pa.string()))])
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema) as writer:

        def write(window: Window) -> None:
            rows.append(_row(window, timeline) | {"warnings": list(window.warnings)})
            if len(rows) == ROWS_AT_ONCE:
                flush()

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        yield write
        flush()


def write_summary(stream: IO[str], timeline: Timeline) -> None:
    """Write the record's summary as one JSON object."""
    json.dump(timeline.summary(), stream, indent=1)
    stream.write("\n")


def _columns(names: Sequence[str]) -> list[str]:
    findings = [f"{name}_{what}" for name in names for what in ("probability", "present")]
    return ["start_s", "stop_s", "time", *findings, "warnings"]


def _when(window: Window, timeline: Timeline) -> dict[str, Any]:
    return {
        "start_s": round(window.start, 3),
        "stop_s": round(window.stop, 3),
        "time": timeline.record.clock(window.start),
    }


def _row(window: Window, timeline: Timeline) -> dict[str, Any]:
    row = _when(window, timeline)
    if window.prediction is not None:
        for name, finding in window.prediction.findings.items():
            row[f"{name}_probability"] = finding.probability
            row[f"{name}_present"] = finding.present
    return row
