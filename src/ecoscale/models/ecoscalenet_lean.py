"""EcoScale-Net Lean (ours): what the study of networks keeps of EcoScale-Net, at the cost of its backbone.

Against the published network (`ecoscale.models.ecoscalenet`): radix kernels, dilated and depthwise, so that the
EcoScale blocks cost less than the residual blocks that they replace (one a stage instead of two); an identity shortcut,
squeeze-excitation at the end of the block, residual branches that start at zero, and no dropout. What each of these
does is measured in docs/networks.md.
"""

from __future__ import annotations

from typing import Any

from ecoscale.models.ecoscalenet import EcoScaleNet
from ecoscale.models.ecoscalenet_radix import radix_config
from ecoscale.models.registry import register_model

LEAN: dict[str, Any] = {
    "residual_blocks": 1,
    "dilated": True,
    "depthwise": True,
    "identity_shortcut": True,
    "squeeze_excitation": True,
    "zero_init_residual": True,
    "dropout": 0.0,
}
"""The options of `EcoScaleNet` that make it lean, for kernels that can be dilated."""


def lean_config(width: int) -> dict[str, Any]:
    """All options of a lean network of this width, with the kernels of the variants."""
    return {**radix_config(dilated=True), **LEAN, "width": width}


@register_model
def ecoscalenet_lean_base(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Lean (ours) of width 120: about 10 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**lean_config(120), **config})


@register_model
def ecoscalenet_lean_small(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Lean (ours) of width 54: about 2 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**lean_config(54), **config})


@register_model
def ecoscalenet_lean_tiny(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Lean (ours) of width 26: about 0.5 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**lean_config(26), **config})


@register_model
def ecoscalenet_lean_nano(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Lean (ours) of width 12: about 0.1 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{**lean_config(12), **config})
