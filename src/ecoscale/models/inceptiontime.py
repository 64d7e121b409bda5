"""InceptionTime (Ismail Fawaz et al. 2020, arXiv 1909.04939), as one network of the PTB-XL benchmark.

Six inception modules, a shortcut over every three: a bottleneck of 32, three convolutions of 39, 19 and 9 samples and a
pooled branch of 32 channels each. The length is never reduced. The paper averages five such networks, from different
seeds; this is one, with the head of the benchmark (Strodthoff et al. 2020, inception1d).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError
from ecoscale.models.network import BenchmarkHead, Network, conv_norm
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Sequence

BRIDGED = 3
"""Modules that one shortcut leads over."""


class InceptionModule(nn.Module):
    """Three kernel lengths behind one bottleneck, and a pooled branch."""

    def __init__(self, in_channels: int, width: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(in_channels, width, 1, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv1d(width, width, size, padding=(size - 1) // 2, bias=False) for size in kernel_sizes
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(in_channels, width, 1, bias=False))
        self.norm = nn.BatchNorm1d((len(kernel_sizes) + 1) * width)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, samples)` to `(batch, 4 * width, samples)`."""
        narrow = self.bottleneck(x)
        return F.relu(self.norm(torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], dim=1)))


class InceptionTime(Network):
    """InceptionTime: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    kernel_sizes
        Odd lengths of the convolutions of a module.
    depth
        Modules, a multiple of three.
    width
        Channels of each branch and of the bottleneck.
    dropout
        Before the last layer; half of it before the one before.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        kernel_sizes: Sequence[int] = (39, 19, 9),
        depth: int = 6,
        width: int = 32,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if depth < BRIDGED or depth % BRIDGED:
            raise ModelError(f"depth {depth}: a shortcut leads over {BRIDGED} modules, so expected a multiple of it")
        if not kernel_sizes or any(size < 1 or size % 2 == 0 for size in kernel_sizes):
            raise ModelError(f"kernel sizes {list(kernel_sizes)}: expected odd lengths")
        channels = (len(kernel_sizes) + 1) * width
        self.bridges, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        before = n_channels
        for _ in range(depth // BRIDGED):
            inputs = (before, *[channels] * (BRIDGED - 1))
            self.bridges.append(nn.Sequential(*(InceptionModule(own, width, kernel_sizes) for own in inputs)))
            self.shortcuts.append(conv_norm(before, channels, 1, relu=False))
            before = channels
        self.neck = BenchmarkHead(channels, dropout)
        self.head = nn.Linear(self.neck.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, 4 * width, samples)`."""
        for bridge, shortcut in zip(self.bridges, self.shortcuts, strict=True):
            x = F.relu(bridge(x) + shortcut(x))
        return x

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, 128)`."""
        return self.neck(features)


@register_model
def inceptiontime(n_channels: int, n_classes: int, **config) -> InceptionTime:
    """InceptionTime, one network, as in the PTB-XL benchmark (inception1d): kernels 39, 19, 9."""
    return InceptionTime(n_channels, n_classes, **config)
