"""resnet1d_wang: the residual network of Wang et al. (2017, arXiv 1611.06455) as the PTB-XL benchmark has it.

A stem of seven samples, then three blocks of two convolutions of five and three samples, 128 channels throughout; the
second and third block halve the length (Strodthoff et al. 2020, arXiv 2004.13701).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.models.network import BenchmarkHead, Network, conv_norm
from ecoscale.models.registry import register_model


class BasicBlock(nn.Module):
    """Convolutions of five and three samples around a shortcut."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_norm(channels, channels, 5, stride=stride), conv_norm(channels, channels, 3, relu=False)
        )
        self.shortcut = conv_norm(channels, channels, 1, stride=stride, relu=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, samples)` to `(batch, channels, ceil(samples / stride))`."""
        return F.relu(self.branch(x) + self.shortcut(x))


class ResNet1dWang(Network):
    """resnet1d_wang: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    width
        Channels throughout.
    dropout
        Before the last layer; half of it before the one before.
    """

    def __init__(self, n_channels: int, n_classes: int, *, width: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_norm(n_channels, width, 7), BasicBlock(width, 1), BasicBlock(width, 2), BasicBlock(width, 2)
        )
        self.neck = BenchmarkHead(width, dropout)
        self.head = nn.Linear(self.neck.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, width, ceil(samples / 4))`."""
        return self.layers(x)

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, 128)`."""
        return self.neck(features)


@register_model
def resnet1d_wang(n_channels: int, n_classes: int, **config) -> ResNet1dWang:
    """resnet1d_wang of the PTB-XL benchmark: three residual blocks of 128 channels."""
    return ResNet1dWang(n_channels, n_classes, **config)
