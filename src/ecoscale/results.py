"""Files of results: JSON lines, CSV or Parquet, written as they come, so that an interrupted run can go on.

Beside `findings.csv` lies `findings.csv.run.json`: by what the results were made, and whether they are all. Parquet
cannot be appended to: its rows are collected in `findings.parquet.partial`, one a line, and become the file at the end.
"""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from ecoscale.errors import MissingExtraError, ResultsError
from ecoscale.reading import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ecoscale.ecg import ECG
    from ecoscale.inference import Classifier, Prediction
    from ecoscale.reading import Readable

    Result = tuple[ECG, Prediction] | Failure

ResultsFormat = Literal["json", "csv", "parquet"]

ROWS_AT_ONCE = 4096
"""Rows of a Parquet file that are in memory together, and make a row group."""


class JSONLines:
    """One object a line."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

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
    """A header and one row a recording: probability and decision for each finding, warnings joined by a bar."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        findings = (f"{name}_{what}" for name in self.names for what in ("probability", "present"))
        return ["source", "record", *findings, "warnings", "error", "bundle"]

    @property
    def header(self) -> str:
        """What a file begins with."""
        return _csv_line(self.columns)

    def line(self, result: Result) -> str:
        """A result as text that ends in a newline."""
        row = result_row(result)
        for name, value in row.items():
            if isinstance(value, float):
                row[name] = f"{value:.6f}"
            elif isinstance(value, bool):
                row[name] = int(value)
        row["warnings"] = " | ".join(row["warnings"])
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
    """A result as one row: for each finding `NAME_probability`, to six decimals, and `NAME_present`."""
    if isinstance(result, Failure):
        return result.to_dict() | {"warnings": []}
    prediction = result[1]
    row: dict[str, Any] = {"source": prediction.source, "record": prediction.record}
    for name, finding in prediction.findings.items():
        row[f"{name}_probability"] = round(finding.probability, 6)
        row[f"{name}_present"] = finding.present
    return row | {"warnings": list(prediction.warnings), "bundle": prediction.bundle}


def run_settings(
    classifier: Classifier, form: ResultsFormat, *, estimated: bool = False, **stated: object
) -> dict[str, Any]:
    """What results depend on beside the recordings: what one file of them may not mix.

    `estimated` says that prevalences were estimated, `stated` what else the caller knows, as plain values.
    """
    from ecoscale import __version__

    return {
        "ecoscale": __version__,
        "format": form,
        "bundle": classifier.title,
        "bundle_checksum": classifier.bundle.manifest.checksum,
        "thresholds": {label.name: label.threshold for label in classifier.labels},
        "prevalence": {name: correction.prevalence for name, correction in classifier.corrections.items()},
        "prevalence_estimated": estimated,
        **stated,
    }


def earlier_run(path: Path) -> dict[str, Any] | None:
    """The settings of the run that wrote the results at `path`, and `complete`; None where none is known."""
    try:
        return json.loads(_run_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{_run_file(path)}: cannot be read ({error}); delete it, and start anew") from error


class ResultsFile:
    """A file of results that is being written: see `begin` and `resume`.

    `n_done` recordings were in it when it was opened, `n_failed` of which could not be classified; `n_written` came
    since.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.n_done = self.n_failed = self.n_written = 0
        self._form = FORMS[settings["format"]](list(settings["thresholds"]))
        self._lines = path.with_name(f"{path.name}.partial") if settings["format"] == "parquet" else path
        self._done: set[str] = set()
        self._stream: IO[bytes]

    @classmethod
    def begin(cls, path: Path, settings: dict[str, Any]) -> Self:
        """A new file; what was there is overwritten, unless it is what an interrupted run left.

        Raises `ResultsError` then, and `MissingExtraError` for Parquet without pyarrow.
        """
        file = cls(path, settings)
        _check_format(settings)
        earlier = earlier_run(path)
        if earlier is not None and not earlier["complete"] and file._lines.exists():
            raise ResultsError(
                f"{path}: a run that was interrupted left its results here; go on with --resume, or delete {path.name} "
                f"and {_run_file(path).name} to start anew"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        file._stream = file._lines.open("wb")
        file._write(file._form.header)
        file._note(complete=False)
        return file

    @classmethod
    def resume(cls, path: Path, settings: dict[str, Any], batch_size: int, *, retry_failed: bool = False) -> Self:
        """The file that a run with the same settings left, complete or not; a new one where there is none.

        Of an interrupted run the whole batches of `batch_size` recordings are kept, so that those after them are the
        same as in an undisturbed run, and so are their results, to the last bit. With `retry_failed`, recordings that
        could not be classified are dropped from the file, to be tried again.

        Raises `ResultsError` if the settings differ, or if it is not known which they were.
        """
        file = cls(path, settings)
        _check_format(settings)
        earlier = earlier_run(path)
        if earlier is None:
            if path.exists():
                raise ResultsError(
                    f"{path}: {_run_file(path).name} is not beside it, so how it was made is not known; leave out "
                    "--resume to overwrite it"
                )
            return cls.begin(path, settings)
        file._refuse_other(earlier)
        if settings["format"] == "parquet" and path.exists() and (earlier["complete"] or not file._lines.exists()):
            file._parquet_to_lines()
            earlier["complete"] = True
        if not file._lines.exists():
            file._note(complete=True)  # nothing was left to lose
            return cls.begin(path, settings)
        file._keep(None if earlier["complete"] else batch_size, retry_failed)
        file._note(complete=False)
        return file

    def is_done(self, recording: Readable) -> bool:
        """Whether the file has this recording, classified or failed."""
        return _key(str(recording.path), recording.record) in self._done

    def written(self, results: Iterable[Result]) -> Iterator[Result]:
        """Write each result, and hand it on; the file is complete when there are no more."""
        with self._stream:
            for result in results:
                self._write(self._form.line(result))
                self.n_written += 1
                yield result
        if self.settings["format"] == "parquet":
            self._lines_to_parquet()
        self._note(complete=True)

    def _write(self, text: str) -> None:
        self._stream.write(text.encode("utf-8", "backslashreplace"))
        self._stream.flush()

    def _note(self, *, complete: bool) -> None:
        partial = self.path.with_name(f"{self.path.name}.run.json.partial")
        partial.write_text(json.dumps(self.settings | {"complete": complete}, indent=1) + "\n", encoding="utf-8")
        partial.replace(_run_file(self.path))

    def _refuse_other(self, earlier: dict[str, Any]) -> None:
        # Through JSON, as the other has been.
        settings = json.loads(json.dumps(self.settings))
        differing = [name for name in settings if earlier.get(name) != settings[name]]
        if differing:
            said = "; ".join(
                f"{name} is {_short(earlier.get(name))}, now {_short(settings[name])}" for name in differing
            )
            raise ResultsError(
                f"{self.path}: its results were made otherwise ({said}); run it as before, or choose another file for "
                "--output"
            )

    def _keep(self, batch_size: int | None, retry_failed: bool) -> None:
        """Note the recordings that are in the file, and cut off what is not whole."""
        ends: list[int] = []
        kept: list[tuple[str, str]] = []
        failed: set[str] = set()
        header = self._form.header.encode()
        for end, line in _whole_lines(self._lines):
            if not ends and header and line == header:
                ends.append(end)
                continue
            fields = self._form.fields(line.decode())
            kept.append((fields["source"], fields.get("record", "")))
            if "error" in fields:
                failed.add(_key(*kept[-1]))
            ends.append(end)
        first = 1 if header and ends else 0
        if batch_size is not None:
            kept = kept[: len(kept) // batch_size * batch_size]
        if header and not ends:
            self._lines.write_bytes(header)
        else:
            with self._lines.open("r+b") as stream:
                stream.truncate(ends[first + len(kept) - 1] if first + len(kept) else 0)
        keys = [_key(*each) for each in kept]
        failed &= set(keys)
        if retry_failed and failed:
            self._drop(failed)
            kept = [each for each in kept if _key(*each) not in failed]
            failed = set()
        # A recording that is alone in its file is asked for without a name.
        self._done = {_key(*each) for each in kept} | {_key(source, None) for source, _ in kept}
        self.n_done, self.n_failed = len(kept), len(failed)
        self._stream = self._lines.open("ab")

    def _drop(self, failed: set[str]) -> None:
        partial = self.path.with_name(f"{self.path.name}.kept")
        header = self._form.header.encode()
        with partial.open("wb") as stream:
            for number, (_, line) in enumerate(_whole_lines(self._lines)):
                is_header = bool(header) and not number
                fields = {} if is_header else self._form.fields(line.decode())
                if is_header or _key(fields["source"], fields.get("record", "")) not in failed:
                    stream.write(line)
        partial.replace(self._lines)

    def _lines_to_parquet(self) -> None:
        import pyarrow
        import pyarrow.parquet

        findings = [
            (f"{name}_{what}", kind)
            for name in self._form.names
            for what, kind in (("probability", pyarrow.float64()), ("present", pyarrow.bool_()))
        ]
        text = pyarrow.string()
        columns = [("source", text), ("record", text), *findings, ("warnings", pyarrow.list_(text))]
        schema = pyarrow.schema(
            [*columns, ("error", text), ("bundle", text)], metadata={"ecoscale": json.dumps(self.settings)}
        )
        partial = self.path.with_name(f"{self.path.name}.writing")
        lines = (json.loads(line) for _, line in _whole_lines(self._lines))
        with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
            while rows := list(islice(lines, ROWS_AT_ONCE)):
                for row in rows:
                    row["source"], row["record"] = _plain(row["source"]), _plain(row["record"])
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
        partial.replace(self.path)
        self._lines.unlink()

    def _parquet_to_lines(self) -> None:
        import pyarrow.parquet

        partial = self.path.with_name(f"{self.path.name}.kept")
        with partial.open("w", encoding="utf-8") as stream:
            for batch in pyarrow.parquet.ParquetFile(self.path).iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    stream.write(json.dumps({name: value for name, value in row.items() if value is not None}) + "\n")
        partial.replace(self._lines)


def _check_format(settings: dict[str, Any]) -> None:
    if settings["format"] == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("writing Parquet", "pyarrow", "data") from None


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that end in a newline outside quotes, each with the byte after it."""
    end, line = 0, b""
    with path.open("rb") as stream:
        for piece in stream:
            line += piece
            # A field of CSV may hold a newline, within quotes; JSON escapes both it and what would unbalance quotes.
            if piece.endswith(b"\n") and (line.startswith(b"{") or line.count(b'"') % 2 == 0):
                end += len(line)
                yield end, line
                line = b""


def _run_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.run.json")


def _key(source: str, record: str | None) -> str:
    # A missing name is not an empty one: that is of a recording which could not be read.
    return _plain(source) if record is None else _plain(f"{source}\0{record}")


def _plain(text: str) -> str:
    """A name that is not Unicode as CSV and Parquet have it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _csv_line(values: Iterable[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
