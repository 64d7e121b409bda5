"""The contract of a collection, and opening one by its folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN, label_matrix
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Collection", "list_collections", "open_collection"]

_COLLECTIONS: dict[str, type[Collection]] = {}


class Collection(ABC):
    """Records of one source, with patients, folds and labels.

    `records` is a table indexed by record id (str) with at least the columns `patient` (str; records of one patient
    never part ways in a split), `fold` (int, 0 where the publisher gives none) and `codes` (frozenset of the
    collection's own codes).
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

    def labels(self, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`: present 1, absent 0, unknown -1."""
        return label_matrix(self.records["codes"], findings, self.scheme)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self):,} records in {self.directory}>"


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
