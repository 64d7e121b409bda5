"""A result as sections of writing that are drawn beside a sheet and on the pages of the PDF report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecoscale.drawing import Row, Section
from ecoscale.wording import measured_rows, percent, sentence, warning_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ecoscale.inference import FindingResult, Prediction
    from ecoscale.measurements import Measurements

ROWS_SHOWN = 12
"""Findings that a column lists: those that are present, and the most probable of the others."""


def findings_section(
    prediction: Prediction, reliable: Mapping[str, str] | None = None, most: int = ROWS_SHOWN
) -> Section:
    """The findings with probability and any threshold: those that are present first, then the most probable."""
    findings = sorted(prediction.findings.values(), key=lambda each: (not each.present, -each.probability))
    if len(findings) <= most:
        findings = list(prediction.findings.values())
    n_present = sum(finding.present for finding in findings)
    shown = findings[: max(most, n_present)]
    rows = [_finding_row(finding, (reliable or {}).get(finding.name, "")) for finding in shown]
    if len(findings) > len(shown):
        below = "" if prediction.single_label else " and below its threshold"
        rows.append(Row(f"and {len(findings) - len(shown)} more, each less probable{below}"))
    return Section("Findings", tuple(rows))


def _finding_row(finding: FindingResult, reliable: str) -> Row:
    mark = "●" if finding.present else "○"
    if finding.threshold is None:
        result = "most probable" if finding.present else "less probable"
    else:
        result = f"{'present' if finding.present else 'absent'}, threshold {percent(finding.threshold)}"
    detail = [finding.name, result]
    if finding.prevalence is not None:
        detail.append(f"for a prevalence of {percent(finding.prevalence)}")
    if reliable:
        detail.append(reliable)
    return Row(
        f"{mark} {sentence(finding.title)}",
        percent(finding.probability),
        " · ".join(detail),
        finding.probability,
        finding.threshold,
        finding.present,
    )


def measurement_sections(measurements: Measurements, disagreeing: Sequence[str] = ()) -> list[Section]:
    """The measurements with their notes, and where they and the findings disagree."""
    rows = [Row(name, value) for name, value in measured_rows(measurements)]
    rows += [Row("", detail=sentence(note)) for note in measurements.notes]
    sections = [Section("Measurements", tuple(rows))]
    if disagreeing:
        rows = tuple(Row(text) for text in disagreeing)
        sections.append(Section("Rule and network disagree", rows, "alert"))
    return sections


def warnings_section(warnings: Sequence[str]) -> list[Section]:
    """What is doubtful about a recording, in plain words; nothing where nothing is."""
    rows = []
    for title, explanation in map(warning_in_words, warnings):
        rows.append(Row(f"{title}: {explanation}" if title else explanation))
    return [Section("Read with care", tuple(rows), "alert")] if rows else []


def sections_beside(
    prediction: Prediction | None = None,
    measurements: Measurements | None = None,
    disagreeing: Sequence[str] = (),
    most: int = ROWS_SHOWN,
) -> list[Section]:
    """What stands beside a sheet: findings, measurements, warnings, the bundle and the disclaimer."""
    sections = []
    if prediction is not None:
        sections.append(findings_section(prediction, most=most))
    if measurements is not None:
        sections += measurement_sections(measurements, disagreeing)
    if prediction is not None:
        sections += warnings_section(prediction.warnings)
        marks = "they sum to 100 %" if prediction.single_label else "the mark on a bar is the threshold"
        about = (Row(f"Probabilities by {prediction.bundle}; {marks}."),)
        sections.append(Section("", (*about, Row(prediction.disclaimer)), "faded"))
    return sections
