from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit

NAMES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")


class Sample(NamedTuple):
    labels: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray
    names: tuple[str, ...]


def draw(n_records: int = 400, n_classes: int = 6, *, unknown: float = 0.05, seed: int = 0) -> Sample:
    """Labels, probabilities that follow them (rounded, so that some are equal), and patients with several records."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n_records, n_classes)) < 0.15).astype(np.int8)
    probabilities = expit(generator.normal(size=labels.shape) + 3 * labels - 2).round(2)
    labels[generator.random(labels.shape) < unknown] = -1
    names = NAMES if n_classes == len(NAMES) else tuple(f"S{position}" for position in range(n_classes))
    return Sample(labels, probabilities, generator.integers(0, n_records // 2, n_records), names)


@pytest.fixture(scope="session")
def sample() -> Sample:
    return draw()
