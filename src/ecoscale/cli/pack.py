"""`ecoscale pack`: a run's best network as a bundle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ecoscale.bundle import Manifest


class Method(StrEnum):
    """How logits become probabilities."""

    PLATT = "platt"
    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"
    NONE = "none"


def pack(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.", metavar="RUN", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", file_okay=False, help="Folder of the bundle.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option(help="The bundle's name.", show_default="the recipe's")] = None,
    version: Annotated[str, typer.Option(help="The bundle's version.")] = "1",
    sensitivity: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1, help="Thresholds with at least this sensitivity.", show_default="F1-optimal ones"
        ),
    ] = None,
    fewest_positives: Annotated[
        int, typer.Option(min=1, help="Positives without which a finding keeps a threshold of 0.5.")
    ] = 1,
    calibration: Annotated[
        Method | None,
        typer.Option(help="How logits become probabilities.", show_default="platt; of exclusive classes: temperature"),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Show another run in the card, validated alike; repeatable.", show_default=False),
    ] = None,
) -> None:
    r"""Make a bundle of a run's best epoch (needs ecoscale\[train]).

    Thresholds and calibration are chosen on the run's validation part; every method of calibration is compared there.
    Classes that exclude each other (single_label) have no thresholds, and the calibration is one temperature or none.
    The network goes to ONNX, and the bundle is refused unless both give the same logits.

    Examples:
      ecoscale pack runs/ptbxl-six-findings --out bundles/six-findings --name six-findings
      ecoscale pack runs/ptbxl-six-findings --out bundles/screening --sensitivity 0.95
      ecoscale pack runs/ptbxl-six-findings --out bundles/isotonic --calibration isotonic
      ecoscale pack runs/ptbxl-statements --out bundles/statements --fewest-positives 5
    """
    from rich.console import Console

    from ecoscale.errors import MissingExtraError

    try:
        from ecoscale import packing
        from ecoscale.training import Run
    except ModuleNotFoundError as error:
        raise MissingExtraError("packing", error.name or "torch", "train") from error

    bundle = packing.pack(
        Run(run),
        out,
        name=name,
        version=version,
        beside=[Run(other) for other in beside or []],
        sensitivity=sensitivity,
        calibration=None if calibration is None else calibration.value,
        fewest_positives=fewest_positives,
    )
    manifest = bundle.manifest
    size = sum(path.stat().st_size for path in bundle.path.iterdir()) / 1e6
    console = Console(highlight=False)
    if manifest.calibrations_compared:
        console.print(_comparison(manifest))
    console.print(
        f"{bundle.path}: {bundle.title}, {manifest.network['parameters']:,} parameters, {size:.1f} MB; "
        f"logits of ONNX and network differ by at most {manifest.parity['max_difference']:.1e}.\n"
        f"Next: ecoscale evaluate {bundle.path} COLLECTION-FOLDER, ecoscale predict FILE --bundle {bundle.path}",
        markup=False,
        soft_wrap=True,
    )


def _comparison(manifest: Manifest) -> Table:
    """Every method of calibration, cross-fitted; the bundle's in bold."""
    from rich.table import Table

    from ecoscale.calibration import METHODS

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("calibration, cross-fitted")
    for heading in ("ECE", "Brier", "log loss"):
        table.add_column(heading, justify="right")
    for method, figures in manifest.calibrations_compared.items():
        numbers = [f"{figures[name]:.4f}" for name in ("ece", "brier", "log_loss")]
        table.add_row(METHODS[method], *numbers, style="bold" if method == manifest.calibration else None)
    return table
