"""`ecoscale models`: the networks."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="Names, as a shell pattern.", metavar="PATTERN")] = "*",
    channels: Annotated[
        int, typer.Option("--channels", "--leads", min=1, help="Channels of the signal: the leads of an ECG.")
    ] = 12,
    classes: Annotated[int, typer.Option(min=1, help="Number of findings.")] = 6,
    samples: Annotated[int, typer.Option(min=64, help="Length for which operations are counted.")] = 4096,
) -> None:
    r"""List the networks with their parameters and operations (needs ecoscale\[train]).

    Operations are multiply-accumulates (1 MAC = 2 FLOPs) of convolutions and linear layers for one recording.

    Examples:
      ecoscale models
      ecoscale models 'oscnn*' --samples 1000
    """
    import sys

    from rich.table import Table

    from ecoscale.cli._output import console_on
    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale.complexity import measure_complexity
        from ecoscale.models import create_model, describe_model, match_models
    except ModuleNotFoundError as error:
        raise MissingExtraError("listing networks", error.name or "torch", "train") from error
    import torch

    names = match_models([pattern])
    table = Table("model", "parameters", f"GMAC at {samples}", "what", box=None, header_style="bold", pad_edge=False)
    for name in names:
        with torch.device("meta"):
            network = create_model(name, channels, classes)
        cost = measure_complexity(network, channels, samples)
        table.add_row(name, f"{cost.parameters:,}", f"{cost.macs / 1e9:.3f}", describe_model(name))
    console_on(sys.stdout).print(table)
