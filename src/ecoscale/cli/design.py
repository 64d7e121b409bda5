"""`ecoscale design`: a network for a signal, a receptive field and a budget."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer


class Kernels(StrEnum):
    """Kinds of kernels; `ecoscale.models.design.Kernels`."""

    RADIX = "radix"
    DILATED = "dilated"
    PRIME = "prime"
    NONE = "none"


def design(
    rate: Annotated[float, typer.Option(min=1, help="Samples per second of the network's input, Hz.")] = 400,
    samples: Annotated[int, typer.Option(min=64, help="Length for which operations are counted.")] = 4096,
    receptive_field: Annotated[
        str, typer.Option(help="Longest pattern that one block must see: 1.28s, 600ms, or a number of samples.")
    ] = "1.28s",
    budget: Annotated[str, typer.Option(help="Most parameters: 0.5M, 200k or a number.")] = "0.5M",
    kernels: Annotated[
        Kernels,
        typer.Option(
            help="radix: ours, every receptive field once; dilated: the same with spaced taps; prime: published."
        ),
    ] = Kernels.RADIX,
    lean: Annotated[
        bool, typer.Option("--lean", help="EcoScale-Net Lean (ours): its backbone's accuracy for fewer operations.")
    ] = False,
    channels: Annotated[
        int, typer.Option("--channels", "--leads", min=1, help="Channels of the signal: the leads of an ECG.")
    ] = 12,
    classes: Annotated[int, typer.Option(min=1, help="Number of findings.")] = 6,
) -> None:
    r"""Design an EcoScale-Net: kernels for a receptive field, width for a budget (needs ecoscale\[train]).

    Prints each stage with its kernels and what they cover, then the whole network and its section of a recipe.

    Examples:
      ecoscale design --rate 400 --samples 4096 --receptive-field 1.28s --budget 0.5M
      ecoscale design --rate 100 --samples 1000 --receptive-field 600ms --budget 100k --lean
    """
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.errors import MissingExtraError

    try:
        import torch
        import yaml

        from ecoscale.complexity import report_complexity
        from ecoscale.models.design import design_network
        from ecoscale.models.ecoscalenet_lean import LEAN
    except ModuleNotFoundError as error:
        raise MissingExtraError("designing a network", error.name or "torch", "train") from error

    required = _samples(receptive_field, rate)
    kind, options = ("dilated", LEAN) if lean else (kernels.value, {})
    found = design_network(required, _count(budget), kernels=kind, n_channels=channels, n_classes=classes, **options)
    console = console_on(sys.stdout)
    console.print(
        f"receptive field {required} samples ({required / rate:g} s at {rate:g} Hz), {kind} kernels, "
        f"at most {_count(budget):,} parameters"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, side in (
        ("stage", "right"), ("stride", "right"), ("channels", "right"), ("kernels of each layer", "left"),
        ("covers, stage's samples", "left"), ("covers up to, s", "right"), ("block's weights", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for number, stage in enumerate(found.stages, 1):
        layers = " | ".join(" ".join(map(str, layer)) for layer in stage.layers) or "no block"
        gaps = "" if stage.gap_free == stage.longest else f" of {stage.longest}"
        table.add_row(
            str(number),
            str(stage.stride),
            str(stage.channels),
            layers,
            f"1-{stage.gap_free}{gaps}" if stage.layers else "",
            f"{stage.gap_free * stage.stride / rate:.2f}" if stage.layers else "",
            f"{stage.weights:,}",
        )
    console.print(table)
    with torch.device("meta"):
        network = found.build(channels, classes)
    report = report_complexity("ecoscalenet", network, channels, samples)
    low, high = report.unbroken
    console.print(
        f"whole network: {report.parameters:,} parameters, {report.macs / 1e9:.4f} GMAC at {samples} samples "
        f"({samples / rate:g} s), {report.size_fp32 / 1e6:.2f} MB; longest receptive field {report.receptive_field} "
        f"samples ({report.receptive_field / rate:.2f} s), without a gap from {low} to {high} in steps of {report.step}"
    )
    config = yaml.safe_dump(
        {"model": {"name": "ecoscalenet", "config": _plain(found.config)}},
        sort_keys=False,
        default_flow_style=None,
        width=120,
    )
    console.print(f"in a recipe:\n{config}", markup=False, end="")


def _plain(value: object) -> object:
    """Tuples as lists, for YAML."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _samples(text: str, rate: float) -> int:
    """A length in samples from `1.28s`, `600ms` or `512`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|ms)?", text.strip())
    if match is None:
        raise typer.BadParameter(
            f"{text!r}; expected 1.28s, 600ms or a number of samples", param_hint="--receptive-field"
        )
    scale = {"s": rate, "ms": rate / 1000, None: 1.0}[match[2]]
    return round(float(match[1]) * scale)


def _count(text: str) -> int:
    """A number from `0.5M`, `200k` or `200000`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kM])?", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}; expected 0.5M, 200k or a number", param_hint="--budget")
    return round(float(match[1]) * {"k": 1e3, "M": 1e6, None: 1}[match[2]])
