"""What the PhysioNet Challenges 2020 and 2021 have in common: their sources of records, each a folder of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ecoscale.datasets.snomed_headers import HeaderCollection, header_table, headers_below, record_name
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

    `records["part"]` is the source's folder name.
    """

    sources: ClassVar[tuple[Source, ...]]

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        folders = source_folders(self.directory)
        own = [source for source in self.sources if source.folder in folders]
        if not own:
            raise DatasetError(
                f"{self.directory}: none of the folders {', '.join(source.folder for source in self.sources)} is in "
                f"it, in its folder {TRAINING}, nor is it one of them; give the folder that holds {TRAINING}"
            )
        headers, parts = [], []
        for source in own:
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
            headers += found
            parts += [source.folder] * len(found)
        self.records = header_table(self.directory, headers, parts)
        self.notes = tuple(self._notes({source.folder for source in own}, folders))

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


def recognised_sources(directory: Path) -> set[str]:
    """Those of `source_folders` that hold records under their own names, in folders g1, g2, ..."""
    found = source_folders(directory)
    return {
        source.folder
        for source in SOURCES_2021
        if source.folder in found
        and (header := next(found[source.folder].glob("g[0-9]*/*.hea"), None)) is not None
        and source.owns(header.stem)
    }
