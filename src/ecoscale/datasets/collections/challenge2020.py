"""PhysioNet/CinC Challenge 2020: 43,101 records, 12 leads, 500 Hz (PTB 1000, INCART 257), 5 s to 30 min, most 10 s.

Source: Perez Alday et al., Classification of 12-lead ECGs: the PhysioNet/Computing in Cardiology Challenge 2020,
version 1.0.2, PhysioNet (challenge-2020), doi:10.13026/dvyd-kd57. This is the training set; validation and test sets
were not published. Licence: CC BY 4.0.
Parts: six sources, in `records["part"]`: cpsc_2018 (6,877; 6 to 144 s), cpsc_2018_extra (3,453), st_petersburg_incart
(74 of 30 min), ptb (516; up to 2 min), ptb-xl (21,837), georgia (10,344; 5 to 10 s).
Labels: each source's own annotation, mapped by the organisers to SNOMED-CT codes in the header line `#Dx:`; who read
the ECGs, how, and for what, differs by source. 27 codes are scored, as 24 classes. A class of which a source never
states a code counts as not annotated there: it is unknown, not absent (`unannotated.csv`). The task `scored` is as the
Challenge has it: what is not stated is absent.
Folds: none; split by a hash of the record.
Traps: every record is in the Challenge 2021 too, under the same name, and its traps are those described there: no
patients, 21,837 records of PTB-XL, PVC written as ventricular ectopics. A folder with some of the six sources only is
taken for the Challenge 2021's unless it is opened by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collections.challenge import CPSC2018, SOURCES_2020, ChallengeCollection, recognised_sources
from ecoscale.datasets.collections.challenge_codes import scored_classes
from ecoscale.datasets.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path


class Challenge2020(ChallengeCollection):
    """The Challenge 2020 from its folder, its `training`, or the folder of one source."""

    name = "challenge2020"
    title = "PhysioNet/CinC Challenge 2020 (1.0.2)"
    source = "https://doi.org/10.13026/dvyd-kd57"
    licence = "CC BY 4.0"
    shares_records_with = ("challenge2021", "challenge2025", "ptbxl")
    looked_for = "training/{cpsc_2018,georgia,...}/g1/*.hea, without chapman_shaoxing and ningbo"
    archive = Archive("physionet", "challenge-2020/1.0.2", 8_000_000_000)
    sources = SOURCES_2020
    parts = tuple(source.folder for source in SOURCES_2020)
    tasks = (
        Task(
            "scored",
            "the 24 classes that the Challenge scores, of 27 codes",
            "Perez Alday et al. 2020, https://doi.org/10.1088/1361-6579/abc960",
            scored_classes(2020),
        ),
        CPSC2018,
    )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By the folders of its six sources and no other; fewer of them are taken for a part of 2021."""
        return recognised_sources(directory) == {source.folder for source in SOURCES_2020}
