"""`ecoscale plot`: ECGs on paper to scale, their findings beside them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ecoscale.cli._output import FAILED, Dialect_file, Lead_names, Measure, Rate, Unit, counted_ahead, stated, tracked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from ecoscale.drawing import Section, Strip
    from ecoscale.ecg import ECG
    from ecoscale.formats import Recording
    from ecoscale.inference import Classifier

LONGEST_SECONDS = 3600.0
"""Of a longer recording a sheet shows, and says the findings of, the excerpt that it draws."""
MOST_FILES = 200
"""Pages that are written as files of their own; more are asked for as a PDF, or by --pages."""


class Paper(StrEnum):
    """How leads are arranged."""

    STANDARD = "3x4+1"
    TWO_COLUMNS = "6x2"
    ONE_COLUMN = "12x1"
    STRIP = "strip"


def plot(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns ('**/*.hea').", metavar="PATH", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png, .svg or .pdf; of several recordings a .pdf, or a folder.",
            show_default="RECORD.png in this folder",
        ),
    ] = None,
    layout: Annotated[
        Paper, typer.Option("--layout", "-l", help="Sheets of ten seconds, or pages of strips of all of it.")
    ] = Paper.STANDARD,
    speed: Annotated[float, typer.Option(help="Paper speed in mm/s; of strips 2.5 to 100.")] = 25.0,
    gain: Annotated[float, typer.Option(help="Amplitude in mm/mV.")] = 10.0,
    start: Annotated[float, typer.Option(min=0, help="Begin so many seconds into the recording.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(help="Strips of so many seconds.", show_default="to the end")] = None,
    rhythm_lead: Annotated[str, typer.Option(help="Lead of the rhythm strip.")] = "II",
    show: Annotated[
        str | None,
        typer.Option("--show", help="Leads of strips: II,V1,V5.", show_default="II, else V1, V5, I or the first"),
    ] = None,
    pages: Annotated[str | None, typer.Option(help="Pages of strips, as 3 or 2-5.", show_default="all")] = None,
    dpi: Annotated[float, typer.Option(min=50, max=600, help="Dots per inch of a PNG.")] = 200.0,
    findings: Annotated[bool, typer.Option("--findings/--no-findings", help="Findings beside a sheet.")] = True,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    measure: Measure = False,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
) -> None:
    """Draw ECGs on paper to scale (25 mm/s, 10 mm/mV), with findings beside them: PNG, SVG or PDF.

    A sheet shows ten seconds. Long records go on pages of strips, read in pieces: memory does not grow with them.
    What cannot be read is said, the others are drawn, and the exit status is 1.

    Examples:
      ecoscale plot record.hea
      ecoscale plot record.hea --output sheet.pdf --layout 6x2 --measure
      ecoscale plot 'ward/*.dcm' --output ward.pdf
      ecoscale plot holter.hea --layout strip --show II,V5 --output holter.pdf
      ecoscale plot holter.hea --layout strip --speed 5 --start 3600 --pages 1-3
      ecoscale plot ecg.csv --rate 500 --unit uV --no-findings
    """
    from dataclasses import replace

    from ecoscale.errors import EcoscaleError
    from ecoscale.formats import find_recordings

    options = stated(rate, unit, leads, dialect)
    chosen = _page_range(pages)
    _check(layout, seconds=seconds, show=show, pages=pages, output=output)
    found = find_recordings(paths, tables={"rate", "unit"} <= options.keys())
    recordings = [replace(each, options=options) for each in found]
    target = _Target(output, [str(each.path) for each in recordings], dpi)
    draw: Any
    if layout is Paper.STRIP:
        wanted = tuple((show or "").replace(",", " ").split())
        draw = _Strips(wanted, speed, gain, start, seconds, chosen)
    else:
        sheet = {"layout": layout.value, "rhythm_lead": rhythm_lead, "speed": speed, "gain": gain, "start": start}
        draw = _Sheets(sheet, _classifier(bundle) if findings else None, measure)
    n_failed = 0
    waiting, total = counted_ahead(recordings)
    with target:
        for recording in tracked(waiting, "drawing", total):
            try:
                for written in target.write(recording, *draw(recording)):
                    typer.echo(written)
            except EcoscaleError as error:
                n_failed += 1
                typer.echo(f"error: {error}", err=True)
    if target.document is not None and len(recordings) > n_failed:
        typer.echo(target.document)
    if not recordings:
        typer.echo(f"no recordings found in {', '.join(paths)}", err=True)
    if n_failed or not recordings:
        raise typer.Exit(FAILED)


def _check(layout: Paper, *, seconds: float | None, show: str | None, pages: str | None, output: Path | None) -> None:
    """Refuse options that the layout has no use for, and files that cannot be drawn to."""
    if layout is not Paper.STRIP:
        for name, value in (("--seconds", seconds), ("--show", show), ("--pages", pages)):
            if value is not None:
                raise typer.BadParameter("is of strips; give --layout strip too", param_hint=name)
    if output is not None and output.suffix and not output.is_dir():
        from ecoscale.drawing.saving import SUFFIXES

        if output.suffix.lower() not in SUFFIXES:
            raise typer.BadParameter(f"{output}: cannot draw to it; use {', '.join(SUFFIXES)}", param_hint="--output")


def _page_range(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 1, None
    first, dash, last = text.partition("-")
    try:
        chosen = int(first), int(last) if dash else int(first)
    except ValueError:
        chosen = 0, 0
    if not 1 <= chosen[0] <= chosen[1]:
        raise typer.BadParameter(f"{text!r}; expected a page as 3, or pages as 2-5", param_hint="--pages")
    return chosen


def _classifier(bundle: str | None) -> Classifier:
    from ecoscale.inference import Classifier

    classifier = Classifier.load(bundle)
    classifier.bundle.require_ecg("ecoscale plot")
    return classifier


class _Sheets:
    """A recording as one page: ten seconds, findings and measurements beside them."""

    def __init__(self, options: dict[str, Any], classifier: Classifier | None, measure: bool) -> None:
        self._options = options
        self._classifier = classifier
        self._measure = measure

    def __call__(self, recording: Recording) -> tuple[Iterator[Figure], int]:
        from ecoscale.drawing import draw_ecg

        ecg, where = self._ecg(recording)
        return iter([draw_ecg(ecg, **(self._options | where), beside=self._beside(ecg))]), 1

    def _ecg(self, recording: Recording) -> tuple[ECG, dict[str, Any]]:
        """What is drawn, and how it is called and where it begins if it is an excerpt."""
        from ecoscale.drawing import SHEET_SECONDS
        from ecoscale.excerpts import read_excerpt
        from ecoscale.formats.long_records import open_long_record

        record = open_long_record(recording.path, record=recording.record, **recording.options)
        if record.duration <= LONGEST_SECONDS:
            return recording.read(fewer_leads=True), {}
        start = self._options["start"]
        ecg = cast("ECG", read_excerpt(record, start, SHEET_SECONDS))
        at = record.clock(start) or f"{start:g} s"
        return ecg, {"start": 0.0, "title": f"{record.record or recording.path.name}, from {at} on"}

    def _beside(self, ecg: ECG) -> list[Section]:
        from ecoscale.errors import LeadError
        from ecoscale.measurements import disagreements, measure_ecg
        from ecoscale.sections import sections_beside

        prediction = measurements = None
        if self._classifier is not None:
            try:
                prediction = self._classifier.predict(ecg)
            except LeadError as error:
                typer.echo(f"drawn without findings: {error}", err=True)
        if self._measure:
            measurements = measure_ecg(ecg)
        disagreeing = disagreements(measurements, prediction) if measurements and prediction else ()
        return sections_beside(prediction, measurements, disagreeing)


class _Strips:
    """A recording as pages of strips."""

    def __init__(
        self,
        leads: tuple[str, ...],
        speed: float,
        gain: float,
        start: float,
        seconds: float | None,
        pages: tuple[int, int | None],
    ) -> None:
        self._options = {"leads": leads, "speed": speed, "gain": gain, "start": start, "seconds": seconds}
        self._pages = pages

    def __call__(self, recording: Recording) -> tuple[Iterator[Figure], int]:
        from ecoscale.drawing import lay_out_strip
        from ecoscale.errors import EcoscaleError
        from ecoscale.formats.long_records import open_long_record

        record = open_long_record(recording.path, record=recording.record, **recording.options)
        strip: Strip = lay_out_strip(record, **self._options)
        first, last = self._pages
        if first > strip.n_pages:
            raise EcoscaleError(f"{record.source}: page {first} is asked for; it takes {strip.n_pages:,}")
        last = strip.n_pages if last is None else min(last, strip.n_pages)
        return strip.pages(first, last), last - first + 1


class _Target:
    """Where figures go: a file or several for each recording, or one PDF for all. Never over what is read."""

    def __init__(self, output: Path | None, sources: list[str], dpi: float) -> None:
        self._dpi = dpi
        self._sources = {Path(source).resolve() for source in sources}
        self._names: set[str] = set()
        several = len(sources) > 1
        is_folder = output is not None and (output.is_dir() or not output.suffix)
        if several and output is not None and not is_folder and output.suffix.lower() != ".pdf":
            raise typer.BadParameter(
                f"{output}: one {output.suffix} cannot hold {len(sources)} recordings; give a .pdf, or a folder",
                param_hint="--output",
            )
        self.document = output if several and output is not None and not is_folder else None
        """The one PDF of several recordings."""
        self._file = output if not several and not is_folder else None
        self._folder = output if is_folder and output is not None else Path()
        self._opened: Any = None
        self._add: Any = None
        for path in (self.document, self._file):
            if path is not None:
                self._refuse_source(path)
                path.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> None:
        if self.document is not None:
            from ecoscale.drawing.saving import pdf_pages

            self._opened = pdf_pages(self.document)
            self._add = self._opened.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(*error)

    def write(self, recording: Recording, pages: Iterator[Figure], n_pages: int) -> list[Path]:
        """Write a recording's pages; gives the files that are its own."""
        from ecoscale.drawing import save_pages
        from ecoscale.errors import EcoscaleError

        if self._add is not None:
            for page in tracked(pages, "pages", n_pages, show=n_pages > 1 and len(self._sources) == 1):
                self._add(page)
            return []
        path = self._file or self._folder / f"{self._name(recording)}.png"
        self._refuse_source(path)
        if n_pages > MOST_FILES and path.suffix.lower() != ".pdf":
            raise EcoscaleError(
                f"{recording.path}: {n_pages:,} pages would be as many {path.suffix} files; give --output with a name "
                "in .pdf, a slower --speed, or --pages"
            )
        shown = tracked(pages, "pages", n_pages, show=n_pages > 1 and len(self._sources) == 1)
        return save_pages(shown, path, n_pages, dpi=self._dpi)

    def _name(self, recording: Recording) -> str:
        """The recording's name as that of a file; one that was taken gets a number."""
        stem = recording.path.stem + (f"-{recording.record}" if recording.record else "")
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return name

    def _refuse_source(self, path: Path) -> None:
        from ecoscale.errors import EcoscaleError

        if path.resolve() in self._sources:
            raise EcoscaleError(f"{path}: is one of the recordings to draw, and would be overwritten; choose another")
