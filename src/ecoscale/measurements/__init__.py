"""Measurements beside the findings: heart rate, intervals and axis, and where they and the network disagree.

neurokit2 (the extra `measure`) finds the beats; the intervals are taken from the typical beat of all leads, because
its delineation of single leads was measured to be biased by tens of milliseconds (docs/measurements.md). What may not
live here: anything learned, anything of a bundle.
"""

from __future__ import annotations

from ecoscale.measurements.measure import QTC_FORMULA, Measurements, measure_ecg

__all__ = ["QTC_FORMULA", "Measurements", "measure_ecg"]
