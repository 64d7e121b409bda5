"""A user's table of labels and what may stand beside it: read as text, each value checked and named if it is wrong.

Labels come in two forms: columns of 1 and 0, one a finding, or one column of class names, of which a record has one.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN
from ecoscale.errors import DatasetError
from ecoscale.findings import FINDINGS
from ecoscale.formats.leads import canonical_lead
from ecoscale.formats.quantities import UNITS, millivolts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

FILE_COLUMNS = ("path", "file")
PATIENT_COLUMNS = ("patient", "patient_id", "subject", "subject_id")
CLASS_COLUMNS = ("label", "class")
RESERVED = ("record", *FILE_COLUMNS, *PATIENT_COLUMNS, *CLASS_COLUMNS, "fold", "exam_id")

_NO_LABELS = [name for name in RESERVED if name not in CLASS_COLUMNS]

NOT = "not "
"""Before the name of a label that a row states to be absent, in its codes: what they do not name is unknown."""

_NO_NOT = f"a name that begins with '{NOT}' could not be told from the absence of another: give it another name"
_VALUES = {"1": PRESENT, "1.0": PRESENT, "true": PRESENT, "0": ABSENT, "0.0": ABSENT, "false": ABSENT}
_VALUES |= {"": UNKNOWN, "unknown": UNKNOWN}
_EXPECTED = "1, 0, true, false, or nothing or 'unknown' for what nobody looked at"
_SPELLING = {name.casefold(): name for name in FINDINGS}


def _lead(lead: str) -> str:
    if canonical_lead(lead) is None:
        raise ValueError("not one of the twelve leads; expected I, II, ... V6 (channels of other signals: 'channels')")
    return lead


Name = Annotated[str, Field(min_length=1)]


class Settings(BaseModel):
    """What `dataset.yaml` may state: what files do not say of themselves, and which columns or classes are labels.

    `rate` in Hz; `leads` of ECGs with their `unit`, or `channels` of other signals with one `unit` for all or `units`,
    one a channel. `classes` are the names in the column of classes, in the order in which a network is to give them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    unit: str | None = None
    units: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    leads: Annotated[tuple[Annotated[str, AfterValidator(_lead)], ...], Field(min_length=1)] | None = None
    channels: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    classes: Annotated[tuple[Name, ...], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        for one, other in (("leads", "channels"), ("unit", "units")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{one} and {other} mean the same; keep one")
        if self.leads is not None and self.units is not None:
            raise ValueError("units are of channels; the leads of an ECG have one unit")
        if self.leads is not None and self.unit is not None and millivolts(self.unit) is None:
            raise ValueError(f"unit is {self.unit!r}, which is not a unit of voltage; of leads expected {UNITS}")
        if self.units is not None and self.channels is None:
            raise ValueError("units are one a channel; give channels too, or one unit for all")
        if self.units is not None and self.channels is not None and len(self.units) != len(self.channels):
            raise ValueError(f"{len(self.units)} units for {len(self.channels)} channels; expected one each")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What it states of files."""
        return self.model_dump(include={"rate", "unit", "units", "leads", "channels"}, exclude_none=True)


def read_settings(path: Path) -> Settings:
    """The settings in a YAML file; none where it is not there. Raises `DatasetError` naming the key that is wrong."""
    if not path.exists():
        return Settings()
    import yaml

    try:
        return Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"{path}: cannot be read as YAML ({error})") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'} is {one['input']!r}: {one['msg']}"
            if one["type"] != "value_error" or one["loc"]
            else one["msg"].removeprefix("Value error, ")
            for one in error.errors()
        )
        raise DatasetError(f"{path}: {wrong}. It may state {', '.join(Settings.model_fields)}") from error


def read_label_table(path: Path) -> pd.DataFrame:
    """Every cell as text without spaces around it; the names of `RESERVED` columns in lower case.

    Cells are parted by tabs in `.tsv`; else by commas, or by semicolons if the header has no comma. Raises
    `DatasetError` for a table without rows, a column that occurs twice, or a row of another length than the header.
    """
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = "\t" if path.suffix == ".tsv" else ";" if ";" in first and "," not in first else ","
            file.seek(0)
            lines = [[cell.strip() for cell in line] for line in csv.reader(file, delimiter=delimiter) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    if len(lines) < 2:
        raise DatasetError(f"{path}: no rows; expected a header and a row for each recording")
    header = [name.lower() if name.lower() in RESERVED else name for name in lines[0]]
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise DatasetError(f"{path}: column {twice!r} occurs twice; expected a name each")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(header):
            raise DatasetError(f"{path}: row {number} has {len(line)} cells; expected {len(header)} as in the header")
    return pd.DataFrame(lines[1:], columns=header, dtype=str)


def one_of(rows: pd.DataFrame, names: Sequence[str], table: Path) -> str | None:
    """The one of these columns that the table has; None without. Raises `DatasetError` if it has more."""
    found = [name for name in names if name in rows]
    if len(found) > 1:
        raise DatasetError(f"{table}: columns {' and '.join(found)} mean the same; keep one")
    return found[0] if found else None


def label_columns(
    rows: pd.DataFrame, table: Path, declared: Sequence[str] | None
) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """The labels of each label column, present 1, absent 0, unknown -1; and what was left out, with the reason.

    Label columns are those `declared`, or else those named as a finding of the vocabulary and any other in which every
    value is a label. Raises `DatasetError` naming row, column, value and what was expected, or if there is none.
    """
    if missing := [name for name in declared or () if name not in rows or name in _NO_LABELS]:
        raise DatasetError(f"{table}: no column {', '.join(missing)}, which dataset.yaml names among its labels")
    labels: dict[str, NDArray[np.int8]] = {}
    left_out = []
    for name in [column for column in rows if column not in _NO_LABELS]:
        if declared is not None and name not in declared:
            left_out.append(f"{name} (not among the labels of dataset.yaml)")
            continue
        values = rows[name].str.casefold().map(_VALUES)
        wrong = np.flatnonzero(values.isna())
        if len(wrong) and (name in FINDINGS or declared is not None):
            raise DatasetError(
                f"{table}: {name} is {rows[name].iloc[wrong[0]]!r} in row {wrong[0] + 1}; expected {_EXPECTED}"
            )
        if len(wrong):
            left_out.append(f"{name} ({rows[name].iloc[wrong[0]]!r} in row {wrong[0] + 1})")
        elif name not in FINDINGS and declared is None and (values == UNKNOWN).all():
            left_out.append(f"{name} (empty)")
        elif name.startswith(NOT):
            raise DatasetError(f"{table}: column {name!r}: {_NO_NOT}")
        elif name not in FINDINGS and name.casefold() in _SPELLING:
            raise DatasetError(
                f"{table}: column {name!r} is spelled {_SPELLING[name.casefold()]!r} in the vocabulary; write it so, "
                "or give it another name if it means something else"
            )
        else:
            labels[name] = values.to_numpy(dtype=np.int8)
    if not labels:
        beside = f"; its other columns: {', '.join(left_out)}" if left_out else ""
        raise DatasetError(
            f"{table}: no label column{beside}. Expected one for each finding, for example AF, of {_EXPECTED}; or a "
            f"column {' or '.join(CLASS_COLUMNS)} of class names"
        )
    return labels, left_out


def class_column(rows: pd.DataFrame, table: Path, declared: Sequence[str] | None) -> str | None:
    """The column of class names, of which each record has one; None where labels are columns of 1 and 0.

    Raises `DatasetError` where it cannot be told which of the two is meant.
    """
    name = one_of(rows, CLASS_COLUMNS, table)
    if name is None or (declared is not None and name not in declared):
        return None
    others = [other for other in declared or rows if other != name and (declared is not None or other in FINDINGS)]
    if others:
        raise DatasetError(
            f"{table}: column {name} names a class for each record, and {', '.join(others)} say of each record whether "
            f"it shows that; write into dataset.yaml which are the labels: 'labels: [{name}]' or "
            f"'labels: [{', '.join(others)}]'"
        )
    return name


def labels_of_classes(
    rows: pd.DataFrame, column: str, table: Path, declared: Sequence[str] | None
) -> dict[str, NDArray[np.int8]]:
    """The labels of each class: in a record of one class, present for that and absent for all others; else unknown.

    Classes lie in the order `declared`, or else sorted, numbers by their size. Nothing and `unknown` mean that the
    class is not known. Raises `DatasetError` naming row and value of a class that was not declared, that differs from
    another only in capitals, or that begins with `not `; and where there are fewer than two.
    """
    values = rows[column].to_numpy(dtype=str)
    known = np.array([_VALUES.get(value.casefold()) != UNKNOWN for value in values], dtype=bool)
    first = {name: int(np.flatnonzero(values == name)[0]) + 1 for name in np.unique(values[known]).tolist()}
    if declared is not None:
        if strange := next((name for name in first if name not in declared), None):
            raise DatasetError(
                f"{table}: {column} is {strange!r} in row {first[strange]}; dataset.yaml names the classes "
                f"{', '.join(declared)}; write one of them, or nothing or 'unknown'"
            )
    elif alike := _alike(first):
        one, other = alike
        raise DatasetError(
            f"{table}: {column} is {one!r} in row {first[one]} and {other!r} in row {first[other]}; write both alike "
            "if they are one class, or state 'classes' in dataset.yaml if they are two"
        )
    if refused := next((name for name in first if name.startswith(NOT)), None):
        raise DatasetError(f"{table}: {column} is {refused!r} in row {first[refused]}; {_NO_NOT}")
    if len(first) < 2:
        raise DatasetError(f"{table}: {column} has {len(first)} classes ({', '.join(first)}); expected at least two")
    names = sorted(first, key=_by_size) if declared is None else [name for name in declared if name in first]
    return {name: np.where(known, np.where(values == name, PRESENT, ABSENT), UNKNOWN).astype(np.int8) for name in names}


def _alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ in capitals alone."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.casefold(), name)) != name:
            return other, name
    return None


def _by_size(name: str) -> tuple[float, str]:
    """Numbers first, by their size; then words."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def fold_column(rows: pd.DataFrame, table: Path) -> NDArray[np.int64]:
    """The column `fold`, 0 without it. Raises `DatasetError` naming the row that holds no whole number."""
    if "fold" not in rows:
        return np.zeros(len(rows), dtype=np.int64)
    for number, text in enumerate(rows["fold"], 1):
        if not (text.isdecimal() and len(text) < 10):
            raise DatasetError(f"{table}: fold is {text!r} in row {number}; expected a whole number")
    return rows["fold"].astype(np.int64).to_numpy()
