"""Files of results: JSON lines, CSV or Parquet, written as they come, so that an interrupted run can go on.

Beside `findings.csv` lies `findings.csv.run.json`: by what the results were made, and whether they are all. Parquet
cannot be appended to: its rows are collected in `findings.parquet.partial`, one a line, and become the file at the end.
"""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, cast

from ecoscale.errors import MissingExtraError, ResultsError
from ecoscale.measurements import NUMBERS
from ecoscale.reading import Failure
from ecoscale.result_rows import FORMS, MEASUREMENT_TEXTS

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow

    from ecoscale.ecg import ECG
    from ecoscale.inference import Classifier
    from ecoscale.reading import Readable
    from ecoscale.result_rows import Result, ResultsFormat

ROWS_AT_ONCE = 4096
"""Rows of a Parquet file that are in memory together, and make a row group."""


def run_settings(
    classifier: Classifier, form: ResultsFormat, *, estimated: bool = False, measured: bool = False, **stated: object
) -> dict[str, Any]:
    """What results depend on beside the recordings: what one file of them may not mix.

    `estimated` says that prevalences were estimated, `measured` that measurements stand beside the findings, `stated`
    what else the caller knows, as plain values.
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
        "measured": measured,
        **stated,
    }


def earlier_run(path: Path) -> dict[str, Any] | None:
    """The settings of the run that wrote the results at `path`, and `complete`; None where none is known."""
    try:
        earlier = json.loads(_run_file(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{_run_file(path)}: cannot be read ({error}); delete it, and start anew") from error
    if not isinstance(earlier, dict) or not {"complete", "prevalence", "prevalence_estimated"} <= earlier.keys():
        raise ResultsError(f"{_run_file(path)}: does not hold the settings of a run; delete it, and start anew")
    return {"measured": False} | earlier  # runs from before there were measurements do not say


def differing_settings(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, in what the settings of an earlier run, as JSON gives them back, are not those of now."""
    settings = json.loads(json.dumps(dict(now)))
    return [said for name in settings for said in _differences(name, earlier.get(name), settings[name])]


def measured_too(results: Iterable[Result]) -> Iterator[Result]:
    """The results of ECGs, with what each measures. Raises `MissingExtraError` without neurokit2."""
    from ecoscale.measurements import with_measurements

    for result in results:
        if isinstance(result, Failure):
            yield result
        else:
            signal, prediction = result
            yield signal, with_measurements(cast("ECG", signal), prediction)


def parquet_schema(settings: Mapping[str, Any]) -> pyarrow.Schema:
    """The columns of results that were made with these settings (`run_settings`), which it carries as metadata.

    Raises `MissingExtraError` without pyarrow.
    """
    pyarrow = _pyarrow()
    findings = [
        (f"{name}_{what}", kind)
        for name in settings["thresholds"]
        for what, kind in (("probability", pyarrow.float64()), ("present", pyarrow.bool_()))
    ]
    text = pyarrow.string()
    measured = []
    if settings["measured"]:
        measured = [(name, pyarrow.float64()) for name in NUMBERS]
        measured += [(name, pyarrow.list_(text)) for name in MEASUREMENT_TEXTS]
    columns = [("source", text), ("record", text), *findings, *measured, ("warnings", pyarrow.list_(text))]
    return pyarrow.schema(
        [*columns, ("error", text), ("bundle", text)], metadata={"ecoscale": json.dumps(dict(settings))}
    )


def unicode_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of results whose names are Unicode, which Parquet wants and a file system does not promise."""
    return row | {"source": _plain(row["source"]), "record": _plain(row["record"])}


class ResultsFile:
    """A file of results that is being written: see `begin` and `resume`.

    `n_done` recordings were in it when it was opened, `n_failed` of which could not be classified; `n_written` came
    since.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.n_done = self.n_failed = self.n_written = 0
        self._form = FORMS[settings["format"]](list(settings["thresholds"]), measured=settings["measured"])
        self._lines = path.with_name(f"{path.name}.partial") if settings["format"] == "parquet" else path
        self._done: set[str] = set()
        self._stream: io.FileIO

    @classmethod
    def begin(cls, path: Path, settings: dict[str, Any]) -> Self:
        """A new file; what was there is overwritten, unless it is what an interrupted run left.

        Raises `ResultsError` then, and where another run is writing it, and `MissingExtraError` for Parquet without
        pyarrow.
        """
        file = cls(path, settings)
        _check_format(settings)
        earlier = earlier_run(path)
        left = earlier is not None and not earlier["complete"] and file._lines.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with file._opened():
            if left:
                raise ResultsError(
                    f"{path}: a run that was interrupted left its results here; go on with --resume, or delete "
                    f"{path.name} and {_run_file(path).name} to start anew"
                )
            file._stream.truncate(0)
            file._note(complete=False)
            file._write(file._form.header)
        return file

    @classmethod
    def resume(cls, path: Path, settings: dict[str, Any], batch_size: int, *, retry_failed: bool = False) -> Self:
        """The file that a run with the same settings left, complete or not; a new one where there is none.

        Of an interrupted run the whole batches of `batch_size` recordings are kept, so that those after them are the
        same as in an undisturbed run, and so are their results, to the last bit. With `retry_failed`, recordings that
        could not be classified are dropped from the file, to be tried again.

        Raises `ResultsError` if the settings differ, if it is not known which they were, if a line is no result, and
        where another run is writing the file.
        """
        file = cls(path, settings)
        _check_format(settings)
        earlier = earlier_run(path)
        if earlier is None:
            if path.exists() and path.stat().st_size:
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
        with file._opened():
            file._keep(None if earlier["complete"] else batch_size, retry_failed)
            file._note(complete=False)
        return file

    def is_done(self, recording: Readable) -> bool:
        """Whether the file has this recording, classified or failed."""
        return _key(str(recording.path), recording.record) in self._done

    def written(self, results: Iterable[Result]) -> Iterator[Result]:
        """Write each result, and hand it on; the file is complete when there are no more.

        Raises `ResultsError` where it cannot be written, as on a full disk: what was written before stays.
        """
        with self._stream:
            for result in results:
                self._write(self._form.line(result))
                self.n_written += 1
                yield result
            if self.settings["format"] == "parquet":
                with _said_of(self.path):
                    self._lines_to_parquet()
        if self.settings["format"] == "parquet":
            self._lines.unlink()
        self._note(complete=True)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """The file to add to, opened for this run alone; closed where something is wrong with it."""
        self._stream = open_alone(self._lines)
        try:
            yield
        except BaseException:
            self._stream.close()
            raise

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        with _said_of(self._lines):
            while data:
                data = data[self._stream.write(data) :]

    def _note(self, *, complete: bool) -> None:
        partial = self.path.with_name(f"{self.path.name}.run.json.partial")
        with _said_of(_run_file(self.path)):
            partial.write_text(json.dumps(self.settings | {"complete": complete}, indent=1) + "\n", encoding="utf-8")
            partial.replace(_run_file(self.path))

    def _refuse_other(self, earlier: dict[str, Any]) -> None:
        if differing := differing_settings(earlier, self.settings):
            raise ResultsError(
                f"{self.path}: its results were made otherwise ({'; '.join(differing)}); run it as before, or choose "
                "another file for --output"
            )

    def _keep(self, batch_size: int | None, retry_failed: bool) -> None:
        """Note the recordings that are in the file, and cut off what is not whole."""
        ends: list[int] = []
        kept: list[tuple[str, str]] = []
        failed: set[str] = set()
        header = self._form.header.encode()
        for number, (end, line) in enumerate(_whole_lines(self._lines), start=1):
            if header and number == 1:
                if line != header:
                    raise ResultsError(
                        f"{self._lines}: its first line is {line[:60]!r}; expected the header that was written, "
                        f"{header[:60]!r}: was it saved by another program? Choose another file for --output"
                    )
                ends.append(end)
                continue
            source, record, is_failure = self._said(number, line)
            kept.append((source, record))
            if is_failure:
                failed.add(_key(source, record))
            ends.append(end)
        first = 1 if header and ends else 0
        if batch_size is not None:
            kept = kept[: len(kept) // batch_size * batch_size]
        self._stream.truncate(ends[first + len(kept) - 1] if first + len(kept) else 0)
        if header and not ends:
            self._write(self._form.header)
        keys = [_key(*each) for each in kept]
        failed &= set(keys)
        if retry_failed and failed:
            self._drop(failed)
            kept = [each for each in kept if _key(*each) not in failed]
            failed = set()
        # A recording that is alone in its file is asked for without a name.
        self._done = {_key(*each) for each in kept} | {_key(source, None) for source, _ in kept}
        self.n_done, self.n_failed = len(kept), len(failed)

    def _said(self, number: int, line: bytes) -> tuple[str, str, bool]:
        """Source and record of a line, and whether it is that of a recording which could not be classified."""
        try:
            fields = self._form.fields(line.decode())
            return fields["source"], fields.get("record", ""), "error" in fields
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
            raise ResultsError(
                f"{self._lines}: line {number} is {line[:60]!r}, which is no result of ecoscale; take the line out, "
                "and what it was of is classified again, or choose another file for --output"
            ) from None

    def _drop(self, failed: set[str]) -> None:
        partial = self.path.with_name(f"{self.path.name}.kept")
        header = self._form.header.encode()
        with partial.open("wb") as stream:
            for number, (_, line) in enumerate(_whole_lines(self._lines), start=1):
                is_header = bool(header) and number == 1
                if is_header or _key(*self._said(number, line)[:2]) not in failed:
                    stream.write(line)
        self._stream.close()
        partial.replace(self._lines)
        self._stream = open_alone(self._lines)

    def _lines_to_parquet(self) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = parquet_schema(self.settings)
        partial = self.path.with_name(f"{self.path.name}.writing")
        lines = (json.loads(line) for _, line in _whole_lines(self._lines))
        with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
            while rows := [unicode_row(row) for row in islice(lines, ROWS_AT_ONCE)]:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
        partial.replace(self.path)

    def _parquet_to_lines(self) -> None:
        import pyarrow.parquet

        partial = self.path.with_name(f"{self.path.name}.kept")
        with partial.open("w", encoding="utf-8") as stream:
            try:
                for batch in pyarrow.parquet.ParquetFile(self.path).iter_batches(ROWS_AT_ONCE):
                    for row in batch.to_pylist():
                        known = {name: value for name, value in row.items() if value is not None}
                        stream.write(json.dumps(known) + "\n")
            except (OSError, ValueError) as error:  # pyarrow's are children of these
                raise ResultsError(
                    f"{self.path}: cannot be read as the Parquet that was written ({error}); leave out --resume to "
                    "overwrite it"
                ) from error
        partial.replace(self._lines)


def _check_format(settings: dict[str, Any]) -> None:
    if settings["format"] == "parquet":
        _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("writing Parquet", "pyarrow", "data") from None
    return pyarrow


def open_alone(path: Path) -> io.FileIO:
    """A file to add to, which no other run is writing. Raises `ResultsError` where one is."""
    stream = path.open("ab", buffering=0)
    # Windows has no fcntl, and some network drives have no locks.
    with suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise ResultsError(
                f"{path}: another run is writing it; wait for its end, or have this one write elsewhere"
            ) from None
    return stream


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Turns the system's error on writing, such as that of a full disk, into one that names the file."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot be written ({error.strerror or error}); what was written before is kept: when there is "
            "room, the same command with --resume goes on"
        ) from error


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


def _differences(name: str, earlier: object, now: object) -> list[str]:
    """What differs in a setting: of thresholds and the like, those findings only."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        keys = [key for key in earlier | now if earlier.get(key) != now.get(key)]
        return [f"{name} of {key} is {_short(earlier.get(key))}, now {_short(now.get(key))}" for key in keys]
    return [] if earlier == now else [f"{name} is {_short(earlier)}, now {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
