"""Labels of classes that exclude each other: of each record one class is present, or its class is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """Labels `(records, classes)`, each row one class `PRESENT` and the others `ABSENT`, or all `UNKNOWN`.

    `several` are the rows in which more than one class was present, `none` those in which every class was absent: they
    contradict classes that exclude each other, and are unknown here.
    """

    labels: NDArray[np.int8]
    several: NDArray[np.int64]
    none: NDArray[np.int64]


def class_labels(labels: NDArray[np.int8]) -> ClassLabels:
    """Labels `(records, findings)` taken for those of classes that exclude each other.

    Where one class is present the others are absent, whether or not that was stated. Where none is present and some are
    not known, the class is not known.
    """
    present = labels == PRESENT
    n_present = present.sum(axis=1)
    single = np.where(present, PRESENT, ABSENT).astype(np.int8)
    single[n_present != 1] = UNKNOWN
    none = (labels == ABSENT).all(axis=1)
    return ClassLabels(single, np.flatnonzero(n_present > 1), np.flatnonzero(none))
