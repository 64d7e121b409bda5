"""Bare arrays: NumPy `.npy`, and text tables (CSV, TSV). Neither states a rate or a unit: the caller must.

A table's header row may name the leads, and the unit after a name (`II (uV)`); a column `time (s)` states the rate.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.leads import canonical_lead, canonical_leads, name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import (
    agreed_rate,
    millivolts,
    rate_of_times,
    refuse_longer,
    refuse_other_unit,
    refuse_record,
    required_millivolts,
)
from ecoscale.formats.stated import TIME, Bare, named_columns, oriented

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.formats.stated import Stated

_NAME_AND_UNIT = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]")


def read_npy(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
    longest: float | None = None,
) -> ECG:
    """Read `(leads, samples)` or `(samples, leads)`; which of the two, the number of leads given decides.

    Raises `FormatError` without `rate`, `unit` and `leads`, or for an array that cannot be such a signal. Pickled
    objects are never loaded.
    """
    mapped = open_npy(path, source=source, record=record, rate=rate, unit=unit, leads=leads)
    refuse_longer(mapped.rows.shape[1], mapped.rate, longest, source)
    return bare_ecg(mapped, source, fewer_leads)


@dataclass(frozen=True, eq=False)
class BareArray:
    """`rows` `(leads, samples)` of numbers that are `factor` mV each, with what the caller states about them."""

    rows: NDArray
    leads: tuple[str, ...]
    rate: float
    factor: float


def open_npy(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> BareArray:
    """The same array where it lies, mapped into memory: samples are read when they are used. Raises as `read_npy`."""
    values = _mapped(path, source, (2,))
    refuse_record(record, source)
    require("a .npy array", source, rate=rate, unit=unit, leads=leads)
    return bare_array(values, source, rate, unit, leads)


def stated_npy(path: Path, source: str) -> Bare:
    """The numbers of any signal, which a `.npy` file says nothing else of; of one dimension: of one channel."""
    return Bare(np.atleast_2d(_mapped(path, source, (1, 2))))


def _mapped(path: Path, source: str, dimensions: tuple[int, ...]) -> NDArray:
    try:
        # Mapped, so that a header which promises more than the file holds is refused before memory is taken.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # the header is a Python literal, and its parser lets many exceptions pass
        raise FormatError(
            f"{source}: the .npy file cannot be read ({type(error).__name__}: {error}); expected a whole array of "
            "numbers, saved with numpy.save"
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.ndim not in dimensions:
        found = f"{getattr(values, 'dtype', type(values))} of shape {getattr(values, 'shape', 'unknown')}"
        rows = "leads" if dimensions == (2,) else "channels"
        raise FormatError(f"{source}: the .npy array is {found}; expected real numbers, ({rows}, samples)")
    return values


FOLDER_DIALECT = "ecg-dialect.yaml"


def dialect_beside(path: Path) -> Path | None:
    """The description of how a table is read (`ecoscale.formats.dialect`) that lies beside it, or in its folder."""
    for beside in (path.with_name(path.name + ".yaml"), path.with_name(FOLDER_DIALECT)):
        if beside != path and os.path.isfile(beside):  # noqa: PTH113  (false where Path.is_file raises)
            return beside
    return None


def looks_like_table(text: str, *, named: bool = True) -> bool:
    """Whether text begins as a table does: a row of numbers, or a header row that names a lead.

    With `named` false, a header row of any names over a row of numbers will do.
    """
    lines = table_lines(text)
    if not lines:
        return False
    delimiter = delimiter_of(lines[0][1])
    first, *second = (table_cells(line, delimiter) for _, line in lines[:2])
    if any(map(_lead_and_unit_of, first)) or _aretable_numbers(first):
        return True
    return not named and bool(second) and _aretable_numbers(second[0])


def read_table(
    text: str,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
) -> ECG:
    """Read a table of numbers, separated by tab, semicolon, comma or blanks; empty cells are missing samples.

    With a header row each column is a channel. Without one the orientation follows from the number of leads given.

    Raises `FormatError` without `rate`, `unit` or names of the leads, or naming the line that is not as it should be.
    """
    lines = table_lines(text)
    delimiter = delimiter_of(lines[0][1])
    header = table_cells(lines[0][1], delimiter)
    if all(map(_is_number, header)):
        header = []
    values = table_numbers(lines[1:] if header else lines, delimiter, source)
    refuse_record(record, source)
    if not header:
        require("a table without a header row", source, rate=rate, unit=unit, leads=leads)
        bare = bare_array(values, source, rate, unit, leads)
        return bare_ecg(bare, source, fewer_leads)

    refuse_other_width(header, values, source)
    timed = [column for column, name in enumerate(header) if TIME.fullmatch(name)]
    own_rate = rate_of_times(values[:, timed[0]], "s", source)[0] if len(timed) == 1 else None
    names, units = zip(*map(name_and_unit, header), strict=True)
    found = name_channels(names, leads, source)
    if not any(found):
        raise FormatError(
            f"{source}: no column of the table is named after a lead ({', '.join(header[:20])}); name them I, II, ... "
            "V6, or give leads="
        )
    if any(name and text_unit for name, text_unit in zip(found, units, strict=True)):
        refuse_other_unit([u for u in units if millivolts(u)], unit, source, "the header row's unit")
        require("a table", source, rate=own_rate or rate)
    else:
        require("a table", source, rate=own_rate or rate, unit=unit)
    factors = [
        required_millivolts(own or unit or "", source, f"the unit of column {name}") if lead else 0.0
        for name, own, lead in zip(names, units, found, strict=True)
    ]
    wanted = [column for column, lead in enumerate(found) if lead]
    return twelve_lead_ecg(
        values.T[wanted] * np.array(factors)[wanted, None],
        [lead for lead in found if lead],
        rate=agreed_rate(own_rate, rate, source, "the rate by the column of times"),
        source=source,
        ignored=[
            name
            for column, name in enumerate(header)
            if not found[column] and (own_rate is None or column not in timed)
        ],
        fewer_leads=fewer_leads,
    )


def stated_table(text: str, source: str) -> Stated | Bare:
    """The columns of a table of any signal, as `named_columns`; its bare numbers where it has no header row."""
    lines = table_lines(text, named=False)
    if not lines:
        raise FormatError(f"{source}: the table has no rows")
    delimiter = delimiter_of(lines[-1][1])
    header = table_cells(lines[0][1], delimiter)
    if all(map(_is_number, header)):
        return Bare(table_numbers(lines, delimiter, source))
    values = table_numbers(lines[1:], delimiter, source)
    if delimiter is None and values.shape[1] == 1:
        header = [lines[0][1].strip("\"'")]  # a name may have blanks
    return columns_under(header, values, source)


def columns_under(header: Sequence[str], values: NDArray, source: str, units: Sequence[str] | None = None) -> Stated:
    """`named_columns` of numbers `(rows, columns)`. Raises `FormatError` unless there are as many names."""
    refuse_other_width(header, values, source)
    return named_columns(header, lambda column: values[:, column], len(values), source, units)


def refuse_other_width(header: Sequence[str], values: NDArray, source: str) -> None:
    """Raise `FormatError` where a header row has another number of columns than the rows below."""
    if values.shape[1] != len(header):
        raise FormatError(
            f"{source}: the header row has {len(header)} columns, the rows below have {values.shape[1]}; expected as "
            "many names as columns"
        )


def bare_array(
    values: NDArray, source: str, rate: float | None, unit: str | None, leads: Sequence[str] | None
) -> BareArray:
    """An array without any names, of which all was given; which side the leads are, their number decides."""
    names = canonical_leads(leads or (), source)
    rows = oriented(values, len(names), source, "leads")
    factor = required_millivolts(unit or "", source, "the unit given")
    return BareArray(rows, names, agreed_rate(None, rate, source, "the rate"), factor)


def bare_ecg(bare: BareArray, source: str, fewer_leads: bool, record: str = "") -> ECG:
    """The ECG of a bare array, read into memory."""
    rows = np.array(bare.rows, dtype=np.float64) * bare.factor
    return twelve_lead_ecg(rows, bare.leads, rate=bare.rate, source=source, record=record, fewer_leads=fewer_leads)


def require(what: str, source: str, **given: object) -> None:
    """Raise `FormatError` naming those of a recording's facts that nobody stated (None)."""
    if missing := [name for name, value in given.items() if value is None]:
        raise FormatError(
            f"{source}: {what} does not state its {', '.join(missing)}; give "
            f"{', '.join(f'{name}=' for name in missing)} (nothing is guessed)"
        )


def table_lines(text: str, comment: str = "#", *, named: bool = True) -> list[tuple[int, str]]:
    """Line numbers and lines, without blank lines and comments; numpy.savetxt's commented header is kept.

    With `named` false, one is kept that names anything, in as many columns as the row below has.
    """
    lines = [(number, line.strip("\r\n ")) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    kept = [(number, line) for number, line in lines if not line.startswith(comment)]
    comments = [(number, line.lstrip(comment + " ")) for number, line in lines if line.startswith(comment)]
    if kept and comments and comments[-1][0] < kept[0][0]:
        cells = table_cells(comments[-1][1], delimiter_of(kept[0][1]))
        below = table_cells(kept[0][1], delimiter_of(kept[0][1]))
        is_heading = len(cells) == len(below) and all(map(_is_number, below)) and not any(map(_is_number, cells))
        if any(map(_lead_and_unit_of, cells)) or (not named and is_heading):
            kept.insert(0, comments[-1])
    return kept


def delimiter_of(line: str, decimal: str = ".") -> str | None:
    """The first of tab, semicolon and comma that a line has, unless it is the decimal mark; None: blanks."""
    return next((delimiter for delimiter in "\t;," if delimiter in line and delimiter != decimal), None)


def table_cells(line: str, delimiter: str | None) -> list[str]:
    """A line's cells without blanks and quotes around them."""
    return [cell.strip().strip("\"'").strip() for cell in line.split(delimiter)]


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _aretable_numbers(cells: list[str]) -> bool:
    return len(cells) > 1 and any(cells) and all(map(_is_number, cells))


def name_and_unit(cell: str) -> tuple[str, str]:
    """A heading's name, and the unit of voltage in brackets after it, if there is one."""
    match = _NAME_AND_UNIT.fullmatch(cell)
    if match and millivolts(match["unit"]) is not None:
        return match["name"], match["unit"]
    return cell, ""


def _lead_and_unit_of(cell: str) -> bool:
    return canonical_lead(name_and_unit(cell)[0]) is not None


def table_numbers(
    lines: list[tuple[int, str]],
    delimiter: str | None,
    source: str,
    decimal: str = ".",
    missing: Sequence[str] = (),
) -> NDArray[np.float64]:
    """`(rows, columns)`, NaN for an empty cell. Raises `FormatError` naming the line that is not as it should be."""
    rows: list[list[float]] = []
    for number, line in lines:
        cells = table_cells(line, delimiter)
        if missing:
            cells = ["" if cell in missing else cell for cell in cells]
        if decimal != ".":
            # A point there would be of thousands, or of a table that is not in this dialect.
            cells = [cell.replace(".", " .").replace(decimal, ".") for cell in cells]
        try:
            rows.append([float(cell or "nan") for cell in cells])
        except ValueError:
            wrong = next(cell for cell in cells if not _is_number(cell))
            mark = "a point" if decimal == "." else "a comma"
            raise FormatError(
                f"{source}: line {number} of the table has {wrong[:40]!r} where a number is expected ({mark} as the "
                "decimal mark)"
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise FormatError(
                f"{source}: line {number} of the table has {len(rows[-1])} columns; expected {len(rows[0])} as in "
                "the lines above"
            )
    if not rows:
        raise FormatError(f"{source}: the table has a header row and no samples")
    return np.array(rows)
