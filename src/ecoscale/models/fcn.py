"""FCN: the fully convolutional network of Wang et al. (2017, arXiv 1611.06455).

Three convolutions of 8, 5 and 3 samples with 128, 256 and 128 channels, batch norm and ReLU after each, an average over
time, a linear layer. Departure: padding keeps the length, also for the even kernel, its surplus on the right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ecoscale.models.network import Network
from ecoscale.models.omniscale import OmniScaleConv
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Sequence


class FCN(Network):
    """FCN: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    kernel_sizes
        Length of each layer's kernel.
    width
        Channels of the first and last layer; those between have twice as many.
    dropout
        Before the last layer; the paper has none.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        kernel_sizes: Sequence[int] = (8, 5, 3),
        width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        before = n_channels
        for index, size in enumerate(kernel_sizes):
            channels = width if index in (0, len(kernel_sizes) - 1) else 2 * width
            layer = OmniScaleConv(before, channels, (size,))
            self.layers.append(nn.Sequential(layer, nn.BatchNorm1d(channels), nn.ReLU()))
            before = channels
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, width, samples)`."""
        return self.layers(x)

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, width)`."""
        return self.dropout(features.mean(dim=-1))


@register_model
def fcn(n_channels: int, n_classes: int, **config) -> FCN:
    """FCN of Wang et al.: three convolutional layers of 8, 5 and 3 samples."""
    return FCN(n_channels, n_classes, **config)
