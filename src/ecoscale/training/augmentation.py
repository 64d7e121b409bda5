"""Random changes to a batch of training signals; the recipe's `augmentation` section says how strong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecoscale.training.recipe import Augmentation


def augment(x: Tensor, options: Augmentation, rate: float, generator: torch.Generator) -> Tensor:
    """Changed signals `(batch, leads, samples)`, mV in and out; fewer samples if the recipe trains on excerpts."""
    batch, leads, samples = x.shape

    # Drawn where the generator lives, so that a run on an accelerator sees the same changes.
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(x.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(x.device)

    if options.excerpt is not None:
        x = _excerpt(x, options.excerpt, uniform)
        samples = options.excerpt
    if options.gain or options.lead_gain:
        x = x * torch.exp(normal(batch, 1, 1) * options.gain + normal(batch, leads, 1) * options.lead_gain)
    if options.noise:
        x = x + normal(batch, leads, samples) * uniform(batch, 1, 1) * options.noise
    if options.wander:
        time = torch.arange(samples, device=x.device) / rate
        phase = 2 * math.pi * ((0.5 + 0.5 * uniform(batch, 1, 1)) * time + uniform(batch, leads, 1))
        x = x + torch.sin(phase) * uniform(batch, leads, 1) * options.wander
    if options.lead_dropout:
        x = x * (uniform(batch, leads, 1) >= options.lead_dropout)
    if options.crop:
        x = _crop(x, options, uniform)
    return x


def _excerpt(x: Tensor, length: int, uniform: Callable[..., Tensor]) -> Tensor:
    """A part of each record, `(batch, leads, length)`, from a random place."""
    batch, leads, samples = x.shape
    first = (uniform(batch) * (samples - length + 1)).long()
    index = first[:, None] + torch.arange(length, device=x.device)
    return torch.gather(x, 2, index[:, None].expand(batch, leads, length))


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
