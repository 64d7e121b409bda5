"""The prepared store: a collection's records conformed once, memory-mapped, beside a table and a manifest.

A folder of three files. `signals.npy` holds `(records, channels, window)`, of ECGs int16 in steps of `STEP` mV (or
float16 in mV), of other signals float32 in their units, a row for each record of the collection; `records.parquet`
the records that could be read, each with its `row`, patient, fold, codes, warnings and a column of labels for each
finding (null: unknown); `manifest.json` what they were made from, with checksums, and why the other records could not
be read. `ecoscale.datasets.preparing` writes it; its presence under its own name says that it is whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ecoscale.datasets.collection import named_collection
from ecoscale.errors import DatasetError, MissingExtraError
from ecoscale.preparation import Preparation  # noqa: TC001 - pydantic reads it at run time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

STEP = 0.001
"""Millivolts for each step of the stored integers: the resolution of PTB-XL, and +-32 mV of range."""

BLOCK = 128
"""Records that are written, and carry a checksum, together."""

MANIFEST, SIGNALS, RECORDS = "manifest.json", "signals.npy", "records.parquet"
TABLE_COLUMNS = ("record", "row", "patient", "fold", "path", "codes", "warnings")

DType = Literal["int16", "float16", "float32"]
"""Integers in steps of `STEP` mV, or numbers in the preparation's units; float32 holds signals of any range."""


class Manifest(BaseModel):
    """What a store was made from. `unreadable` maps records to the reason; `checksums` are SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    collection: str
    title: str
    source: str
    licence: str
    directory: str
    records: int
    records_digest: str
    options: dict[str, str | float | list[str]]
    preparation: Preparation
    dtype: DType
    revision: str
    digest: str
    ecoscale: str
    step_mv: float | None
    notes: tuple[str, ...]
    unreadable: dict[str, str]
    checksums: dict[str, str | list[str]]


@dataclass(frozen=True, eq=False)
class PreparedStore:
    """An open store: read any records of it, from as many processes as you like.

    `signals` is a read-only memory map. Sending a store to another process sends its path, not its content. `table`
    replaces what the store says about patients, folds and codes, in the same records and order.
    """

    path: Path
    manifest: Manifest
    signals: NDArray[np.int16] | NDArray[np.float16] = field(repr=False)
    table: pd.DataFrame | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple:
        return _reopen, (self.path, self.table)

    def __len__(self) -> int:
        return self.manifest.records - len(self.manifest.unreadable)

    @property
    def preparation(self) -> Preparation:
        """How its records were prepared."""
        return self.manifest.preparation

    @cached_property
    def records(self) -> pd.DataFrame:
        """The table of readable records by id: `row`, `patient`, `fold`, `path`, `warnings`, and `part` if any."""
        columns = [name for name in (*TABLE_COLUMNS, "part") if name != "codes"]
        stored = self._read_table(columns)
        return stored if self.table is None else stored.assign(patient=self.table["patient"], fold=self.table["fold"])

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of `signals` for each record of `records`."""
        return self.records["row"].to_numpy(dtype=np.int64)

    def read(self, positions: ArrayLike) -> NDArray[np.float32]:
        """Signals `(records, leads, window)` in mV, of the records at these positions in `records`."""
        signals = self.signals[self.rows[np.asarray(positions)]].astype(np.float32)
        return signals if self.manifest.step_mv is None else np.multiply(signals, STEP, out=signals)

    @cached_property
    def stated(self) -> pd.DataFrame:
        """What the labels are made from: `codes`, and `part` if any, of each record."""
        stated = self._read_table(["record", "codes", "part"]) if self.table is None else self.table
        return stated.filter(["codes", "part"])

    @property
    def codes(self) -> pd.Series:
        """Each record's codes, in the collection's own scheme."""
        return self.stated.codes

    def labels(self, findings: Sequence[str], task: str | None = None) -> NDArray[np.int8]:
        """Labels `(records, findings)` from the records' codes, as `Collection.labels` gives them."""
        return named_collection(self.manifest.collection).label_for(self.stated, findings, task)

    def warnings(self) -> dict[str, int]:
        """How many records carry each warning, by its code, the most frequent first."""
        codes = self.records["warnings"].str.extractall(r"(?m)^(?P<code>\w+):")["code"]
        return {str(code): int(count) for code, count in codes.value_counts().items()}

    def verify(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> None:
        """Compare every byte with the manifest's checksums. Raises `DatasetError` naming the first damaged records."""
        if file_digest(self.path / RECORDS) != self.manifest.checksums[RECORDS]:
            raise _damaged(self.path, f"{RECORDS} is not what was written")
        for block in progress(range(len(self.manifest.checksums[SIGNALS]))):
            rows = self.signals[block * BLOCK : (block + 1) * BLOCK]
            if hashlib.sha256(rows.tobytes()).hexdigest() != self.manifest.checksums[SIGNALS][block]:
                last = min((block + 1) * BLOCK, len(self.signals)) - 1
                raise _damaged(self.path, f"rows {block * BLOCK} to {last} of {SIGNALS} are not what was written")

    def _read_table(self, columns: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        parquet = parquet_module()
        try:
            file = parquet.ParquetFile(self.path / RECORDS)
            there = file.schema_arrow.names
            if missing := [name for name in TABLE_COLUMNS if name not in there]:
                raise _damaged(self.path, f"{RECORDS} has no column {', '.join(missing)}")
            if file.metadata.num_rows != len(self):
                raise _damaged(self.path, f"{RECORDS} has {file.metadata.num_rows} rows; expected {len(self)}")
            table = file.read([name for name in columns if name in there]).to_pandas()
        except (OSError, ValueError) as error:
            raise _damaged(self.path, str(error)) from error
        table = table.set_index(pd.Index(table.pop("record"), name="record", dtype=object))
        if "codes" in table:
            table["codes"] = [frozenset(codes) for codes in table["codes"]]
        return table


def is_store(path: str | Path) -> bool:
    """Whether a folder holds a prepared store, by its manifest."""
    return (Path(path) / MANIFEST).is_file() and (Path(path) / SIGNALS).is_file()


def open_store(path: str | Path) -> PreparedStore:
    """Open a store, in milliseconds at any size: nothing but the manifest is read.

    Raises `DatasetError` if it is not a whole one: its files must agree with each other.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise DatasetError(f"{path}: not a prepared store, for it has no {MANIFEST}; ecoscale prepare makes one")
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
        signals = np.load(path / SIGNALS, mmap_mode="r")
        if not (path / RECORDS).is_file():
            raise FileNotFoundError(f"{RECORDS} is missing")
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _damaged(path, what) from error
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    shape = (manifest.records, manifest.preparation.n_channels, manifest.preparation.window)
    if signals.dtype != manifest.dtype or signals.shape != shape:
        found = f"{SIGNALS} is {signals.dtype} of shape {signals.shape}; {MANIFEST} says {manifest.dtype} of {shape}"
        raise _damaged(path, found)
    return PreparedStore(path, manifest, signals)


def _reopen(path: Path, table: pd.DataFrame | None) -> PreparedStore:
    store = open_store(path)
    return PreparedStore(path, store.manifest, store.signals, table)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet_module():
    """`pyarrow.parquet`, or the error that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("a prepared store", "pyarrow", "data") from error
    return pyarrow.parquet


def _damaged(path: Path, what: str) -> DatasetError:
    return DatasetError(f"{path}: not a whole prepared store ({what}); delete it and prepare again")
