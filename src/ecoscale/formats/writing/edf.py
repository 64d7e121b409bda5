"""EDF+ (https://www.edfplus.info/specs/edfplus.html), with no patient and no date: both are unknown, `X`.

The header states physical extremes in eight characters, not a step: a digital range is looked for whose ends fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError, MissingExtraError, SignalError
from ecoscale.formats.writing.steps import LARGEST, rounding_notes, searches

if TYPE_CHECKING:
    from pathlib import Path

    from ecoscale.ecg import ECG
    from ecoscale.formats.writing.steps import Step

CHARACTERS = 8
"""Of a number in the header."""

RECORD_BYTES = 61440
"""The largest data record, by the specification of EDF+; room for one more signal is left to the annotations."""


def write(ecg: ECG, path: Path) -> tuple[str, ...]:
    """Write an EDF+C. The notes say what was rounded.

    Raises `SignalError` for missing samples, which EDF cannot state; `FormatError` for a rate and a number of samples
    that are not whole data records; `MissingExtraError` without edfio.
    """
    try:
        from edfio import Edf, EdfSignal, Patient, Recording
    except ImportError:
        raise MissingExtraError("writing EDF", "edfio", "formats") from None
    source = ecg.source or "this ECG"
    if not np.isfinite(ecg.signal).all():
        missing = [lead for lead, row in zip(ecg.leads, ecg.signal, strict=True) if not np.isfinite(row).all()]
        raise SignalError(
            f"{source}: samples of {', '.join(missing)} are missing, which EDF cannot state; write wfdb, dicom, csv or "
            "parquet, which can"
        )
    duration = _record_duration(ecg, source)
    signals, steps = [], []
    for (lead, search), row in zip(searches(ecg), ecg.signal, strict=True):
        step = search.step(lead, source)
        digital = step.integers(row)
        scale = _scale(step, int(np.abs(digital.astype(int)).max()))
        if scale is None:
            step = search.rounding(lead, source)
            digital = step.integers(row)
            scale = _scale(step, int(np.abs(digital.astype(int)).max()))
            assert scale is not None, "a decimal step has ends in few digits"
        most, physical, unit = scale
        steps.append(step)
        signals.append(
            EdfSignal.from_digital(
                digital,
                ecg.rate,
                label=f"ECG {lead}",
                physical_dimension=unit,
                physical_range=physical,
                digital_range=(-most, most),
            )
        )
    # Annotations that are none make it an EDF+, which says that it is continuous.
    Edf(signals, patient=Patient(), recording=Recording(), data_record_duration=duration, annotations=()).write(path)
    return rounding_notes(ecg.leads, steps)


def _record_duration(ecg: ECG, source: str) -> float:
    """The longest data record, in seconds, of which the signal is a whole number."""
    longest = max(1, RECORD_BYTES // (2 * (ecg.n_leads + 1)))
    lengths = [
        n_samples
        for n_samples in range(min(longest, ecg.n_samples), 0, -1)
        if ecg.n_samples % n_samples == 0 and _fits(n_samples / ecg.rate)
    ]
    # Readers divide again, and the quotient had better be the rate to the last bit.
    even = (n_samples for n_samples in lengths if n_samples / _short(n_samples / ecg.rate) == ecg.rate)
    if lengths:
        return _short(next(even, lengths[0]) / ecg.rate)
    raise FormatError(
        f"{source}: {ecg.n_samples} samples at {ecg.rate:g} Hz are not a whole number of EDF data records, whose "
        f"length in seconds has {CHARACTERS} characters; write wfdb, dicom, csv or parquet"
    )


def _scale(step: Step, largest: int) -> tuple[int, tuple[float, float], str] | None:
    """A digital range `(-n, n)` whose physical ends can be written, those ends, and their unit."""
    for most in range(LARGEST, max(1, largest) - 1, -1):
        for unit, factor in (("uV", 1000), ("mV", 1)):
            low, high = ((sign * most + step.offset) * factor / step.gain for sign in (-1, 1))
            if _fits(low) and _fits(high):
                return most, (_short(low), _short(high)), unit
    return None


def _short(value: float) -> float:
    return float(f"{value:.12g}")


def _fits(value: float) -> bool:
    """Whether a number is exact, but for float64's own rounding, in the characters of a field."""
    return len(np.format_float_positional(_short(value), trim="-")) <= CHARACTERS
