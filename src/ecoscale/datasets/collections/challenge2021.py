"""PhysioNet/CinC Challenge 2021: 88,253 records, 12 leads, 500 Hz (PTB 1000, INCART 257), 5 s to 30 min, most 10 s.

Source: Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography, version 1.0.3, PhysioNet
(challenge-2021), doi:10.13026/34va-7q14. This is the training set; validation and test sets were not published.
Licence: CC BY 4.0.
Parts: eight sources, in `records["part"]`: cpsc_2018 (6,877; 6 to 144 s), cpsc_2018_extra (3,453),
st_petersburg_incart (74 of 30 min), ptb (516; up to 2 min), ptb-xl (21,837), georgia (10,344; 5 to 10 s),
chapman_shaoxing (10,247), ningbo (34,905).
Labels: each source's own annotation, mapped by the organisers to 133 SNOMED-CT codes in the header line `#Dx:`; who
read the ECGs, how, and for what, differs by source, and some are machine readings looked over by people. 30 codes are
scored, as 26 classes. A class of which a source never states a code counts as not annotated there: it is unknown, not
absent (`unannotated.csv`, from the organisers' counts in `challenge_codes.csv`). The task `scored` is as the Challenge
has it: what is not stated is absent.
Folds: none; split by a hash of the record.
Traps: the headers name no patient, though INCART (32 patients), PTB (290 in the database it is from) and PTB-XL have
fewer patients than records; ptb-xl is PTB-XL 1.0.1 (HR00001 is its ecg_id 1), with 38 records that later versions
dropped as duplicates, chapman_shaoxing and ningbo are ecg-arrhythmia, and the Challenge 2020 is contained in this one:
train on one and test on the other, and the same ECGs are on both sides; in ningbo, 22 % of the records state atrial
flutter and none atrial fibrillation, so the two share one code there: AF is unknown, and AFL where it is stated;
ventricular ectopics (164884008), the premature beats of cpsc_2018, ptb-xl and INCART, are not scored as PVC; `#Dx:` may
repeat a code or end in a comma; Age may be NaN; some records have leads that are flat, or samples that are marked as
missing; INCART goes to the limits of 16 bits. The unit is written mV or mv. Copies of 2020 that are older than August
of that year state other gains for INCART, PTB, PTB-XL and Georgia, which make their amplitudes far too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collections.challenge import (
    CPSC2018,
    SOURCES_2020,
    SOURCES_2021,
    ChallengeCollection,
    recognised_sources,
)
from ecoscale.datasets.collections.challenge_codes import scored_classes
from ecoscale.datasets.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path


class Challenge2021(ChallengeCollection):
    """The Challenge 2021 from its folder, its `training`, or the folder of one source."""

    name = "challenge2021"
    title = "PhysioNet/CinC Challenge 2021 (1.0.3)"
    source = "https://doi.org/10.13026/34va-7q14"
    licence = "CC BY 4.0"
    shares_records_with = ("challenge2020", "challenge2025", "chapman", "ptbxl")
    looked_for = "training/{georgia,ningbo,...}/g1/*.hea, with chapman_shaoxing or ningbo"
    archive = Archive("physionet", "challenge-2021/1.0.3", 13_500_000_000)
    sources = SOURCES_2021
    parts = tuple(source.folder for source in SOURCES_2021)
    tasks = (
        Task(
            "scored",
            "the 26 classes that the Challenge scores, of 30 codes",
            "Reyna et al. 2021, https://doi.org/10.23919/CinC53138.2021.9662687",
            scored_classes(2021),
        ),
        CPSC2018,
    )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its sources' folders, unless they are just the six of 2020."""
        found = recognised_sources(directory)
        return bool(found) and found != {source.folder for source in SOURCES_2020}
