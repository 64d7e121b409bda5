"""From a collection's codes to findings: the tables in `mappings/`, one a coding scheme, each row with its reason."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import DatasetError
from ecoscale.findings import FINDINGS

if TYPE_CHECKING:
    from collections.abc import Collection as Codes
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

OWN = "OWN"
"""The scheme of a user's own table, whose codes are names of findings and need no mapping."""

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""The three values of a label. Unknown means that the collection does not say; losses and metrics leave it out."""


@dataclass(frozen=True)
class Mapping:
    """One row of the table: `code` of `scheme` (SCP, SNOMED, CODE) says `value` about `finding`, and why."""

    finding: str
    scheme: str
    code: str
    meaning: str
    value: int
    reason: str


@cache
def mappings(scheme: str) -> tuple[Mapping, ...]:
    """The rows of one coding scheme."""
    folder = files("ecoscale.datasets").joinpath("mappings")
    schemes = sorted(
        table.name.removesuffix(".csv").upper() for table in folder.iterdir() if table.name.endswith(".csv")
    )
    if scheme not in schemes:
        raise DatasetError(f"no mapping for the coding scheme {scheme!r}; there are {', '.join(schemes)}")
    values = {"present": PRESENT, "unknown": UNKNOWN}
    table = folder.joinpath(f"{scheme.lower()}.csv").read_text(encoding="utf-8")
    return tuple(
        Mapping(row["finding"], scheme, row["code"], row["meaning"], values[row["value"]], row["reason"])
        for row in csv.DictReader(table.splitlines())
    )


def known_findings(scheme: str) -> tuple[str, ...]:
    """The findings of the vocabulary that the codes of a scheme can state, in its order; none for a user's own."""
    if scheme == OWN:
        return ()
    stated = {row.finding for row in mappings(scheme)}
    return tuple(name for name in FINDINGS if name in stated)


@cache
def unannotated(finding: str) -> dict[str, str]:
    """The collections, or parts of one, in which a finding was not annotated, with the reason (`unannotated.csv`)."""
    table = files("ecoscale.datasets").joinpath("unannotated.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    return {row["collection"]: row["reason"] for row in rows if row["finding"] == finding}


def label_matrix(codes: Iterable[Codes[str]], findings: Sequence[str], scheme: str) -> NDArray[np.int8]:
    """Labels `(records, findings)` from each record's codes: `PRESENT`, `ABSENT` or `UNKNOWN`.

    A code that says present outweighs one that leaves the finding open. Raises `DatasetError` for a finding that the
    scheme has no code for.
    """
    by_finding = {finding: [m for m in mappings(scheme) if m.finding == finding] for finding in findings}
    if without := [finding for finding, rows in by_finding.items() if not rows]:
        raise DatasetError(
            f"no {scheme} code is mapped to {', '.join(without)}; see ecoscale/datasets/mappings/{scheme.lower()}.csv"
        )
    rules = [
        ({m.code for m in rows if m.value == PRESENT}, {m.code for m in rows if m.value == UNKNOWN})
        for rows in (by_finding[finding] for finding in findings)
    ]
    labels = [
        [PRESENT if present & set(own) else UNKNOWN if unknown & set(own) else ABSENT for present, unknown in rules]
        for own in codes
    ]
    return np.array(labels, dtype=np.int8).reshape(len(labels), len(findings))
