"""From a collection's codes to findings: the table `mappings.csv`, each row with its reason."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection as Codes
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

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
    values = {"present": PRESENT, "unknown": UNKNOWN}
    table = files("ecoscale.datasets").joinpath("mappings.csv").read_text(encoding="utf-8")
    rows = [
        Mapping(row["finding"], row["scheme"], row["code"], row["meaning"], values[row["value"]], row["reason"])
        for row in csv.DictReader(table.splitlines())
    ]
    found = tuple(row for row in rows if row.scheme == scheme)
    if not found:
        schemes = ", ".join(sorted({row.scheme for row in rows}))
        raise DatasetError(f"no mapping for the coding scheme {scheme!r}; there are {schemes}")
    return found


def label_matrix(codes: Iterable[Codes[str]], findings: Sequence[str], scheme: str) -> NDArray[np.int8]:
    """Labels `(records, findings)` from each record's codes: `PRESENT`, `ABSENT` or `UNKNOWN`.

    A code that says present outweighs one that leaves the finding open. Raises `DatasetError` for a finding that the
    scheme has no code for.
    """
    by_finding = {finding: [m for m in mappings(scheme) if m.finding == finding] for finding in findings}
    if without := [finding for finding, rows in by_finding.items() if not rows]:
        raise DatasetError(f"no {scheme} code is mapped to {', '.join(without)}; see ecoscale/datasets/mappings.csv")
    rules = [
        ({m.code for m in rows if m.value == PRESENT}, {m.code for m in rows if m.value == UNKNOWN})
        for rows in (by_finding[finding] for finding in findings)
    ]
    labels = [
        [PRESENT if present & set(own) else UNKNOWN if unknown & set(own) else ABSENT for present, unknown in rules]
        for own in codes
    ]
    return np.array(labels, dtype=np.int8).reshape(len(labels), len(findings))
