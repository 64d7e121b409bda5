"""The vocabulary: each finding's name, meaning, SNOMED-CT codes and synonyms, in one place (`findings.csv`).

How the codes of each collection map onto it stands in `ecoscale/datasets/mappings/`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

from ecoscale.errors import DatasetError


@dataclass(frozen=True)
class Finding:
    """One thing that an ECG can show; `snomed` is None where it is a group of statements rather than one concept.

    `equivalents` are the SNOMED-CT codes that the PhysioNet Challenge 2021 scores as the same, `synonyms` the names
    and abbreviations that collections write for it.
    """

    name: str
    title: str
    snomed: str | None
    equivalents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """Its SNOMED-CT codes, the preferred one first; none for a group."""
        return () if self.snomed is None else (self.snomed, *self.equivalents)


def _group(name: str) -> tuple[Finding, ...]:
    table = files("ecoscale").joinpath("findings.csv").read_text(encoding="utf-8")
    return tuple(
        Finding(
            row["name"],
            row["title"],
            row["snomed"] or None,
            tuple(filter(None, row["equivalents"].split(";"))),
            tuple(filter(None, row["synonyms"].split(";"))),
        )
        for row in csv.DictReader(table.splitlines())
        if row["group"] == name
    )


CODE_FINDINGS: tuple[Finding, ...] = _group("CODE")
"""The six findings of the CODE study (Ribeiro et al. 2020), in the order of CODE-15%'s columns."""

PTBXL_SUPERCLASSES: tuple[Finding, ...] = _group("PTB-XL")
"""The five groups of PTB-XL's diagnostic statements (Wagner et al. 2020, table 8)."""

CHALLENGE_FINDINGS: tuple[Finding, ...] = (*CODE_FINDINGS, *_group("Challenge"))
"""The 26 classes that the PhysioNet Challenge 2021 scores (Reyna et al. 2021): the six of CODE, and twenty more under
the Challenge's abbreviations. Four of them have two codes each, which it scores as the same."""

(CHAGAS,) = _group("disease")
"""What the PhysioNet Challenge 2025 asks of an ECG: whom to test for the disease, which no ECG shows for certain."""

FINDINGS: dict[str, Finding] = {
    finding.name: finding for finding in (*CODE_FINDINGS, *PTBXL_SUPERCLASSES, *CHALLENGE_FINDINGS, CHAGAS)
}

_CALLED: dict[str, Finding] = {
    spelling.casefold(): finding
    for finding in FINDINGS.values()
    for spelling in (finding.name, finding.title, *finding.codes, *finding.synonyms)
}


def named_finding(text: str) -> Finding:
    """A finding by its name, its title, a synonym (`AFIB`, `CLBBB`), in any case, or a SNOMED-CT code.

    Raises `DatasetError` naming those there are.
    """
    finding = _CALLED.get(text.strip().casefold())
    if finding is None:
        raise DatasetError(
            f"no finding is called {text!r}; there are {', '.join(FINDINGS)}, and their SNOMED-CT codes and usual "
            "abbreviations (AFIB, CLBBB, IAVB)"
        )
    return finding


DISCLAIMER = (
    "Research software. Its findings are the output of a statistical model, not a diagnosis, and it is not a medical "
    "device. A qualified person must read the ECG."
)
SIGNAL_DISCLAIMER = (
    "Research software. Its classes are the output of a statistical model, not a diagnosis, and it is not a medical "
    "device."
)
"""Of signals that are no ECGs."""
