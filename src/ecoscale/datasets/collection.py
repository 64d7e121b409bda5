"""The contract of a collection, and opening one by its folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN, label_matrix
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Collection", "list_collections", "open_collection"]

_COLLECTIONS: dict[str, type[Collection]] = {}


class Collection(ABC):
    """Records of one source, with patients, folds and labels.

    `records` is a table indexed by record id (str) with at least the columns `patient` (str; records of one patient
    never part ways in a split), `fold` (int, 0 where the publisher gives none), `codes` (frozenset of the
    collection's own codes) and `path` (its file, from `directory`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str]
    scheme: ClassVar[str]

    directory: Path
    records: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        _COLLECTIONS[cls.name] = cls

    @classmethod
    @abstractmethod
    def recognises(cls, directory: Path) -> bool:
        """Whether a folder holds this collection, by its content."""

    @abstractmethod
    def read(self, record: str) -> ECG:
        """One record by its id. Raises `EcoscaleError` naming the file if it cannot be read."""

    def path(self, record: str) -> Path:
        """The file that holds a record. Raises `DatasetError` for an id that is not in the collection."""
        if record not in self.records.index:
            raise DatasetError(f"{self.directory}: {self.title} has no record {record!r} here")
        return self.directory / str(self.records.loc[record, "path"])

    def labels(self, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`: present 1, absent 0, unknown -1."""
        return label_matrix(self.records["codes"], findings, self.scheme)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self):,} records in {self.directory}>"


def read_table(path: Path, columns: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """A collection's CSV, those in `text` as strings, after checking that `columns` are there and filled.

    Raises `DatasetError` naming the column and the first row that is empty in it.
    """
    import pandas as pd

    try:
        rows = pd.read_csv(path, dtype=dict.fromkeys(text, str))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as a table ({error}); download it again") from error
    if missing := [name for name in columns if name not in rows.columns]:
        raise DatasetError(f"{path}: column {', '.join(missing)} is missing; found {', '.join(map(str, rows.columns))}")
    for name in columns:
        empty = np.flatnonzero(rows[name].isna())
        if len(empty):
            raise DatasetError(f"{path}: {name} is empty in row {empty[0] + 1}, and in {len(empty) - 1} more")
    return rows


def list_collections() -> dict[str, type[Collection]]:
    """The known collections by name."""
    return dict(sorted(_COLLECTIONS.items()))


def open_collection(directory: str | Path, name: str | None = None, **options) -> Collection:
    """Open the collection in a folder, which is recognised by its content unless `name` says what it is.

    Raises `DatasetError` when the folder is missing, holds no known collection, or the name is unknown.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DatasetError(f"{directory}: no such folder; give the folder that the publisher's archive unpacks to")
    if name is None:
        name = next((known for known, cls in list_collections().items() if cls.recognises(directory)), None)
        if name is None:
            raise DatasetError(
                f"{directory}: none of the collections {', '.join(list_collections())} is recognised here; give the "
                "folder with its table (ptbxl_database.csv, exams.csv) or its WFDBRecords folder"
            )
    if name not in _COLLECTIONS:
        raise DatasetError(f"no collection {name!r}; there are {', '.join(list_collections())}")
    return _COLLECTIONS[name](directory, **options)  # type: ignore[call-arg]
