"""What the PhysioNet Challenges 2020 and 2021 have in common: their sources of records, each a folder of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from ecoscale.datasets.collections.snomed_headers import (
    LAST_OF_CHAPMAN,
    HeaderCollection,
    diagnosis_codes,
    header_table,
    headers_below,
    record_name,
)
from ecoscale.datasets.tasks import Task
from ecoscale.errors import DatasetError

TRAINING = "training"


@dataclass(frozen=True)
class Source:
    """One source: its folder, the form of its records' names, how many there are, their rate in Hz."""

    folder: str
    prefix: str
    digits: int
    n_records: int
    rate: int

    @property
    def first(self) -> str:
        """The name of its first record, as an example."""
        return f"{self.prefix}{1:0{self.digits}d}"

    def owns(self, record: str) -> bool:
        """Whether a record's name is of this source's form."""
        return re.fullmatch(rf"{self.prefix}\d{{{self.digits}}}", record) is not None


SOURCES_2020: tuple[Source, ...] = (
    Source("cpsc_2018", "A", 4, 6877, 500),
    Source("cpsc_2018_extra", "Q", 4, 3453, 500),
    Source("st_petersburg_incart", "I", 4, 74, 257),
    Source("ptb", "S", 4, 516, 1000),
    Source("ptb-xl", "HR", 5, 21837, 500),
    Source("georgia", "E", 5, 10344, 500),
)
SOURCES_2021: tuple[Source, ...] = (
    *SOURCES_2020,
    Source("chapman_shaoxing", "JS", 5, 10247, 500),
    Source("ningbo", "JS", 5, 34905, 500),
)

_SEVERAL_RECORDS = {"st_petersburg_incart": "32", "ptb": "290", "ptb-xl": "18,885"}

CPSC2018 = Task(
    "cpsc2018",
    "the nine classes of the China Physiological Signal Challenge 2018, of the records that carry one; annotated as "
    "such in part cpsc_2018 only",
    "Liu et al. 2018, https://doi.org/10.1166/jmihi.2018.2442",
    {
        "Normal": frozenset({"426783006"}),
        "AF": frozenset({"164889003"}),
        "I-AVB": frozenset({"270492004"}),
        "LBBB": frozenset({"164909002"}),
        "RBBB": frozenset({"59118001"}),
        "PAC": frozenset({"284470004"}),
        "PVC": frozenset({"164884008"}),
        "STD": frozenset({"429622005"}),
        "STE": frozenset({"164931005"}),
    },
    only_annotated=True,
)
"""PVC is 164884008 (ventricular ectopics) there, and Normal is 426783006 (sinus rhythm)."""


class ChallengeCollection(HeaderCollection):
    """A Challenge's training set from its folder, the `training` in it, or the folder of one source alone.

    `records["part"]` is the source's folder name. Records that lie in none of these are told apart by their names.
    """

    sources: ClassVar[tuple[Source, ...]]

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        folders = source_folders(self.directory)
        headers = self._in_source_folders(folders) if folders else self._by_name()
        if not headers:
            raise DatasetError(
                f"{self.directory}: none of the folders {', '.join(source.folder for source in self.sources)} is in "
                f"it, in its folder {TRAINING}, nor is it one of them; give the folder that holds {TRAINING}"
            )
        parts = [part for part, own in headers.items() for _ in own]
        self.records = header_table(self.directory, [header for own in headers.values() for header in own], parts)
        self.notes = tuple(self._notes(set(headers), folders))

    def _in_source_folders(self, folders: dict[str, Path]) -> dict[str, list[str]]:
        headers = {}
        for source in self.sources:
            if source.folder not in folders:
                continue
            found = headers_below(folders[source.folder])
            if strangers := [header for header in found if not source.owns(record_name(header))]:
                raise DatasetError(
                    f"{strangers[0]}: not a record of {source.folder}, which are called as {source.first} is; nor are "
                    f"{len(strangers) - 1} more headers"
                )
            if not found:
                raise DatasetError(
                    f"{folders[source.folder]}: no WFDB headers (*.hea) below it; expected g1/{source.first}.hea"
                )
            headers[source.folder] = found
        return headers

    def _by_name(self) -> dict[str, list[str]]:
        found = headers_below(self.directory) if self.directory.is_dir() else []
        headers = {source.folder: [] for source in self.sources}
        for header in found:
            if (part := source_of(record_name(header))) not in headers:
                names = ", ".join(source.first for source in self.sources)
                raise DatasetError(f"{header}: not called as the records of {self.title} are ({names})")
            headers[part].append(header)
        return {part: own for part, own in headers.items() if own}

    def _notes(self, own: set[str], folders: dict[str, Path]) -> list[str]:
        notes = []
        if absent := [source.folder for source in self.sources if source.folder not in own]:
            notes.append(f"{', '.join(absent)} not in this folder: its records are those of {', '.join(sorted(own))}")
        if foreign := [name for name in folders if name not in own]:
            notes.append(f"{', '.join(foreign)} left out: not a source of {self.title}")
        if several := [f"{name} ({n})" for name, n in _SEVERAL_RECORDS.items() if name in own]:
            notes.append(
                f"the headers name no patient, and each record counts as a patient of its own; in {', '.join(several)} "
                "there are fewer patients than records, so records of one may part ways in a split"
            )
        return notes


def source_folders(directory: Path) -> dict[str, Path]:
    """The sources' folders in `training`, in the folder itself, or else the folder itself by its name."""
    names = [source.folder for source in SOURCES_2021]
    for root in (directory / TRAINING, directory):
        if found := {name: root / name for name in names if (root / name).is_dir()}:
            return found
    alone = directory.absolute().name
    return {alone: directory} if alone in names else {}


def source_of(record: str) -> str | None:
    """The source whose records are called so; those of Chapman-Shaoxing and Ningbo differ by their numbers alone."""
    part = next((source.folder for source in SOURCES_2021 if source.owns(record)), None)
    return "ningbo" if part == "chapman_shaoxing" and record > LAST_OF_CHAPMAN else part


def recognised_sources(directory: Path) -> set[str]:
    """Those of `source_folders` that hold records under their own names; without any, the source of the first record.

    Records called JS lying by themselves are those of ecg-arrhythmia, which are the same.
    """
    if found := source_folders(directory):
        firsts = {part: _first_header(folder) for part, folder in found.items()}
        return {part for part, header in firsts.items() if header is not None and _owns(part, header.stem)}
    header = _first_header(directory)
    part = None if header is None or header.stem.startswith("JS") else source_of(header.stem)
    return {part} if header is not None and part is not None and diagnosis_codes(header) is not None else set()


def _first_header(folder: Path) -> Path | None:
    return next(chain(folder.glob("g[0-9]*/*.hea"), folder.glob("*.hea")), None)


def _owns(part: str, record: str) -> bool:
    return any(source.owns(record) for source in SOURCES_2021 if source.folder == part)
