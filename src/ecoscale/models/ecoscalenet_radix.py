"""EcoScale-Net Radix (ours): EcoScale-Net with kernels that are the digits of a mixed-radix number system.

Where the published network takes 1 and the primes up to a cap, twice, and then {1, 2}, this one takes the kernel lists
of `kernels.radix_kernels`: every receptive field up to the required one exactly once, from the fewest weights. All
else is the published network (`ecoscale.models.ecoscalenet`), whose size names it shares: about as many parameters.
"""

from __future__ import annotations

from typing import Any

from ecoscale.models.ecoscalenet import STAGE_STRIDES, EcoScaleNet
from ecoscale.models.kernels import radix_stage_kernels
from ecoscale.models.registry import register_model

REQUIRED_SAMPLES = 512
"""Receptive field of the variants: 1.28 s at 400 Hz, 5.12 s at 100 Hz."""


def radix_config(*, dilated: bool = False) -> dict[str, Any]:
    """The kernels of `REQUIRED_SAMPLES` as options of `EcoScaleNet`."""
    return {
        "kernel_sizes": radix_stage_kernels(REQUIRED_SAMPLES, STAGE_STRIDES, dilated=dilated),
        "dilated": dilated,
    }


@register_model
def ecoscalenet_radix(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours), of the published width: full coverage up to 512 samples from the cheapest kernels."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(), **config})


@register_model
def ecoscalenet_radix_base(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours) of width 76: about 10 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(), "width": 76, **config})


@register_model
def ecoscalenet_radix_small(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours) of width 34: about 2 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(), "width": 34, **config})


@register_model
def ecoscalenet_radix_tiny(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours) of width 16: about 0.5 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(), "width": 16, **config})


@register_model
def ecoscalenet_radix_nano(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours) of width 8: about 0.1 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(), "width": 8, **config})


@register_model
def ecoscalenet_radix_dilated(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours) with dilated kernels, of the published width: the same coverage from fewer weights."""
    return EcoScaleNet(n_channels, n_classes, **{**radix_config(dilated=True), **config})
