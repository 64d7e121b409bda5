"""Splits by patient for collections without an official one.

A patient's position in [0, 1) is a hash of the id and a seed, so it depends neither on the order of rows nor on who
else is in the table: a part of the collection, or a later version of it, splits the same way.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import pandas as pd
    from numpy.typing import NDArray


def patient_position(patient: str, seed: int = 0) -> float:
    """Where a patient falls in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    # 53 bits, all that a float holds: with more, the last ids would round up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def in_share(patients: Iterable[str], low: float, high: float, seed: int = 0) -> NDArray[np.bool_]:
    """Which rows belong to patients whose position lies in [low, high)."""
    return np.array([low <= patient_position(str(patient), seed) < high for patient in patients], dtype=bool)


def in_part(
    records: pd.DataFrame, folds: Collection[int] | None = None, share: tuple[float, float] | None = None
) -> NDArray[np.bool_]:
    """Which rows of a table with `patient` and `fold` are in these folds and in this share of the patients."""
    chosen = np.ones(len(records), dtype=bool)
    if folds is not None:
        chosen &= records["fold"].isin(list(folds)).to_numpy()
    if share is not None:
        chosen &= in_share(records["patient"], *share)
    return chosen
