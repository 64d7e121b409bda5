"""Measurements beside the findings: heart rate, intervals and axis, and where they and the network disagree.

neurokit2 (the extra `measure`) finds the beats; the intervals are taken from the typical beat of all leads, because
its delineation of single leads was measured to be biased by tens of milliseconds (docs/measurements.md). What may not
live here: anything learned, anything of a bundle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ecoscale.measurements.beats import load_neurokit
from ecoscale.measurements.measure import NUMBERS, QTC_FORMULA, Measurements, measure_ecg
from ecoscale.measurements.rules import disagreements

if TYPE_CHECKING:
    from ecoscale.ecg import ECG
    from ecoscale.inference import Prediction

__all__ = [
    "NUMBERS",
    "QTC_FORMULA",
    "Measurements",
    "disagreements",
    "load_neurokit",
    "measure_ecg",
    "with_measurements",
]


def with_measurements(ecg: ECG, prediction: Prediction, measured: Measurements | None = None) -> Prediction:
    """The prediction with what the ECG measures, and where the two disagree. Raises as `measure_ecg` does.

    `measured` is what that gave, where it was asked before.
    """
    measured = measured or measure_ecg(ecg)
    return replace(prediction, measurements=measured, disagreements=disagreements(measured, prediction))
