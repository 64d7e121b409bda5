"""Random changes to a batch of training signals; the recipe's `augmentation` section says how strong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ecoscale.datasets import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecoscale.training.recipe import Augmentation

WARP_KNOTS = 5
"""Places over the window where the local speed of time is drawn."""


def augment(
    x: Tensor,
    options: Augmentation,
    rate: float,
    generator: torch.Generator,
    deviation: float | Tensor | None = None,
) -> Tensor:
    """Changed signals `(batch, channels, samples)`, mV in and out; fewer samples if the recipe trains on excerpts.

    Of other signals than ECGs, `deviation` is the training data's standard deviation, one number or `(channels, 1)`.
    Amplitudes are then in units of it, and every change is one about each record's own mean in each channel: what is
    taken out leaves that, and a gain does not move it.
    """
    if deviation is not None:
        level = x.mean(dim=-1, keepdim=True)
        return augment((x - level) / deviation, options, rate, generator) * deviation + level
    batch, channels, samples = x.shape

    # Drawn where the generator lives, so that a run on an accelerator sees the same changes.
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(x.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(x.device)

    if options.excerpt is not None:
        x = _excerpt(x, options.excerpt, uniform)
        samples = options.excerpt
    if options.time_warp:
        x = _time_warp(x, options.time_warp, normal)
    if options.gain or options.lead_gain:
        x = x * torch.exp(normal(batch, 1, 1) * options.gain + normal(batch, channels, 1) * options.lead_gain)
    if options.noise:
        x = x + normal(batch, channels, samples) * uniform(batch, 1, 1) * options.noise
    if options.wander:
        time = torch.arange(samples, device=x.device) / rate
        phase = 2 * math.pi * ((0.5 + 0.5 * uniform(batch, 1, 1)) * time + uniform(batch, channels, 1))
        x = x + torch.sin(phase) * uniform(batch, channels, 1) * options.wander
    if options.lead_dropout:
        x = x * (uniform(batch, channels, 1) >= options.lead_dropout)
    if options.crop:
        x = _crop(x, options, uniform)
    return x


def mix(x: Tensor, targets: Tensor, options: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each record mixed with another of the batch: signals `(batch, channels, samples)`, targets `(batch, findings)`.

    `mixup` is a weighted sum of the two whole signals (Zhang et al. 2018, arXiv 1710.09412), its weight drawn anew for
    each record; `cutmix` puts a span of the other one in (Yun et al. 2019, arXiv 1905.04899, in one dimension). Targets
    become the same sum; one that is unknown in either record is unknown.
    """
    if not (options.mixup or options.cutmix):
        return x, targets
    batch, _, samples = x.shape
    other = torch.randperm(batch, generator=generator).to(x.device)
    own = torch.ones(batch)
    if options.mixup:
        own = _beta(options.mixup, batch, generator)
    if options.cutmix:
        # The part that stays is uniform, as in the paper; where it is drawn, it takes the place of mixup.
        cut = torch.rand(batch, generator=generator) < options.cutmix
        length = (samples * torch.rand(batch, generator=generator)).long()
        first = (torch.rand(batch, generator=generator) * (samples - length + 1)).long()
        position = torch.arange(samples)
        span = (position >= first[:, None]) & (position < (first + length)[:, None]) & cut[:, None]
        share = torch.where(cut, 1 - length / samples, own).to(x.device)
        weight = torch.where(cut[:, None], (~span).float(), own[:, None]).to(x.device)[:, None, :]
    else:
        share = own.to(x.device)
        weight = share[:, None, None]
    x = weight * x + (1 - weight) * x[other]
    share = share[:, None]
    mixed = share * targets + (1 - share) * targets[other]
    return x, torch.where((targets < 0) | (targets[other] < 0), float(UNKNOWN), mixed)


def _beta(alpha: float, number: int, generator: torch.Generator) -> Tensor:
    """Draws of a beta distribution with both parameters `alpha`; numpy's, since torch's takes no generator."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, number)
    return torch.from_numpy(drawn.astype(np.float32))


def _time_warp(x: Tensor, sigma: float, normal: Callable[..., Tensor]) -> Tensor:
    """Time runs faster here and slower there, beginning and end staying (Um et al. 2017, arXiv 1706.00527).

    The mean heart rate over the window stays, so that no label of a rate turns false.
    """
    batch, channels, samples = x.shape
    speed = torch.exp(sigma * normal(batch, 1, WARP_KNOTS))
    speed = interpolate(speed, samples - 1, mode="linear", align_corners=True)[:, 0]
    place = torch.nn.functional.pad(speed.cumsum(dim=1), (1, 0))
    place = place / place[:, -1:] * (samples - 1)
    below = place.floor().long().clamp(max=samples - 2)
    share = (place - below)[:, None, :]
    left = below[:, None, :].expand(batch, channels, samples)
    return torch.gather(x, 2, left) * (1 - share) + torch.gather(x, 2, left + 1) * share


def _excerpt(x: Tensor, length: int, uniform: Callable[..., Tensor]) -> Tensor:
    """A part of each record, `(batch, channels, length)`, from a random place."""
    batch, channels, samples = x.shape
    first = (uniform(batch) * (samples - length + 1)).long()
    index = first[:, None] + torch.arange(length, device=x.device)
    return torch.gather(x, 2, index[:, None].expand(batch, channels, length))


def _crop(x: Tensor, options: Augmentation, uniform: Callable[..., Tensor]) -> Tensor:
    """Some records keep a random part only, moved to the middle between zeros, as a short recording would lie."""
    batch, _, samples = x.shape
    share = options.shortest_crop + (1 - options.shortest_crop) * uniform(batch)
    length = (samples * share).long().clamp(max=samples)
    length = torch.where(uniform(batch) < options.crop, length, samples)
    first = (uniform(batch) * (samples - length + 1)).long()
    before = (samples - length) // 2
    position = torch.arange(samples, device=x.device) - before[:, None]
    inside = (position >= 0) & (position < length[:, None])
    index = (position + first[:, None]).clamp(0, samples - 1)
    return torch.gather(x, 2, index[:, None].expand_as(x)) * inside[:, None]
