"""Splits by patient for collections without an official one.

A patient's position in [0, 1) is a hash of the id and a seed, so it depends neither on the order of rows nor on who
else is in the table: a part of the collection, or a later version of it, splits the same way.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def patient_position(patient: str, seed: int = 0) -> float:
    """Where a patient falls in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_share(patients: Iterable[str], low: float, high: float, seed: int = 0) -> NDArray[np.bool_]:
    """Which rows belong to patients whose position lies in [low, high)."""
    return np.array([low <= patient_position(str(patient), seed) < high for patient in patients], dtype=bool)
