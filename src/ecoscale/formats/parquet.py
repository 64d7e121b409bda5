"""ECGs in Parquet: a column for each lead; rate, unit and notes in the schema's metadata, or else given.

A file whose columns of leads are lists holds many: `ecoscale.formats.parquet_records`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError, MissingExtraError
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, refuse_record, required_millivolts
from ecoscale.formats.stated import named_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.formats.stated import Stated

MAGIC = b"PAR1"
KEY = "ecoscale_ecg"
"""Where the schema's metadata state what an ECG is, as JSON: rate (Hz), unit, record, notes."""

# A few bytes can announce any number of rows that are all the same, which no ECG's are.
_ALWAYS_READ = 64 << 20
_MOST_COMPRESSED = 100


def is_recording(path: Path) -> bool:
    """Whether a Parquet file says that it is an ECG."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 8))
            length = int.from_bytes(file.read(4), "little")
            if not 0 < length <= size - 12:
                return False
            file.seek(size - 8 - length)
            return KEY.encode() in file.read(length)
    except OSError:
        return False


def read(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
) -> ECG:
    """Read the columns that are leads. Rate and unit are those that the metadata state, else must be given.

    Raises `FormatError` without either, or for a file that is no table of numbers; `MissingExtraError` without pyarrow.
    """
    from ecoscale.formats.parquet_records import is_of_records, open_records

    if record is None:
        with _opened(path, source) as file:
            if not is_of_records(file.schema_arrow):
                return _read(file, path.stat().st_size, source, rate, unit, leads, fewer_leads)
    with _explained(source):
        records = open_records(path)
        if records is None:
            refuse_record(record, source)
            raise FormatError(f"{source}: changed while it was read; try again")
        return records.read(record, source=source, rate=rate, unit=unit, leads=leads, fewer_leads=fewer_leads)


def stated(path: Path, source: str) -> Stated:
    """The columns of any signal, as `named_columns`; those that are no numbers are refused when they are asked for."""

    def column(name: str) -> NDArray:
        with _opened(path, source) as file:
            _refuse_what_is_no_signal(file, [name], path.stat().st_size, source)
            return _rows(file, [name])[0]

    with _opened(path, source) as file:
        names, n_rows = file.schema_arrow.names, file.metadata.num_rows
        about = stated_metadata(file.schema_arrow.metadata or {}, source)
    unit, rate = about.get("unit"), about.get("rate")
    units = None if unit is None else (str(unit),)
    found = named_columns(names, lambda place: column(names[place]), n_rows, source, units)
    if isinstance(rate, int | float):
        found = replace(found, rates=(float(rate),) * len(found.names))
    return replace(found, record=str(about.get("record") or ""))


@contextmanager
def _opened(path: Path, source: str) -> Iterator[Any]:
    """The file by pyarrow, whose errors become `FormatError`s."""
    with _explained(source):
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            yield file


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Errors of pyarrow's as `FormatError`s, its absence as a `MissingExtraError`."""
    try:
        yield
    except EcoscaleError:
        raise
    except ImportError:
        raise MissingExtraError("reading Parquet", "pyarrow", "formats") from None
    except Exception as error:  # pyarrow's have several parents
        raise FormatError(
            f"{source}: the Parquet file cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _read(
    file: Any,
    size: int,
    source: str,
    rate: float | None,
    unit: str | None,
    leads: Sequence[str] | None,
    fewer_leads: bool,
) -> ECG:
    schema = file.schema_arrow
    about = stated_metadata(schema.metadata or {}, source)
    found = name_channels(schema.names, leads, source)
    wanted = [name for name, lead in zip(schema.names, found, strict=True) if lead]
    if not wanted:
        raise FormatError(
            f"{source}: no column is named after a lead ({', '.join(schema.names[:20])}); name them I, II, ... V6, or "
            "give leads="
        )
    _refuse_what_is_no_signal(file, wanted, size, source)
    stated_unit = about.get("unit")
    if stated_unit is not None:
        refuse_other_unit([str(stated_unit)], unit, source, "the metadata's unit")
    unit = unit if stated_unit is None else str(stated_unit)
    if unit is None:
        raise FormatError(f"{source}: the Parquet file does not state its unit; give unit= (nothing is guessed)")
    factor = required_millivolts(unit, source, "the unit")
    stated_rate = about.get("rate")
    if stated_rate is not None and not isinstance(stated_rate, int | float):
        raise FormatError(f"{source}: the metadata's rate is {stated_rate!r}; expected samples per second")
    rows = _rows(file, wanted)
    notes = about.get("notes")
    return twelve_lead_ecg(
        rows if factor == 1 else rows.astype(np.float64) * factor,
        [lead for lead in found if lead],
        rate=agreed_rate(stated_rate, rate, source, "the rate"),
        source=source,
        record=str(about.get("record") or ""),
        ignored=[name for name, lead in zip(schema.names, found, strict=True) if not lead],
        notes=[str(note) for note in notes] if isinstance(notes, list) else (),
        fewer_leads=fewer_leads,
    )


def _refuse_what_is_no_signal(file: Any, wanted: list[str], size: int, source: str) -> None:
    """Raise `FormatError` unless the columns hold numbers, some, and no more than their bytes can."""
    import pyarrow

    for name in wanted:
        kind = file.schema_arrow.field(name).type
        if not (pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind)):
            raise FormatError(f"{source}: column {name} is {kind}; expected numbers")
    needed = 4 * file.metadata.num_rows * len(wanted)
    if needed > max(_ALWAYS_READ, _MOST_COMPRESSED * size):
        raise FormatError(
            f"{source}: {file.metadata.num_rows:,} rows in {size:,} bytes; expected an ECG, which cannot be compressed "
            "so far"
        )
    if not file.metadata.num_rows:
        raise FormatError(f"{source}: a Parquet file without rows; expected samples")


def _rows(file: Any, wanted: list[str]) -> NDArray:
    table = file.read(wanted)
    return np.stack([table[name].to_numpy() for name in wanted])


def stated_metadata(metadata: dict[bytes, bytes], source: str) -> dict[str, Any]:
    """What a schema's metadata say of an ECG, or of all those in the file. Raises `FormatError` if it is no object."""
    try:
        about = json.loads(metadata.get(KEY.encode(), b"{}"))
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise FormatError(f"{source}: the metadata under {KEY} are not the JSON object that ecoscale convert writes")
    return about
