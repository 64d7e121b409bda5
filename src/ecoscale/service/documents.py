"""What the service answers about a recording: a prediction, a stretch of signal, a timeline, a report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.findings import DISCLAIMER
from ecoscale.service.answers import RefusedError, encoded
from ecoscale.timeline import Timeline, classify_windows
from ecoscale.wording import reliability, warning_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecoscale.ecg import ECG
    from ecoscale.excerpts import Window
    from ecoscale.explaining import Explanation
    from ecoscale.formats.long_records import LongRecord
    from ecoscale.inference import Classifier, Prediction

LONGEST_EXCERPT = 60.0
"""Seconds of signal in one answer, at most."""


def described(prediction: Prediction) -> dict[str, Any]:
    """A prediction with the findings' titles, and its warnings in plain words."""
    content = prediction.to_dict()
    content["titles"] = {name: finding.title for name, finding in prediction.findings.items()}
    words = map(warning_in_words, prediction.warnings)
    content["warnings_in_words"] = [{"title": title, "explanation": explanation} for title, explanation in words]
    return content


def excerpt(record: LongRecord, start: float, seconds: float) -> dict[str, Any]:
    """`seconds` of a record from `start`, in whole microvolts; null where a sample is missing.

    Raises `RefusedError` for a start at or after the end, and `EcoscaleError` where the file is not as it says.
    """
    first = round(start * record.rate)
    last = min(record.n_samples, first + max(1, round(seconds * record.rate)))
    if first >= record.n_samples:
        raise RefusedError(
            422, "invalid_parameter", f"start is {start:g} s; the recording ends after {record.duration:.2f} s"
        )
    signal = record.samples(first, last)
    return {
        "source": record.source,
        "record": record.record,
        "leads": list(record.leads),
        "rate": record.rate,
        "unit": "uV",
        "start": first / record.rate,
        "seconds": signal.shape[1] / record.rate,
        "duration": record.duration,
        "clock": record.clock(first / record.rate),
        "signal": [_microvolts(row) for row in signal],
        "warnings": [*record.notes, *record.remarks],
    }


def _microvolts(row: np.ndarray) -> list[int | None]:
    values = row.astype(np.float64) * 1000
    finite = np.isfinite(values)
    whole: list[int | None] = np.rint(np.where(finite, values, 0)).astype(np.int64).tolist()
    if not finite.all():
        for position in np.flatnonzero(~finite):
            whole[position] = None
    return whole


def timeline_of(classifier: Classifier, record: LongRecord, hop: float | None) -> bytes:
    """A record's summary, as `ecoscale timeline --summary` writes it, and its windows, as JSON."""
    found = Timeline.of(classifier, record, hop=hop)
    windows = []
    for window in classify_windows(classifier, record, hop=hop):
        found.add(window)
        windows.append(_window(window, record))
    return encoded(found.summary() | {"windows": windows, "disclaimer": DISCLAIMER})


def _window(window: Window, record: LongRecord) -> dict[str, Any]:
    findings = {} if window.prediction is None else window.prediction.findings
    return {
        "start_s": round(window.start, 3),
        "stop_s": round(window.stop, 3),
        "time": record.clock(window.start),
        "probabilities": {name: round(finding.probability, 6) for name, finding in findings.items()} or None,
        "present": list(window.present),
        "warnings": [warning.partition(":")[0] for warning in window.warnings if warning not in record.notes],
    }


def report(
    form: str, ecg: ECG, prediction: Prediction, folder: Path, classifier: Classifier, relevance: Explanation | None
) -> bytes:
    """A report as PDF, HTML or JSON; `folder` exists and is the upload's own."""
    if form == "json":
        content = described(prediction)
        return encoded(content if relevance is None else content | {"explanation": relevance.to_dict()})
    if form == "html":
        from ecoscale.report import write_report

        return write_report([(ecg, prediction)], folder / "report.html").read_bytes()
    from ecoscale.report_pdf import report_pdf

    return report_pdf(ecg, prediction, relevance=relevance, reliability=reliability(classifier))


def in_memory(ecg: ECG) -> LongRecord:
    """An ECG as the record that `excerpt` and `timeline_of` take."""
    from ecoscale.formats.long_records import LongRecord

    def read(n_samples: int, _: list[str]) -> Iterator[ECG]:
        for first in range(0, ecg.n_samples, n_samples):
            yield replace(ecg, signal=ecg.signal[:, first : first + n_samples])

    return LongRecord(ecg.source, ecg.record, ecg.rate, ecg.leads, ecg.n_samples, None, ecg.notes, read)
