"""xresnet1d (Strodthoff et al. 2020, arXiv 2004.13701), the best network of the PTB-XL benchmark.

A ResNet with He et al.'s (2018, arXiv 1812.01187) changes, in one dimension: a stem of three convolutions, bottleneck
blocks whose shortcut pools before it projects, and batch norms at the end of a branch that start at zero. All four
stages have the same width, and kernels have five samples. Weights start as He et al. (2015) draw them, batch norms
with a bias of 0 (fastai, which the benchmark uses: 0.001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.models.network import BenchmarkHead, Network, conv_norm
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, five samples, 1x1; the shortcut pools by two where the block halves the length."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        channels = width * EXPANSION
        self.branch = nn.Sequential(
            conv_norm(in_channels, width, 1),
            conv_norm(width, width, 5, stride=stride),
            conv_norm(width, channels, 1, relu=False, zero=True),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if in_channels != channels:
            self.shortcut.append(conv_norm(in_channels, channels, 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, samples)` to `(batch, 4 * width, ceil(samples / stride))`."""
        return F.relu(self.branch(x) + self.shortcut(x))


class XResNet1d(Network):
    """xresnet1d: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    depths
        Blocks in each stage; every stage but the first halves the length.
    width
        Channels inside a block; the block gives four times as many.
    dropout
        Before the last layer; half of it before the one before.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        depths: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm(n_channels, 32, 5, stride=2),
            conv_norm(32, 32, 5),
            conv_norm(32, 64, 5),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        channels = 64
        for stage, depth in enumerate(depths):
            blocks = []
            for block in range(depth):
                blocks.append(Bottleneck(channels, width, 2 if stage and not block else 1))
                channels = width * EXPANSION
            self.stages.append(nn.Sequential(*blocks))
        self.neck = BenchmarkHead(channels, dropout)
        self.head = nn.Linear(self.neck.n_features, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, 4 * width, ceil(samples / 32))`."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, 128)`."""
        return self.neck(features)


@register_model
def xresnet1d50(n_channels: int, n_classes: int, **config) -> XResNet1d:
    """xresnet1d50 of the PTB-XL benchmark: 16 bottleneck blocks of width 64."""
    return XResNet1d(n_channels, n_classes, **config)


@register_model
def xresnet1d101(n_channels: int, n_classes: int, **config) -> XResNet1d:
    """xresnet1d101, the best of the PTB-XL benchmark: 33 bottleneck blocks of width 64."""
    return XResNet1d(n_channels, n_classes, **{"depths": (3, 4, 23, 3), **config})
