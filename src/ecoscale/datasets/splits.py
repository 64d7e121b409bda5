"""Splits by patient for collections without an official one: a share of the patients, or stratified parts in a file.

A patient's position in [0, 1) is a hash of the id and a seed, so it depends neither on the order of rows nor on who
else is in the table: a part of the collection, or a later version of it, splits the same way. `stratified_split` gives
each part its share of every finding too; its result depends on the table, and is therefore stored, by record.
"""

from __future__ import annotations

import csv
import hashlib
from itertools import dropwhile
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.vocabulary import PRESENT
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

SPLIT_COLUMNS = ("record", "patient", "part")


def patient_position(patient: str, seed: int = 0) -> float:
    """Where a patient falls in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    # 53 bits, all that a float holds: with more, the last ids would round up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def in_share(patients: Iterable[str], low: float, high: float, seed: int = 0) -> NDArray[np.bool_]:
    """Which rows belong to patients whose position lies in [low, high)."""
    return np.array([low <= patient_position(str(patient), seed) < high for patient in patients], dtype=bool)


def in_part(
    records: pd.DataFrame,
    folds: Collection[int] | None = None,
    share: tuple[float, float] | None = None,
    split: tuple[Path, str] | None = None,
) -> NDArray[np.bool_]:
    """Which rows of a table with `patient` and `fold` are in these folds, this share, and this part of a stored split.

    Raises `DatasetError` for a split that is not one, that has no such part, or that knows none of the records.
    """
    chosen = np.ones(len(records), dtype=bool)
    if folds is not None:
        chosen &= records["fold"].isin(list(folds)).to_numpy()
    if share is not None:
        chosen &= in_share(records["patient"], *share)
    if split is not None:
        path, part = split
        stored = read_split(path)
        if part not in (there := sorted(set(stored.values()))):
            raise DatasetError(f"{path}: no part {part!r}; there are {', '.join(there)}")
        own = [stored.get(record) for record in records.index]
        if len(records) and not any(own):
            raise DatasetError(f"{path}: knows none of the {len(records):,} records; is it of this collection?")
        chosen &= np.array([one == part for one in own], dtype=bool)
    return chosen


def stratified_split(
    records: pd.DataFrame, labels: NDArray[np.int8], shares: Mapping[str, float], seed: int = 0
) -> dict[str, str]:
    """The part of each record, such that patients stay whole and each part has its share of every label.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) of patients: beginning with the rarest label, each
    patient that carries it goes to the part that lacks most of it; patients without a label fill the parts by their
    number of records. Unknown labels count as none.

    Parameters
    ----------
    records, labels
        The table with `patient`, and labels `(records, findings)`.
    shares
        Each part's share; they must add up to 1.
    seed
        Of the order of the patients.

    Raises
    ------
    DatasetError
        If the shares do not add up to 1, or there are fewer patients than parts.
    """
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        given = ", ".join(f"{part}={share:g}" for part, share in shares.items())
        raise DatasetError(f"the shares are {given}; expected positive numbers that add up to 1")
    patients, of_patient = np.unique(records["patient"].to_numpy(dtype=str), return_inverse=True)
    if len(patients) < len(shares):
        raise DatasetError(f"{len(patients)} patients cannot be split into {len(shares)} parts")
    # The last column counts records, so that parts fill evenly too.
    counts = np.zeros((len(patients), labels.shape[1] + 1), dtype=np.int64)
    np.add.at(counts, of_patient, np.column_stack((labels == PRESENT, np.ones(len(records)))).astype(np.int64))
    lacking = np.array(list(shares.values()))[:, None] * counts.sum(axis=0)
    order = np.argsort([patient_position(patient, seed) for patient in patients])
    part = np.full(len(patients), -1)
    left = counts.sum(axis=0)
    while (part < 0).any():
        # The label of which fewest are left to give away, and at last the mere number of records.
        label = min(np.flatnonzero(left[:-1]), key=lambda column: left[column], default=labels.shape[1])
        for patient in order[(part[order] < 0) & (counts[order, label] > 0)]:
            wanted = lacking[:, label]
            most = np.flatnonzero(wanted == wanted.max())
            part[patient] = most[np.argmax(lacking[most, -1])]
            lacking[part[patient]] -= counts[patient]
            left = left - counts[patient]
    names = list(shares)
    return {record: names[own] for record, own in zip(records.index, part[of_patient], strict=True)}


def write_split(path: Path, records: pd.DataFrame, parts: Mapping[str, str], about: str) -> None:
    """Store a split by record id; `about` says in a comment how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    patients = dict(zip(records.index, records["patient"], strict=True))
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"# {about}\n")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(SPLIT_COLUMNS)
        writer.writerows((record, patients[record], part) for record, part in parts.items())


def read_split(path: Path) -> dict[str, str]:
    """The part of each record of a stored split. Raises `DatasetError` naming what is wrong with it."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(dropwhile(lambda line: line.startswith("#"), stream))
            if missing := [name for name in SPLIT_COLUMNS if name not in (rows.fieldnames or [])]:
                raise DatasetError(
                    f"{path}: not a split: column {', '.join(missing)} is missing (it has "
                    f"{', '.join(rows.fieldnames or [])}); make one with ecoscale datasets split"
                )
            parts: dict[str, str] = {}
            for row in rows:
                if row["record"] in parts:
                    raise DatasetError(f"{path}: record {row['record']} stands there twice")
                if not row["part"]:
                    raise DatasetError(f"{path}: record {row['record']} has no part")
                parts[row["record"]] = row["part"]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a split ({error})") from error
    return parts


def shared_patients(records: pd.DataFrame, parts: Mapping[str, str]) -> dict[str, list[str]]:
    """Patients with records in more than one part, each with those records."""
    own: dict[str, list[str]] = {}
    for record, patient in zip(records.index, records["patient"], strict=True):
        if record in parts:
            own.setdefault(patient, []).append(record)
    return {patient: mine for patient, mine in own.items() if len({parts[record] for record in mine}) > 1}
