"""A result of classification as one line or row: JSON lines, CSV, and the rows of Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from ecoscale.measurements import NUMBERS
from ecoscale.reading import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ecoscale.inference import Prediction
    from ecoscale.signal import Signal

    Result = tuple[Signal, Prediction] | Failure

ResultsFormat = Literal["json", "csv", "parquet"]

MEASUREMENT_TEXTS = ("measurement_notes", "disagreements")
"""Columns of texts that go with measurements."""


class JSONLines:
    """One object a line. `names` are the findings; `measured` says that results carry measurements too."""

    def __init__(self, names: Sequence[str], *, measured: bool = False) -> None:
        self.names = list(names)
        self.measured = measured

    @property
    def header(self) -> str:
        """What a file begins with."""
        return ""

    def line(self, result: Result) -> str:
        """A result as text that ends in a newline."""
        about = result if isinstance(result, Failure) else result[1]
        # In ASCII, which every terminal, pipe and file name can carry.
        return json.dumps(about.to_dict()) + "\n"

    def fields(self, line: str) -> dict[str, Any]:
        """`source`, `record` and, for a recording that could not be classified, `error` of a line."""
        return json.loads(line)


class CSVRows(JSONLines):
    """A header and one row a recording: probability and decision for each finding, lists of texts joined by a bar."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        findings = (f"{name}_{what}" for name in self.names for what in ("probability", "present"))
        measured = (*NUMBERS, *MEASUREMENT_TEXTS) if self.measured else ()
        return ["source", "record", *findings, *measured, "warnings", "error", "bundle"]

    @property
    def header(self) -> str:
        """What a file begins with."""
        return _csv_line(self.columns)

    def line(self, result: Result) -> str:
        """A result as text that ends in a newline."""
        row = result_row(result)
        for name, value in row.items():
            if isinstance(value, float):
                row[name] = f"{value:g}" if name in NUMBERS else f"{value:.6f}"
            elif isinstance(value, bool):
                row[name] = int(value)
            elif isinstance(value, list):
                row[name] = " | ".join(value)
        return _csv_line([row.get(column, "") for column in self.columns])

    def fields(self, line: str) -> dict[str, Any]:
        """`source`, `record` and, for a recording that could not be classified, `error` of a line."""
        (values,) = csv.reader(io.StringIO(line, newline=""))
        return {name: value for name, value in zip(self.columns, values, strict=True) if value}


class ParquetRows(JSONLines):
    """The rows of a Parquet file, an object a line until they become one."""

    def line(self, result: Result) -> str:
        """A result as text that ends in a newline."""
        return json.dumps(result_row(result)) + "\n"


FORMS: dict[ResultsFormat, type[JSONLines]] = {"json": JSONLines, "csv": CSVRows, "parquet": ParquetRows}


def result_row(result: Result) -> dict[str, Any]:
    """A result as one row: for each finding `NAME_probability`, to six decimals, and `NAME_present`.

    With measurements, those that there are by their names (1/min, ms, degrees), and the texts on them.
    """
    if isinstance(result, Failure):
        return result.to_dict() | {"warnings": []}
    prediction = result[1]
    row: dict[str, Any] = {"source": prediction.source, "record": prediction.record}
    for name, finding in prediction.findings.items():
        row[f"{name}_probability"] = round(finding.probability, 6)
        row[f"{name}_present"] = finding.present
    if prediction.measurements is not None:
        measured = prediction.measurements.to_dict()
        row |= {name: measured[name] for name in NUMBERS if measured[name] is not None}
        row |= {"measurement_notes": measured["notes"], "disagreements": list(prediction.disagreements)}
    return row | {"warnings": list(prediction.warnings), "bundle": prediction.bundle}


def _csv_line(values: Iterable[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()
