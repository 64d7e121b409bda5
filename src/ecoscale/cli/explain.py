"""`ecoscale explain`: which leads and which seconds speak for a finding."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ecoscale.cli._output import Dialect_file, Lead_names, Rate, Unit, stated, tracked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from ecoscale.ecg import ECG
    from ecoscale.explaining import Explanation
    from ecoscale.inference import Prediction

PICTURES = (".png", ".svg", ".pdf")
DATA = ".json"


class Method(StrEnum):
    """How the relevance is found."""

    OCCLUSION = "occlusion"
    INSERTION = "insertion"
    GRADIENTS = "gradients"


def explain(
    path: Annotated[Path, typer.Argument(help="A recording of at most a minute.", metavar="FILE", show_default=False)],
    finding: Annotated[
        list[str] | None,
        typer.Option(
            "--finding",
            "-F",
            help="A finding to explain; repeatable.",
            show_default="those that are present, else the most probable",
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="occlusion, insertion of P waves, or integrated gradients (needs ecoscale\\[train]).")
    ] = Method.OCCLUSION,
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="Draw it (.png, .svg, .pdf; a file a finding), or write it as .json.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            min=0, help="Explain one window of the network, from so many seconds on.", show_default="all of the record"
        ),
    ] = None,
    record: Annotated[
        str | None, typer.Option(help="Which recording, in a file of several.", show_default=False)
    ] = None,
    rate: Rate = None,
    unit: Unit = None,
    leads: Lead_names = None,
    dialect: Dialect_file = None,
) -> None:
    """Show which leads and which seconds of an ECG speak for a finding.

    Parts of the signal are taken out, and what the network's log-odds lose by it is noted: what moved this network,
    and no proof of the finding. What is missing cannot be taken out: for AF, insertion puts P waves in.

    Examples:
      ecoscale explain record.hea
      ecoscale explain record.hea --finding AF --output af.png
      ecoscale explain record.hea --finding AF --method insertion
      ecoscale explain record.hea --finding LBBB --method gradients --output lbbb.json
      ecoscale explain holter.npy --start 3600 --rate 250 --unit mV --leads II,V1,V5 --bundle mine
    """
    import sys

    from ecoscale.cli._output import console_on
    from ecoscale.explaining.explanation import column_of, stretch
    from ecoscale.formats import read_ecg
    from ecoscale.inference import Classifier

    if output and output.suffix.lower() not in (*PICTURES, DATA):
        raise typer.BadParameter(
            f"{output}: cannot write to it; use {', '.join((*PICTURES, DATA))}", param_hint="--output"
        )
    explained_by = _method(method)
    classifier = Classifier.load(bundle)
    classifier.bundle.require_ecg("ecoscale explain")
    for name in finding or ():
        column_of(classifier.bundle, name)
    fewer = classifier.preparation.fewer_leads
    ecg = read_ecg(path, record=record, fewer_leads=fewer, **stated(rate, unit, leads, dialect))
    prediction = classifier.predict(stretch(ecg, classifier.preparation, start))
    wanted = list(dict.fromkeys(finding or prediction.present or [_most_probable(prediction)]))
    explanations = [explained_by(classifier, ecg, name, start=start) for name in tracked(wanted, "explaining")]
    if output:
        _write(output, ecg, explanations)
    _print(console_on(sys.stdout), ecg, prediction, explanations)


def _method(method: Method) -> Callable[..., Explanation]:
    """What explains; looked for first, so that what is not installed is known before anything is read."""
    if method is not Method.GRADIENTS:
        from ecoscale.explaining import explain_by_insertion, explain_ecg

        return explain_ecg if method is Method.OCCLUSION else explain_by_insertion
    from ecoscale.explaining.gradients import explain_by_gradients

    return lambda classifier, *asked, **options: explain_by_gradients(classifier.bundle, *asked, **options)


def _most_probable(prediction: Prediction) -> str:
    return max(prediction.findings.values(), key=lambda finding: finding.probability).name


def _write(output: Path, ecg: ECG, explanations: Sequence[Explanation]) -> None:
    """Pictures, a file a finding, or all of them as a list of JSON."""
    import json

    from ecoscale.cli._output import open_output

    if output.suffix.lower() == DATA:
        with open_output(output) as stream:
            json.dump([explanation.to_dict() for explanation in explanations], stream)
            stream.write("\n")
        return
    from ecoscale.drawing import draw_ecg, save_figure

    for explanation in explanations:
        own = output if len(explanations) == 1 else output.with_stem(f"{output.stem}-{explanation.finding}")
        own.parent.mkdir(parents=True, exist_ok=True)
        figure = draw_ecg(ecg, layout="12x1", start=explanation.start, relevance=explanation)
        typer.echo(f"{explanation.finding}: {save_figure(figure, own)}", err=True)


def _print(console: Console, ecg: ECG, prediction: Prediction, explanations: Sequence[Explanation]) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(ecg.record or ecg.source, "bold"), soft_wrap=True)
    for explanation in explanations:
        found = prediction.findings[explanation.finding]
        console.print()
        state = "present" if found.present else "not present"
        if found.threshold is None:
            state, threshold = "most probable" if found.present else "less probable", ""
        else:
            threshold = f", threshold {found.threshold:.3f}"
        said = f"{found.name} ({found.title}): {state}, probability {found.probability:.3f}{threshold}"
        console.print(Text(said), soft_wrap=True)
        shares = sorted(explanation.lead_shares.items(), key=lambda each: -each[1])
        spans = explanation.spans()
        if not spans:
            console.print("no stretch of the signal speaks for it")
            continue
        told = ", ".join(f"{lead} {100 * share:.0f} %" for lead, share in shares if share >= 0.005)
        console.print(f"leads: {told}", soft_wrap=True)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("from s", "to s", "share"):
            table.add_column(heading, justify="right")
        table.add_column("most of it in")
        for span in spans:
            table.add_row(f"{span.start:.2f}", f"{span.stop:.2f}", f"{100 * span.share:.0f} %", ", ".join(span.leads))
        console.print(table)
        if explanation.remainder is not None:
            console.print(f"integrated gradients miss {abs(explanation.remainder):.2g} of the log-odds", style="dim")
    console.print()
    for warning in prediction.warnings:
        console.print(Text(warning), soft_wrap=True)
    console.print(
        Text(f"Relevance by {explanations[0].method} for {prediction.bundle}: what moved this network.", "dim")
    )
    console.print(Text(prediction.disclaimer, "dim"))
