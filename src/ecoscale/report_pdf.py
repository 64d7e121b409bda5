"""The report as PDF: A4 across, the sheet to scale, and a page of findings, measurements and remarks.

Everything is drawn as vectors and written as text, so that it prints sharp and can be searched.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ecoscale.drawing import Row, Section, Sheet
from ecoscale.drawing.column import draw_sections, sections_height
from ecoscale.drawing.paper import ALERT_INK, FADED_INK, INK, blank_figure, printable, shortened, write
from ecoscale.drawing.saving import pdf_pages
from ecoscale.findings import DISCLAIMER
from ecoscale.sections import findings_section, measurement_sections, warnings_section
from ecoscale.wording import measured_line, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from ecoscale.drawing import Relevance
    from ecoscale.ecg import ECG
    from ecoscale.inference import Prediction
    from ecoscale.measurements import Measurements

WIDTH, HEIGHT = 297.0, 210.0
"""A4 across, in mm."""
MARGIN = 10.0
HEAD, FOOT = 14.0, 22.0
"""Millimetres above the sheet and below it: name and facts, verdict and disclaimer."""
GAINS = (10.0, 5.0, 2.5)
"""Gains that are tried, in mm/mV, until the rows fit on the page; the sheet says which it has."""
FINDINGS_WIDTH, GAP = 125.0, 10.0
FAILURES_A_PAGE = 30


def report_pdf(
    ecg: ECG,
    prediction: Prediction,
    *,
    measurements: Measurements | None = None,
    relevance: Relevance | None = None,
    reliability: Mapping[str, str] | None = None,
) -> bytes:
    """One recording's report as the bytes of a PDF: the sheet, and the page of findings.

    `measurements` are those of the prediction where none are given. `relevance` is drawn under the traces.
    `reliability` says of findings, by name, how far they can be trusted (`ecoscale.wording.reliability`).
    """
    stream = io.BytesIO()
    name = _name(ecg, prediction)
    with pdf_pages(stream, title=f"ECG {name}") as add:
        for page in _pages(ecg, prediction, measurements, relevance, reliability or {}):
            add(page)
    return stream.getvalue()


def write_report_pdf(
    results: Iterable[tuple[ECG, Prediction]],
    path: str | Path,
    *,
    title: str = "ECG findings",
    reliability: Mapping[str, str] | None = None,
    failures: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write one PDF of all recordings, two pages each, as `results` yields them; memory does not grow with them.

    `failures` are `(file, error)` of those that could not be read, looked at after `results` is exhausted; they come
    last. Nothing is left at `path` if `results` raises, or if there is nothing to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with pdf_pages(partial, title=title) as add:
            for ecg, prediction in results:
                for page in _pages(ecg, prediction, None, None, reliability or {}):
                    add(page)
            for page in _failure_pages(failures):
                add(page)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _pages(
    ecg: ECG,
    prediction: Prediction,
    measurements: Measurements | None,
    relevance: Relevance | None,
    reliability: Mapping[str, str],
) -> Iterator[Figure]:
    measurements = prediction.measurements if measurements is None else measurements
    disagreeing = prediction.disagreements
    if measurements is not None and prediction.measurements is not measurements:
        from ecoscale.measurements import disagreements

        disagreeing = disagreements(measurements, prediction)
    yield _sheet_page(ecg, prediction, measurements, disagreeing, relevance)
    yield _findings_page(ecg, prediction, measurements, disagreeing, reliability)


def _sheet_page(
    ecg: ECG,
    prediction: Prediction,
    measurements: Measurements | None,
    disagreeing: Sequence[str],
    relevance: Relevance | None,
) -> Figure:
    room = HEIGHT - 2 * MARGIN - HEAD - FOOT
    sheet = Sheet.of(ecg, title="", relevance=relevance)
    for gain in GAINS[1:]:
        if sheet.height <= room:
            break
        sheet = Sheet.of(ecg, title="", relevance=relevance, gain=gain)
    # Never off scale: what does not fit at any gain has a taller page.
    height = max(HEIGHT, HEIGHT - room + sheet.height)
    figure, axes = blank_figure(WIDTH, height)
    left = (WIDTH - sheet.width) / 2
    _write_head(figure, ecg, prediction, left, height)
    sheet.draw(axes, left, height - MARGIN - HEAD - sheet.height)
    y = height - MARGIN - HEAD - sheet.height - 6
    mark = "●" if prediction.present else "○"
    write(axes, left, y, shortened(f"{mark} {verdict(prediction)}", 110), 3.8, weight="bold")
    if measurements is not None:
        y -= 5.5
        write(axes, left, y, shortened(f"Measured: {measured_line(measurements)}", 150), 2.9)
    remarks = [f"{len(disagreeing)} disagreements of rule and network"] if len(disagreeing) > 1 else []
    remarks += ["rule and network disagree"] if len(disagreeing) == 1 else []
    if prediction.warnings:
        remarks.append(f"{len(prediction.warnings)} warning{'s' if len(prediction.warnings) > 1 else ''}")
    if remarks:
        y -= 5
        write(axes, left, y, f"Read with care: {', '.join(remarks)}; see the next page.", 2.9, color=ALERT_INK)
    _write_disclaimer(figure, left)
    return figure


def _findings_page(
    ecg: ECG,
    prediction: Prediction,
    measurements: Measurements | None,
    disagreeing: Sequence[str],
    reliability: Mapping[str, str],
) -> Figure:
    left = 16.0
    top, floor = HEIGHT - MARGIN - HEAD - 2, MARGIN + 8
    room = top - floor
    most = len(prediction.findings)
    while most > 1 and sections_height([findings_section(prediction, reliability, most)], FINDINGS_WIDTH) > room:
        most -= 1
    found = [findings_section(prediction, reliability, most)]
    width = WIDTH - 2 * left - FINDINGS_WIDTH - GAP
    beside = [] if measurements is None else measurement_sections(measurements, disagreeing)
    beside += warnings_section(prediction.warnings)
    beside.append(_about(ecg, prediction))
    height = max(HEIGHT, HEIGHT - room + max(sections_height(found, FINDINGS_WIDTH), sections_height(beside, width)))
    figure, axes = blank_figure(WIDTH, height)
    _write_head(figure, ecg, prediction, left, height)
    draw_sections(axes, found, left, height - HEIGHT + top, FINDINGS_WIDTH)
    draw_sections(axes, beside, left + FINDINGS_WIDTH + GAP, height - HEIGHT + top, width)
    _write_disclaimer(figure, left)
    return figure


def _about(ecg: ECG, prediction: Prediction) -> Section:
    rows = [
        Row("Source", detail=prediction.source or "not stated"),
        Row("Rate", f"{ecg.rate:g} Hz"),
        Row("Duration", f"{ecg.duration:.4g} s"),
        Row("Leads", str(ecg.n_leads)),
        Row("Bundle", prediction.bundle),
    ]
    return Section("Recording", tuple(rows))


def _failure_pages(failures: Sequence[tuple[str, str]]) -> Iterator[Figure]:
    told = [Row(file, detail=error.removeprefix(f"{file}: ")) for file, error in failures]
    width = WIDTH - 32.0
    while told:
        rows = told[:FAILURES_A_PAGE]
        while len(rows) > 1 and sections_height([Section("Could not be read", tuple(rows))], width) > HEIGHT - 45:
            rows.pop()
        told = told[len(rows) :]
        figure, axes = blank_figure(WIDTH, HEIGHT)
        draw_sections(axes, [Section("Could not be read", tuple(rows), "alert")], 16.0, HEIGHT - 20, width)
        _write_disclaimer(figure, 16.0)
        yield figure


def _write_head(figure: Figure, ecg: ECG, prediction: Prediction, left: float, height: float) -> None:
    axes = figure.axes[0]
    name = shortened(printable(_name(ecg, prediction)), 70)
    write(axes, left, height - MARGIN - 6, name, 5.0, weight="bold", color=INK)
    write(axes, WIDTH - left, height - MARGIN - 6, f"by {prediction.bundle}", 2.9, color=FADED_INK, align="right")


def _write_disclaimer(figure: Figure, left: float) -> None:
    write(figure.axes[0], left, MARGIN - 2, DISCLAIMER, 2.5, color=FADED_INK)


def _name(ecg: ECG, prediction: Prediction) -> str:
    return prediction.record or ecg.record or Path(prediction.source).name or "recording"
