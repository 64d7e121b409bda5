"""The contract of a collection, and opening one by its folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN, known_findings, label_matrix, unannotated
from ecoscale.errors import DatasetError
from ecoscale.findings import FINDINGS
from ecoscale.formats import Recording, SignalRecording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ecoscale.datasets.archive import Archive
    from ecoscale.datasets.tasks import Task
    from ecoscale.ecg import ECG
    from ecoscale.preparation import Preparation

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Collection", "list_collections", "named_collection", "open_collection"]

# What options of `read_ecg` are called in `read_signal`.
_OF_SIGNALS = {"unit": "units", "leads": "channels"}

_COLLECTIONS: dict[str, type[Collection]] = {}


class Collection(ABC):
    """Records of one source, with patients, folds and labels.

    `records` is a table indexed by record id (str) with at least the columns `patient` (str; records of one patient
    never part ways in a split), `fold` (int, 0 where the publisher gives none), `codes` (frozenset of the
    collection's own codes) and `path` (its file, from `directory`). Where records come from several sources that
    were annotated differently, a column `part` (str) names it. Records lie in the order in which reading them is fast.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str]
    scheme: ClassVar[str]
    looked_for: ClassVar[str]
    """What a folder must hold to be recognised, in words."""
    parts: ClassVar[tuple[str, ...]] = ()
    """The sources of its records (the column `part`), where they were annotated differently."""
    shares_records_with: ClassVar[tuple[str, ...]] = ()
    """Names of collections that hold some of the same recordings."""
    tasks: ClassVar[tuple[Task, ...]] = ()
    """The questions of the collection's own benchmark."""
    archive: ClassVar[Archive | None] = None
    """Where its files are published; None where they cannot be downloaded without asking."""

    directory: Path
    records: pd.DataFrame
    notes: tuple[str, ...] = ()
    single_label: bool = False
    """Whether each record has one class of several, rather than findings that it shows or not."""
    options: Mapping[str, Any] = MappingProxyType({})
    """What its files do not state and a user does: `rate`, `unit` and `leads` of `read_ecg`."""

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            _COLLECTIONS[cls.name] = cls

    @classmethod
    @abstractmethod
    def recognises(cls, directory: Path) -> bool:
        """Whether a folder holds this collection, by its content."""

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the vocabulary that its codes can state."""
        return known_findings(self.scheme)

    def recording(self, record: str) -> Recording:
        """Where a record lies and how it is read; small, and fit to be sent to another process."""
        return Recording(self.path(record))

    def recording_for(self, record: str, preparation: Preparation) -> Recording:
        """The same as it is read for a network: as an ECG where it reads leads, else as a signal of any channels."""
        return self.recording(record) if preparation.is_ecg else self.signal_recording(record)

    def signal_recording(self, record: str) -> SignalRecording:
        """The same with all its channels, under the names and in the units that the file states."""
        own = self.recording(record)
        options = {_OF_SIGNALS.get(key, key): value for key, value in own.options.items() if key != "fewer_leads"}
        return SignalRecording(own.path, own.record, options)

    def read(self, record: str) -> ECG:
        """One record by its id. Raises `EcoscaleError` naming the file if it cannot be read."""
        return self.recording(record).read()

    def path(self, record: str) -> Path:
        """The file that holds a record. Raises `DatasetError` for an id that is not in the collection."""
        if record not in self.records.index:
            raise DatasetError(f"{self.directory}: {self.title} has no record {record!r} here")
        return self.directory / str(self.records.at[record, "path"])  # noqa: PD008 - ten times as fast as loc

    @classmethod
    def label(cls, records: pd.DataFrame, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)` of a table with `codes`: present 1, absent 0, unknown -1.

        What is not annotated in the collection (`unannotated.csv`) is unknown wherever no code says that it is present,
        and so is, throughout, a finding of the vocabulary that its scheme has no code for. Raises `DatasetError` for a
        name that is no finding.
        """
        coded = known_findings(cls.scheme)
        asked = [column for column, name in enumerate(findings) if name in coded or name not in FINDINGS]
        labels = np.full((len(records), len(findings)), UNKNOWN, dtype=np.int8)
        labels[:, asked] = label_matrix(records["codes"], [findings[column] for column in asked], cls.scheme)
        parts = records["part"].to_numpy() if "part" in records.columns else np.full(len(records), cls.name)
        for column, finding in enumerate(findings):
            rows = np.isin(parts, list(unannotated(finding)))
            labels[rows & (labels[:, column] == ABSENT), column] = UNKNOWN
        return labels

    @classmethod
    def label_for(cls, records: pd.DataFrame, names: Sequence[str], task: str | None = None) -> NDArray[np.int8]:
        """Labels `(records, names)` of findings, or of classes of one of its own tasks.

        Raises `DatasetError` for a task that it does not have, or a class that the task does not.
        """
        if task is None:
            return cls.label(records, names)
        own = cls.task(task)
        if strangers := [name for name in names if name not in own.names]:
            raise DatasetError(f"task {task} of {cls.title} has no class {', '.join(strangers)}; it has {own.names}")
        return own.label(records["codes"])[:, [own.names.index(name) for name in names]]

    def labels(self, findings: Sequence[str], task: str | None = None) -> NDArray[np.int8]:
        """Labels `(records, findings)`: present 1, absent 0, unknown -1; of classes of a task, if one is named."""
        return self.label_for(self.records, findings, task)

    @classmethod
    def task(cls, name: str) -> Task:
        """A task of the collection's own benchmark. Raises `DatasetError` naming those there are."""
        tasks = {task.name: task for task in cls.tasks}
        if name not in tasks:
            raise DatasetError(f"{cls.title} has no task {name!r}; there are {', '.join(tasks) or 'none'}")
        return tasks[name]

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


def named_collection(name: str) -> type[Collection]:
    """A known collection. Raises `DatasetError` naming those there are."""
    if name not in _COLLECTIONS:
        raise DatasetError(f"no collection {name!r}; there are {', '.join(list_collections())}")
    return _COLLECTIONS[name]


def open_collection(directory: str | Path, name: str | None = None, **options) -> Collection:
    """Open the collection in a folder, which is recognised by its content unless `name` says what it is.

    Raises `DatasetError` when the folder is missing, holds no known collection, or the name is unknown.
    """
    directory = Path(directory)
    # A user's own recordings may be named by their table, if it has another name than theirs.
    if not directory.is_dir() and not (name == "folder" and directory.is_file()):
        raise DatasetError(f"{directory}: no such folder; give the folder that the publisher's archive unpacks to")
    if name is None:
        found = [known for known, cls in list_collections().items() if cls.recognises(directory)]
        if not found:
            looked_for = "; ".join(f"{known}: {cls.looked_for}" for known, cls in list_collections().items())
            raise DatasetError(f"{directory}: no collection is recognised here. What is looked for: {looked_for}")
        if len(found) > 1:
            raise DatasetError(f"{directory}: may be {' or '.join(found)}; say which it is by its name")
        (name,) = found
    return named_collection(name)(directory, **options)  # type: ignore[call-arg]
