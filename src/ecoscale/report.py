"""The report: one HTML page that shows each ECG on paper beside its findings.

The page is a single file. It fetches nothing, runs no script, and can be printed, mailed or archived as it is.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecoscale.drawing import draw_ecg, figure_svg
from ecoscale.findings import DISCLAIMER
from ecoscale.wording import measured_rows, percent, sentence, verdict, warning_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ecoscale.ecg import ECG
    from ecoscale.inference import Prediction


@dataclass(frozen=True)
class _Entry:
    """A recording's line of the index."""

    number: int
    name: str
    present: tuple[str, ...]
    n_warnings: int


def write_report(
    results: Iterable[tuple[ECG, Prediction]],
    path: str | Path,
    *,
    title: str = "ECG findings",
    failures: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write one self-contained HTML page: every recording's sheet beside its findings.

    Recordings are drawn one at a time as `results` yields them, and kept on disk until the index that precedes them
    is known: memory does not grow with their signals, and nothing is written to `path` if `results` raises.

    Parameters
    ----------
    results
        Each ECG with what was predicted from it.
    path
        The page to write. Its folder is made where it does not exist.
    title
        The heading of the page.
    failures
        `(file, error)` for each file that could not be read. Looked at after `results` is exhausted, so whoever
        yields the results may still be adding to it.
    """
    path = Path(path)
    templates = _templates()
    sheet = templates.get_template("recording.html")
    entries: list[_Entry] = []
    single_label = False
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", newline="\n") as drawn:
        for number, (ecg, prediction) in enumerate(results, start=1):
            name = prediction.record or Path(prediction.source).name or f"Recording {number}"
            drawn.write(
                sheet.render(
                    number=number,
                    name=name,
                    ecg=ecg,
                    prediction=prediction,
                    verdict=verdict(prediction),
                    svg=figure_svg(draw_ecg(ecg, title=""), description=_description(ecg, name)),
                    warnings=[warning_in_words(warning) for warning in prediction.warnings],
                    measured=[] if prediction.measurements is None else measured_rows(prediction.measurements),
                )
            )
            single_label = prediction.single_label
            present = tuple(finding.title for finding in prediction.findings.values() if finding.present)
            entries.append(_Entry(number, name, present, len(prediction.warnings)))
        drawn.seek(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        page = templates.get_template("report.html").generate(
            title=title,
            entries=entries,
            single_label=single_label,
            n_present=sum(bool(entry.present) for entry in entries),
            failures=[(file, error.removeprefix(f"{file}: ")) for file, error in failures],
            recordings=iter(partial(drawn.read, 1 << 16), ""),
            disclaimer=DISCLAIMER,
        )
        with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(page)
    return path


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("ecoscale"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["sentence"] = sentence
    return environment


def _description(ecg: ECG, name: str) -> str:
    """What a screen reader says of the sheet."""
    shown = min(10.0, ecg.duration)
    return (
        f"ECG {name}: {ecg.n_leads} leads ({', '.join(ecg.leads)}), the first {shown:.3g} of {ecg.duration:.4g} "
        "seconds in four columns above a rhythm strip of lead II, at 25 mm per second and 10 mm per millivolt."
    )
