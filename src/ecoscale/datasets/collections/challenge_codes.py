"""The SNOMED-CT codes of the PhysioNet Challenges 2020 and 2021, and how often each source of records states each.

Source: the tables `dx_mapping_scored.csv` and `dx_mapping_unscored.csv` of
https://github.com/physionetchallenges/evaluation-2021, and the former of evaluation-2020, put together in
`challenge_codes.csv`. Licence: BSD 2-Clause, Copyright (c) 2020, 2021 PhysioNet/Computing in Cardiology Challenges.

The counts decide what is not annotated: a finding none of whose codes a source ever states was not written there.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ecoscale.findings import CHALLENGE_FINDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ecoscale.findings import Finding


@dataclass(frozen=True)
class ChallengeCode:
    """One code: its abbreviation and meaning in the Challenges, the years that score it, and its count by source."""

    code: str
    abbreviation: str
    meaning: str
    scored: frozenset[int]
    counts: Mapping[str, int]


@cache
def challenge_codes() -> dict[str, ChallengeCode]:
    """The 133 codes of the training set of 2021, the scored ones first."""
    table = files("ecoscale.datasets.collections").joinpath("challenge_codes.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(table.splitlines()):
        code, abbreviation, meaning, scored = (row.pop(name) for name in ("code", "abbreviation", "meaning", "scored"))
        counts = {source: int(count) for source, count in row.items()}
        found[code] = ChallengeCode(code, abbreviation, meaning, frozenset(map(int, scored.split())), counts)
    return found


def scored_classes(year: int) -> dict[str, frozenset[str]]:
    """The classes that a Challenge scores, each with its codes: 26 in 2021, 24 in 2020."""
    codes = challenge_codes()
    scored = {
        finding.name: frozenset(code for code in finding.codes if year in codes[code].scored)
        for finding in CHALLENGE_FINDINGS
    }
    return {name: own for name, own in scored.items() if own}


def never_stated(source: str, findings: Iterable[Finding] = CHALLENGE_FINDINGS) -> list[str]:
    """The findings none of whose codes occurs in a source."""
    codes = challenge_codes()
    return [finding.name for finding in findings if not any(codes[code].counts[source] for code in finding.codes)]
