"""A dialect: a small description of how a text table holds a signal, for tables that do not say so themselves.

It is YAML or JSON: given to `read_ecg` or `read_signal`, or beside the table as `NAME.csv.yaml`, or as
`ecg-dialect.yaml` for all tables of a folder. docs/formats.md lists its fields with examples.
"""

from __future__ import annotations

import codecs
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecoscale.errors import FormatError, LeadError
from ecoscale.formats.arrays import (
    bare_array,
    bare_ecg,
    columns_under,
    delimiter_of,
    dialect_beside,
    name_and_unit,
    refuse_other_width,
    require,
    table_cells,
    table_lines,
    table_numbers,
)
from ecoscale.formats.leads import canonical_leads, name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import (
    UNITS,
    agreed_rate,
    millivolts,
    rate_of_times,
    refuse_other_unit,
    refuse_record,
    required_millivolts,
)
from ecoscale.formats.stated import Bare, Stated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

LARGEST_DIALECT = 2**16
"""Bytes of the largest description that is read."""

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def _is_unit(unit: str) -> str:
    if millivolts(unit) is None:
        raise ValueError(f"{unit!r} is not a unit of voltage; expected {UNITS}")
    return unit


def _is_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError(
            f"{name!r} is not an encoding of text; expected one such as utf-8, utf-16 or latin-1"
        ) from None
    return name


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Column = Annotated[int, Field(ge=1, strict=True)] | Annotated[str, Field(min_length=1, strict=True)]
"""A column, by its number from 1 or by its name in the header row."""


class TimeColumn(_Described):
    """Where the table says when each sample was taken."""

    column: Column
    unit: Literal["s", "ms", "us"]


class Dialect(_Described):
    """How a text table holds a signal; what is left out is as in a table without a dialect.

    `leads` or `columns`, and `unit`, are an ECG's; `channels` and `units` are those of any other signal.
    """

    rate: Annotated[float, Field(gt=0)] | None = None
    """Samples per second."""
    unit: Annotated[str, AfterValidator(_is_unit)] | None = None
    """V, mV, uV or nV: of all leads whose column names no unit of its own."""
    resolution: Annotated[float, Field(gt=0)] = 1.0
    """How many units one step is, where the table holds the steps of a converter."""
    zero: float = 0.0
    """The number that stands for 0 V."""
    leads: tuple[str, ...] | None = None
    """The leads in the order of the columns (or rows), the time column left out."""
    columns: dict[str, Column] | None = None
    """The column of each lead; other columns are left out."""
    channels: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    """Names of the channels of another signal, as `leads` are of an ECG's."""
    units: Annotated[str | tuple[str, ...] | None, Field(union_mode="left_to_right")] = None
    """Of these channels: one for all, or one each."""
    time: TimeColumn | None = None
    """The column of times, from which the rate follows where it is not stated."""
    samples_in: Literal["rows", "columns"] = "rows"
    """Whether a row is a sample (the usual), or a column is."""
    header: bool | None = None
    """Whether there is a header row; by default if the first row is not all numbers."""
    skip_rows: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Lines before the table, whatever they hold."""
    delimiter: Literal["comma", "semicolon", "tab", "blank"] | None = None
    """What stands between columns; by default the first of tab, semicolon, comma and blanks that there is."""
    decimal: Literal[".", ","] = "."
    """The decimal mark."""
    missing: tuple[str, ...] = ()
    """What a missing sample is written as, beside an empty cell and NaN."""
    comment: Annotated[str, Field(min_length=1)] = "#"
    """What a line begins with that is left out."""
    encoding: Annotated[str, AfterValidator(_is_encoding)] = "utf-8"
    """The encoding of the text."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Dialect:
        if self.leads is not None and self.columns is not None:
            raise ValueError("leads and columns both name the leads; keep one of them")
        ecg = {"leads": self.leads, "columns": self.columns, "unit": self.unit}
        if (self.channels is not None or self.units is not None) and (of_ecg := [k for k, v in ecg.items() if v]):
            raise ValueError(
                f"{' and '.join(of_ecg)} are of an ECG, channels and units of another signal; keep one or the other"
            )
        if self.columns is not None and not self.columns:
            raise ValueError("columns names no lead")
        if self.decimal == "," and self.delimiter == "comma":
            raise ValueError("decimal and delimiter are both the comma")
        if self.samples_in == "columns" and (self.columns or self.time or self.header):
            raise ValueError("samples_in: columns takes leads or channels, and neither columns, time nor header")
        try:
            canonical_leads(self.leads if self.leads is not None else tuple(self.columns or ()), "the dialect")
        except LeadError as error:
            raise ValueError(str(error)) from None
        return self


def load_dialect(path: str | Path) -> Dialect:
    """Read a description. Raises `FormatError` naming the field that is not as it should be."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_DIALECT + 1)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: the dialect cannot be read: {error}") from error
    if len(data) > LARGEST_DIALECT:
        raise FormatError(f"{path}: a dialect of more than {LARGEST_DIALECT // 1024} KiB; expected a few lines of YAML")
    try:
        fields = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the dialect is not YAML or JSON ({' '.join(str(error).split())[:200]})") from error
    try:
        return Dialect.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise FormatError(
            f"{path}: the dialect's {field}: {first['msg']}; its fields are {', '.join(Dialect.model_fields)}"
        ) from error


def dialect_of(path: Path) -> Dialect | None:
    """The dialect that lies beside a table: its own, else its folder's; None where there is none."""
    found = dialect_beside(path)
    if found is None:
        return None
    try:
        stat = found.stat()
    except OSError:
        return load_dialect(found)
    return _loaded(str(found), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _loaded(path: str, _changed: int, _size: int) -> Dialect:
    return load_dialect(path)


def fits(head: bytes, dialect: Dialect) -> bool:
    """Whether a file that begins with these bytes may be a table in this dialect: its columns, and a row of numbers."""
    try:
        # The last line may be cut.
        text = head.decode(dialect.encoding, errors="ignore").removeprefix("\ufeff").rpartition("\n")[0]
        layout = _Layout(text, dialect, "")
        if dialect.samples_in == "columns":
            return True
        return (
            bool(layout.lines)
            and len(table_numbers(layout.lines[:1], layout.delimiter, "", *layout.marks)) == 1
            and (layout.column_names() is not None)
        )
    except (FormatError, LeadError, UnicodeError):
        return False


def read_table(
    data: bytes,
    dialect: Dialect,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
) -> ECG:
    """Read a table as its dialect says.

    Raises `FormatError` where the table is not as described, where `rate`, `unit` or `leads` contradict the dialect, or
    where one of them is nowhere stated; `LeadError` for missing leads.
    """
    refuse_record(record, source)
    if dialect.channels is not None or dialect.units is not None:
        raise FormatError(
            f"{source}: its dialect states channels and units of another signal than an ECG; state leads and unit in it"
        )
    layout, values = _parsed(data, dialect, source)
    refuse_other_unit([dialect.unit] if dialect.unit else [], unit, source, "the dialect's unit")
    unit = dialect.unit or unit
    if dialect.samples_in == "columns":
        names = _same(dialect.leads, leads, source)
        hertz = _rate(dialect, None, rate, source)
        require("the table", source, unit=unit, leads=names)
        steps = (values - dialect.zero) * dialect.resolution
        if names is not None and len(values) != len(names):
            raise FormatError(f"{source}: {len(values)} rows for {len(names)} leads; expected a row for each")
        return bare_ecg(bare_array(steps, source, hertz, unit, names), source, fewer_leads)
    if layout.header:
        refuse_other_width(layout.header, values, source)
    names, units = layout.column_names(leads, values.shape[1])
    time = layout.time_column
    hertz = _rate(dialect, None if time is None else values[:, time], rate, source)
    wanted = [column for column, lead in enumerate(names) if lead]
    if any(units[column] is None for column in wanted):
        require("the table", source, unit=unit)
    factors = [
        required_millivolts(units[column] or unit or "", source, f"the unit of column {column + 1}")
        for column in wanted
    ]
    others = [
        layout.header[column] if layout.header else f"column {column + 1}"
        for column, lead in enumerate(names)
        if lead is None and column != time
    ]
    return twelve_lead_ecg(
        ((values[:, wanted] - dialect.zero) * (np.array(factors) * dialect.resolution)).T,
        [lead for lead in names if lead],
        rate=hertz,
        source=source,
        ignored=others,
        fewer_leads=fewer_leads,
    )


def stated_table(data: bytes, dialect: Dialect, source: str) -> Stated | Bare:
    """The channels of a table of any signal, as its dialect says. Raises `FormatError` where it is not so."""
    layout, values = _parsed(data, dialect, source)
    values = (values - dialect.zero) * dialect.resolution
    units = dialect.units if dialect.units is not None else dialect.unit
    stated = None if units is None else (units,) if isinstance(units, str) else units
    if dialect.samples_in == "columns":
        names, rows, rate = dialect.channels or dialect.leads or (), values, dialect.rate
    else:
        time = layout.time_column
        places, names = layout.channel_columns(values.shape[1])
        rows = values[:, places].T
        rate = dialect.rate if time is None else _rate(dialect, values[:, time], None, source)
        if not names and layout.header:
            headed = columns_under([layout.header[place] for place in places], rows.T, source, stated)
            return headed if rate is None else replace(headed, rates=(rate,) * len(headed.names))
    if not names:
        return Bare(rows, rate, stated or (None,))
    if len(names) != len(rows):
        raise FormatError(f"{source}: the dialect names {len(names)} channels, and the table has {len(rows)}")
    if stated is not None and len(stated) not in (1, len(names)):
        raise FormatError(
            f"{source}: the dialect states {len(stated)} units for {len(names)} channels; one, or one each"
        )
    return Stated(
        tuple(names),
        (stated or (None,)) * (1 if stated and len(stated) > 1 else len(names)),
        (rate,) * len(names),
        (rows.shape[1],) * len(names),
        lambda chosen: (rows[list(chosen)], ()),
    )


def _parsed(data: bytes, dialect: Dialect, source: str) -> tuple[_Layout, NDArray[np.float64]]:
    """Where in the table what is, and its numbers `(rows, columns)`."""
    try:
        text = data.decode(dialect.encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        raise FormatError(
            f"{source}: not text in {dialect.encoding} ({error}); state its encoding in the dialect"
        ) from error
    layout = _Layout(text, dialect, source)
    return layout, table_numbers(layout.lines, layout.delimiter, source, *layout.marks)


class _Layout:
    """A table's lines, delimiter and header row, and which of its columns are what."""

    def __init__(self, text: str, dialect: Dialect, source: str) -> None:
        self._dialect, self._source = dialect, source
        skipped = text.splitlines()[dialect.skip_rows :]
        lines = table_lines("\n".join(skipped), dialect.comment)
        self.lines = [(number + dialect.skip_rows, line) for number, line in lines]
        if not self.lines:
            raise FormatError(f"{source}: no rows after the {dialect.skip_rows} that the dialect skips")
        self.marks = dialect.decimal, dialect.missing
        if dialect.delimiter is None:
            self.delimiter = delimiter_of(self.lines[0][1], dialect.decimal)
        else:
            self.delimiter = _DELIMITERS.get(dialect.delimiter)
        self.header: list[str] = []
        if dialect.samples_in == "rows" and (dialect.header or (dialect.header is None and not self._is_number_row())):
            self.header = table_cells(self.lines[0][1], self.delimiter)
            self.lines = self.lines[1:]
        self.time_column = None if dialect.time is None else self._column(dialect.time.column, "time")

    def _is_number_row(self) -> bool:
        try:
            table_numbers(self.lines[:1], self.delimiter, self._source, *self.marks)
        except FormatError:
            return False
        return True

    def _column(self, column: str | int, what: str) -> int:
        if isinstance(column, int):
            return column - 1
        if column not in self.header:
            raise FormatError(
                f"{self._source}: the dialect's {what} is column {column!r}, which the header row has not "
                f"({', '.join(self.header[:20]) or 'there is none'})"
            )
        return self.header.index(column)

    def channel_columns(self, n_columns: int) -> tuple[list[int], tuple[str, ...]]:
        """The columns that are channels of any signal, and their names where the dialect states them."""
        dialect = self._dialect
        if dialect.columns is not None:
            return [self._column(column, name) for name, column in dialect.columns.items()], tuple(dialect.columns)
        places = [column for column in range(n_columns) if column != self.time_column]
        return places, dialect.channels or dialect.leads or ()

    def column_names(
        self, given: Sequence[str] | None = None, n_columns: int | None = None
    ) -> tuple[list[str | None], list[str | None]]:
        """The lead of each column, None for any other, and the unit that its name states."""
        source, dialect = self._source, self._dialect
        if n_columns is None:
            n_columns = len(table_cells(self.lines[0][1], self.delimiter)) if self.lines else len(self.header)
        names: list[str | None] = [None] * n_columns
        units = [name_and_unit(cell)[1] or None for cell in self.header] if self.header else [None] * n_columns
        others = [column for column in range(n_columns) if column != self.time_column]
        stated = dialect.leads
        if dialect.columns is not None:
            stated = tuple(dialect.columns)
            others = [self._column(column, lead) for lead, column in dialect.columns.items()]
            if beyond := [column + 1 for column in others if column >= n_columns]:
                raise FormatError(f"{source}: the dialect names column {beyond[0]}; the table has {n_columns}")
            if len(set(others)) < len(others) or self.time_column in others:
                raise FormatError(f"{source}: the dialect gives one column two meanings")
        if self.time_column is not None and self.time_column >= n_columns:
            raise FormatError(
                f"{source}: the dialect's time is column {self.time_column + 1}; the table has {n_columns}"
            )
        found: tuple[str | None, ...] | None = _same(stated, given, source)
        if found is None or (stated is None and self.header):
            if not self.header:
                require("the table", source, leads=None)
            found = name_channels([name_and_unit(self.header[column])[0] for column in others], given, source)
            if not any(found):
                raise FormatError(
                    f"{source}: no column is named after a lead ({', '.join(self.header[:20])}); name the leads in the "
                    "dialect, as leads or columns"
                )
        elif len(found) != len(others):
            raise FormatError(
                f"{source}: {len(found)} leads for {len(others)} columns; expected a name for each, or columns in the "
                "dialect that say which is which"
            )
        for column, lead in zip(others, found, strict=True):
            names[column] = lead
        return names, [unit if lead else None for unit, lead in zip(units, names, strict=False)]


def _same(stated: Sequence[str] | None, given: Sequence[str] | None, source: str) -> tuple[str, ...] | None:
    """The leads that the dialect states, or else the caller gives; both must name the same."""
    leads = None if stated is None else canonical_leads(stated, source)
    wanted = None if given is None else canonical_leads(given, source)
    if leads and wanted and leads != wanted:
        raise FormatError(
            f"{source}: the dialect names {', '.join(leads)}, but leads={' '.join(wanted)} was given; leave leads out"
        )
    return leads or wanted


def _rate(dialect: Dialect, times: np.ndarray | None, given: float | None, source: str) -> float:
    stated = dialect.rate
    if times is not None and dialect.time is not None:
        measured, tolerance = rate_of_times(times, dialect.time.unit, source)
        for rate, name in ((stated, "the dialect's rate"), (given, "the rate given")):
            if rate is not None and abs(measured - rate) > tolerance * rate:
                raise FormatError(
                    f"{source}: {name} is {rate:g} Hz, but its time column says {measured:g} Hz; "
                    "expected the two to agree"
                )
        if stated is None and given is None:
            return measured
    require("the table", source, rate=given if stated is None else stated)
    return agreed_rate(stated, given, source, "the dialect's rate")
