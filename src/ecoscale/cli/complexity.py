"""`ecoscale complexity`: what networks cost and how far they see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ecoscale.complexity import ComplexityReport

COLUMNS = (
    "model",
    "parameters",
    "stored",
    "GMAC",
    "receptive field",
    "without a gap",
    "activations, MB",
    "fp32, MB",
    "int8, MB",
)


def complexity(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names or shell patterns.", metavar="[MODEL]...", show_default="every network"),
    ] = None,
    samples: Annotated[int, typer.Option(min=64, help="Length of the signal.")] = 4096,
    channels: Annotated[
        int, typer.Option("--channels", "--leads", min=1, help="Channels of the signal: the leads of an ECG.")
    ] = 12,
    classes: Annotated[int, typer.Option(min=1, help="Number of findings.")] = 6,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Show what is saved against this network, in per cent; repeatable.", show_default=False),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also export each to ONNX and time it here, one signal, one thread.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a network.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A table for a document.")] = False,
) -> None:
    r"""Say what networks cost and how far they see (needs ecoscale\[train]).

    Parameters are those in use; stored counts the zeros of a masked form too.
    Operations are multiply-accumulates (1 MAC = 2 FLOPs) of convolutions and linear layers for one signal.
    The receptive field is the longest; "without a gap" is the longest stretch of them, in samples and steps.
    int8 is an estimate: convolution and linear weights in one byte each, all else in four.

    Examples:
      ecoscale complexity
      ecoscale complexity 'ecoscalenet*' --against oscnn --against oscnn_unbudgeted
      ecoscale complexity ecoscalenet_radix oscnn --samples 1000 --measure --json
    """
    import json
    import sys

    from ecoscale.cli._output import console_on, tracked
    from ecoscale.errors import MissingExtraError

    if as_json and as_markdown:
        raise typer.BadParameter("--json and --markdown exclude each other")
    try:
        import torch

        from ecoscale.complexity import report_complexity
        from ecoscale.models import create_model, match_models
    except ModuleNotFoundError as error:
        raise MissingExtraError("counting operations", error.name or "torch", "train") from error

    def report(name: str) -> ComplexityReport:
        with torch.device("meta"):
            network = create_model(name, channels, classes)
        return report_complexity(name, network, channels, samples)

    others = [report(name) for name in against or []]
    reports = [report(name) for name in match_models(models or ["*"])]
    if measure:
        from dataclasses import replace

        from ecoscale.export import measure_latency

        reports = [
            replace(own, milliseconds=measure_latency(create_model(own.model, channels, classes), channels, samples))
            for own in tracked(reports, "measuring")
        ]
    if as_json:
        for own in reports:
            saved = {other.model: own.saved_against(other) for other in others}
            typer.echo(json.dumps(own.to_dict() | ({"saved_percent": saved} if others else {})))
        return
    head = [*COLUMNS, *(["ms"] if measure else []), *(f"against {other.model}" for other in others)]
    rows = [_row(own, others) for own in reports]
    if as_markdown:
        lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
        typer.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in head:
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        table.add_row(*row)
    console_on(sys.stdout).print(table)


def _row(own: ComplexityReport, others: list[ComplexityReport]) -> list[str]:
    low, high = own.unbroken
    cells = [
        own.model,
        f"{own.parameters:,}",
        f"{own.stored:,}",
        f"{own.macs / 1e9:.3f}",
        f"{own.receptive_field:,}",
        f"{low:,}-{high:,} by {own.step}",
        f"{own.activation_peak / 1e6:.2f}",
        f"{own.size_fp32 / 1e6:.2f}",
        f"{own.size_int8 / 1e6:.2f}",
    ]
    if own.milliseconds is not None:
        cells.append(f"{own.milliseconds:.1f}")
    for other in others:
        saved = own.saved_against(other)
        cells.append(f"{_change(saved['parameters'])} parameters, {_change(saved['macs'])} MACs")
    return cells


def _change(saved: float) -> str:
    """A reduction as the change that it is, in per cent."""
    if not saved:
        return "0 %"
    return f"{-saved:+.{2 if saved > 99.9 else 1}f} %"
