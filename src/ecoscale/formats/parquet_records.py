"""Many recordings in one Parquet file: a row for each, a column for each lead that holds its samples as a list.

`record` names a row (where it is empty, its number does), `rate` and `unit` state the two for each row; what holds for
all rows may stand in the schema's metadata as in a file of one recording (`ecoscale.formats.parquet`), or be given.
Rows are read by row group, one of which is in memory at a time; 64 rows of ten seconds make one of about 15 MB.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.leads import canonical_lead, name_channels, twelve_lead_ecg
from ecoscale.formats.parquet import stated_metadata
from ecoscale.formats.quantities import agreed_millivolts, agreed_rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow

    from ecoscale.ecg import ECG

NAME, RATE, UNIT, NOTES = "record", "rate", "unit", "notes"
"""Columns beside those of leads."""

LARGEST_GROUP = 2**30
"""Bytes of samples in a row group that is read: there it lies in memory whole."""


def is_of_records(schema: pyarrow.Schema) -> bool:
    """Whether a file's rows are recordings: columns of lists are named after leads."""
    return any(canonical_lead(field.name) and _is_list(field.type) for field in schema)


def open_records(path: Path) -> RecordsFile | None:
    """A file of recordings on this machine, None for another; what was open and has not changed is open still.

    Raises what pyarrow does for a file that is damaged.
    """
    about = path.stat()
    return _opened(str(path), about.st_mtime_ns, about.st_size)


class RecordsFile:
    """An open Parquet file of recordings, by a path or a stream that can be read from any place."""

    def __init__(self, file: Any, source: str) -> None:
        import pyarrow.parquet

        self.source = source
        self._file = pyarrow.parquet.ParquetFile(file)
        self._about = self._file.schema_arrow
        self._stated = stated_metadata(self._about.metadata or {}, source)
        self._lock = Lock()
        self._group: tuple[int, Any] | None = None
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._ends = np.cumsum(counts)
        self.records = self._names()
        self._rows = {name: row for row, name in enumerate(self.records)}
        if len(self._rows) < len(self.records):
            twice = next(name for name in self.records if self.records.count(name) > 1)
            raise FormatError(f"{source}: column {NAME} names {twice!r} twice; expected a name for each row")

    def read(
        self,
        record: str | None,
        *,
        source: str | None = None,
        rate: float | None = None,
        unit: str | None = None,
        leads: Sequence[str] | None = None,
        fewer_leads: bool = False,
    ) -> ECG:
        """One recording; `record` may be left out where there is one. `source` is what the file is called otherwise.

        Raises `FormatError` for one that is not in it, or without a rate or unit that anybody states.
        """
        source = source or self.source
        if record is None and len(self.records) == 1:
            record = self.records[0]
        if record not in self._rows:
            given = "give record=" if record is None else f"{record!r} is not among them"
            raise FormatError(
                f"{source}: a Parquet file of {len(self.records):,} recordings ({', '.join(self.records[:5])}, ...); "
                f"{given}"
            )
        where = f"{source}: record {record}"
        columns = [field.name for field in self._about if _is_list(field.type) and field.name != NOTES]
        row = self._row(self._rows[record])
        channels = [name for name in columns if row[name] is not None]
        found = name_channels(channels, leads, where)
        kept = [(name, lead) for name, lead in zip(channels, found, strict=True) if lead]
        samples = [np.asarray(row[name]) for name, _ in kept]
        lengths = {name: len(one) for (name, _), one in zip(kept, samples, strict=True)}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise FormatError(f"{where}: leads of {said} samples; expected as many of each")
        about = self._stated | {name: row[name] for name in (RATE, UNIT, NOTES) if row.get(name) is not None}
        factor = agreed_millivolts(about.get(UNIT), unit, where, "the unit")
        signal = np.stack(samples) if samples else np.empty((0, 0))
        return twelve_lead_ecg(
            signal if factor == 1 else signal.astype(np.float64) * factor,
            [lead for _, lead in kept],
            rate=agreed_rate(about.get(RATE), rate, where, "the rate"),
            source=source,
            record=record,
            ignored=[name for name, lead in zip(channels, found, strict=True) if not lead],
            notes=[str(note) for note in about.get(NOTES, ())],
            fewer_leads=fewer_leads,
        )

    def _names(self) -> list[str]:
        if NAME not in self._about.names:
            return [str(row) for row in range(self._file.metadata.num_rows)]
        names = self._file.read([NAME])[NAME].to_pylist()
        return [str(row) if name in (None, "") else str(name) for row, name in enumerate(names)]

    def _row(self, number: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._ends, number, side="right"))
        with self._lock:
            if self._group is None or self._group[0] != group:
                self._group = None  # before the next is in memory
                self._group = group, self._read_group(group)
            table = self._group[1]
        first = int(self._ends[group - 1]) if group else 0
        row: dict[str, Any] = {}
        for name in table.column_names:
            value = table[name][number - first]
            if not value.is_valid:
                row[name] = None
            elif _is_list(value.type) and name != NOTES:
                row[name] = value.values.to_numpy(zero_copy_only=False)
            else:
                row[name] = value.as_py()
        return row

    def _read_group(self, group: int) -> Any:
        size = self._file.metadata.row_group(group).total_byte_size
        if size > LARGEST_GROUP:
            raise FormatError(
                f"{self.source}: a row group of {size:,} bytes; expected at most {LARGEST_GROUP:,}: write the file "
                "with smaller ones (row_group_size=64)"
            )
        wanted = [name for name in self._about.names if name != NAME]
        return self._file.read_row_group(group, [name for name in wanted if self._is_used(name)])

    def _is_used(self, name: str) -> bool:
        kind = self._about.field(name).type
        return name in (RATE, UNIT, NOTES) or _is_list(kind)


@lru_cache(maxsize=2)
def _opened(path: str, _changed: int, _size: int) -> RecordsFile | None:
    import pyarrow.parquet

    if not is_of_records(pyarrow.parquet.read_schema(path)):
        return None
    return RecordsFile(path, path)


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return types.is_floating(kind.value_type) or types.is_integer(kind.value_type)
