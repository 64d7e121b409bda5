"""Insertion: a P wave is put in, and what the network's output loses says where a missing one speaks for a finding.

What is not there cannot be taken out: in atrial fibrillation next to nothing is lost when the stretches without a P
wave are made flat, though the network does look for one there (docs/explaining.md). The wave is that of the ordinary
heart and chest of `ecoscale.datasets.synthetic`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import NO_NOISE, Heart, Torso, synthetic_ecg, wave_times
from ecoscale.explaining.explanation import step_samples
from ecoscale.explaining.perturbation import STEPS_TOGETHER, explain_by_perturbation, perturbation_map
from ecoscale.preparation import by_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.explaining.explanation import Explanation
    from ecoscale.explaining.perturbation import Logits
    from ecoscale.inference import Classifier
    from ecoscale.preparation import Preparation


def explain_by_insertion(
    classifier: Classifier, ecg: ECG, finding: str, *, start: float | None = None, threads: int | None = None
) -> Explanation:
    """Where the lack of a P wave speaks for a finding: the log-odds that are lost when one is put in there.

    Positive values are moments at which a P wave would speak against the finding. All else is as in `explain_ecg`.
    """

    def map_window(logits: Logits, window: NDArray[np.float32], column: int, inside: slice) -> NDArray[np.float64]:
        return insertion_map(logits, window, column, classifier.preparation, inside)

    return explain_by_perturbation(classifier, ecg, finding, "insertion", map_window, start=start, threads=threads)


def insertion_map(
    logits: Logits,
    window: NDArray[np.float32],
    column: int,
    preparation: Preparation,
    inside: slice = slice(None),
) -> NDArray[np.float64]:
    """What a P wave over each sample of a prepared window takes from one logit (`perturbation_map`)."""
    wave = p_wave(preparation.rate, preparation.leads) / by_channel(preparation.scale)

    def change(first: int, begin: int, end: int) -> NDArray[np.floating]:
        return wave[:, begin - first : end - first]

    return perturbation_map(logits, window, column, preparation.rate, inside, change)


@lru_cache(maxsize=4)
def p_wave(rate: float, leads: tuple[str, ...]) -> NDArray[np.float64]:
    """An ordinary P wave in mV, `(leads, samples)`, as long as a stretch; it begins and ends at zero."""
    heart, samples = Heart(), step_samples(rate) * STEPS_TOGETHER
    made = synthetic_ecg(heart=heart, torso=Torso(), noise=NO_NOISE, rate=1000)
    begin, end = (made.qrs_onsets[2] + at for at in wave_times(heart)["P"])
    times = begin + np.arange(samples) / rate
    at = np.arange(made.ecg.n_samples) / made.ecg.rate
    rows = np.stack([np.interp(times, at, row) for row in made.ecg.select(leads).signal])
    rest = np.stack([np.interp(begin, at, row) for row in made.ecg.select(leads).signal])
    return np.where(times < end, rows - rest[:, None], 0.0)
