"""EcoScale-Net Radix (ours): EcoScale-Net with kernels that are the digits of a mixed-radix number system.

Where the published network takes 1 and the primes up to a cap, twice, and then {1, 2}, this one takes the kernel lists
of `kernels.radix_kernels`: every receptive field up to the required one exactly once, from the fewest weights. All
else is the published network (`ecoscale.models.ecoscalenet`).
"""

from __future__ import annotations

from ecoscale.models.ecoscalenet import STAGE_STRIDES, EcoScaleNet
from ecoscale.models.kernels import radix_stage_kernels
from ecoscale.models.registry import register_model


@register_model
def ecoscalenet_radix(n_leads: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix (ours): full coverage up to 512 samples from the cheapest kernels, all else as published."""
    return EcoScaleNet(n_leads, n_classes, **{"kernel_sizes": radix_stage_kernels(512, STAGE_STRIDES), **config})


@register_model
def ecoscalenet_radix_dilated(n_leads: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net Radix with dilated kernels (ours): the same coverage from still fewer weights."""
    kernel_sizes = radix_stage_kernels(512, STAGE_STRIDES, dilated=True)
    return EcoScaleNet(n_leads, n_classes, **{"kernel_sizes": kernel_sizes, "dilated": True, **config})
