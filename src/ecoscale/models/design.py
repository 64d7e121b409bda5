"""From a signal and what it must show to a network: kernels for a receptive field, width for a budget of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from ecoscale.errors import ModelError
from ecoscale.models.ecoscalenet import STAGE_STRIDES, EcoScaleNet, block_layers
from ecoscale.models.kernels import (
    block_weights,
    gap_free_coverage,
    radix_stage_kernels,
    receptive_fields,
    stage_kernels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Kernels = Literal["radix", "dilated", "prime", "none"]
"""Radix, radix with dilated taps, primes as published, or no EcoScale block."""

SMALLEST_WIDTH, LARGEST_WIDTH = 4, 1024


@dataclass(frozen=True)
class StageDesign:
    """One stage: its stride in input samples, channels, its block's layers, and what these cover in its samples."""

    stride: int
    channels: int
    layers: tuple[tuple[int, ...], ...]
    longest: int
    gap_free: int
    weights: int


@dataclass(frozen=True)
class Design:
    """A network that was designed; `config` is what `create_model("ecoscalenet", ...)` takes."""

    config: dict[str, Any]
    stages: tuple[StageDesign, ...]
    parameters: int

    def build(self, n_channels: int, n_classes: int) -> EcoScaleNet:
        """The network."""
        return EcoScaleNet(n_channels, n_classes, **self.config)


def design_network(
    receptive_field: int,
    budget: int,
    *,
    kernels: Kernels = "radix",
    n_channels: int = 12,
    n_classes: int = 6,
    **options: Any,
) -> Design:
    """The widest EcoScale-Net with `kernels` for a receptive field in samples and at most `budget` parameters.

    `options` go to `EcoScaleNet`. Raises `ModelError` where not even the narrowest network fits the budget.
    """
    if kernels not in get_args(Kernels):
        raise ModelError(f"kernels {kernels!r}; expected one of {', '.join(get_args(Kernels))}")
    if receptive_field < 1:
        raise ModelError(f"receptive field {receptive_field}: expected at least one sample")

    def config(width: int) -> dict[str, Any]:
        dilated = {"dilated": True} if kernels == "dilated" else {}
        return {"kernel_sizes": _kernel_sizes(kernels, receptive_field, width), "width": width, **dilated, **options}

    def cost(width: int) -> int:
        with torch.device("meta"):
            network = EcoScaleNet(n_channels, n_classes, **config(width))
        return sum(p.numel() for p in network.parameters())

    if (least := cost(SMALLEST_WIDTH)) > budget:
        raise ModelError(
            f"the narrowest network (width {SMALLEST_WIDTH}) has {least:,} parameters, above the budget of {budget:,}; "
            "allow more, or ask for a shorter receptive field"
        )
    low, high = SMALLEST_WIDTH, LARGEST_WIDTH
    while high - low > 2:  # widths are even
        middle = (low + high) // 4 * 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    chosen = config(low)
    stages = tuple(
        _stage(
            stride,
            low * 2**stage,
            block_layers(own),
            dilated=chosen.get("dilated", False),
            depthwise=chosen.get("depthwise", False),
        )
        for stage, (stride, own) in enumerate(zip(STAGE_STRIDES, chosen["kernel_sizes"], strict=True))
    )
    return Design(chosen, stages, cost(low))


def _kernel_sizes(kernels: Kernels, receptive_field: int, width: int) -> Sequence:
    if kernels == "none":
        return ((),) * len(STAGE_STRIDES)
    if kernels == "prime":
        return stage_kernels(receptive_field, STAGE_STRIDES)
    return radix_stage_kernels(receptive_field, STAGE_STRIDES, width=width, dilated=kernels == "dilated")


def _stage(stride: int, channels: int, layers: tuple[tuple[int, ...], ...], **form: bool) -> StageDesign:
    return StageDesign(
        stride=stride,
        channels=channels,
        layers=layers,
        longest=receptive_fields(layers)[-1],
        gap_free=gap_free_coverage(layers),
        weights=block_weights(layers, channels, **form) if layers else 0,
    )
