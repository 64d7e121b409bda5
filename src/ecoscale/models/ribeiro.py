"""The residual network of the CODE study (Ribeiro et al. 2020, doi:10.1038/s41467-020-15432-4).

A convolution of 16 samples, then four residual units of two convolutions of 16 samples each, which reduce the length by
four each and widen to 128, 196, 256 and 320 channels; the sum is passed on twice, as it is to the next unit's shortcut
and activated to its branch. What is left, 16 steps of 4,096 samples, is laid flat before the linear layer.
Departures: any length is pooled to 16 steps, which changes nothing at 4,096 samples; dropout is 0.2 here where the
authors' code drops 0.8, which its reference weights were trained with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.models.network import Network
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNEL = 16
POOLING = 4
STEPS = 16
"""Steps in time that the linear layer reads."""


class SameConv(nn.Conv1d):
    """A convolution that gives `ceil(samples / stride)`, its surplus padding on the right, as Keras has it."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, channels, KERNEL, stride=stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in torch
        """`(batch, in_channels, samples)` to `(batch, channels, ceil(samples / stride))`."""
        stride, samples = self.stride[0], input.shape[-1]
        missing = max(0, (-(-samples // stride) - 1) * stride + KERNEL - samples)
        return super().forward(F.pad(input, (missing // 2, missing - missing // 2)))


class ResidualUnit(nn.Module):
    """Two convolutions; gives the sum twice, activated for the next branch and bare for the next shortcut."""

    def __init__(self, in_channels: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = SameConv(in_channels, channels)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = SameConv(channels, channels, POOLING)
        self.norm2 = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Sequential(
            nn.MaxPool1d(POOLING, ceil_mode=True), nn.Conv1d(in_channels, channels, 1, bias=False)
        )

    def forward(self, x: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, in_channels, samples)` twice to `(batch, channels, ceil(samples / 4))` twice."""
        out = self.dropout(F.relu(self.norm1(self.conv1(x))))
        total = self.conv2(out) + self.shortcut(bare)
        return self.dropout(F.relu(self.norm2(total))), total


class RibeiroResNet(Network):
    """The CODE study's network: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    widths
        Channels of the four units, in multiples of `width / 64`.
    width
        Channels of the first convolution.
    dropout
        After every activation of a unit.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        widths: Sequence[int] = (128, 196, 256, 320),
        width: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.conv = SameConv(n_channels, width)
        self.norm = nn.BatchNorm1d(width)
        channels = [width, *(max(1, own * width // 64) for own in widths)]
        self.units = nn.ModuleList(ResidualUnit(before, own, dropout) for before, own in pairwise(channels))
        self.head = nn.Linear(channels[-1] * STEPS, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, 320, ceil(samples / 256))`."""
        x = bare = F.relu(self.norm(self.conv(x)))
        for unit in self.units:
            x, bare = unit(x, bare)
        return x

    def pool(self, features: Tensor) -> Tensor:
        """16 averages over time for each channel, laid flat in time's order: `(batch, 16 * 320)`."""
        if features.shape[-1] != STEPS:
            features = torch.cat(
                [features[..., first:last].mean(dim=-1, keepdim=True) for first, last in _spans(features.shape[-1])],
                dim=-1,
            )
        return features.transpose(1, 2).flatten(1)


def _spans(length: int) -> list[tuple[int, int]]:
    """`STEPS` spans that cover `length` evenly, overlapping where it is shorter, as adaptive pooling takes them."""
    return [(step * length // STEPS, -(-(step + 1) * length // STEPS)) for step in range(STEPS)]


@register_model
def ribeiro_resnet(n_channels: int, n_classes: int, **config) -> RibeiroResNet:
    """The residual network of the CODE study (Ribeiro et al. 2020), made for 4,096 samples at 400 Hz."""
    return RibeiroResNet(n_channels, n_classes, **config)
