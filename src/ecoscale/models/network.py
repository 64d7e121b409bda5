"""What every network of the registry is: features over time, pooled, then a linear head that gives logits."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from ecoscale.errors import ModelError


class Network(nn.Module):
    """`(batch, n_channels, samples)` to logits `(batch, n_classes)`.

    A subclass builds its layers, sets `head` to a linear layer, and gives its features; where more than an average over
    time leads from these to the head, it overrides `pool`.
    """

    minimum_samples: int = 1
    """Fewest samples that the network takes."""
    head: nn.Linear

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The layers before pooling."""

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, channels, time)` to what the head reads, `(batch, n_features)`."""
        return features.mean(dim=-1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Features `(batch, channels, time)` before pooling. Raises `ModelError` for too short a signal.

        Below a network's total stride its last layers have one step, whose kernels see nothing but padding around it.
        """
        if x.shape[-1] < self.minimum_samples:
            raise ModelError(
                f"{x.shape[-1]} samples are too few for {type(self).__name__}; it needs at least {self.minimum_samples}"
            )
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits `(batch, n_classes)` from `forward_features`."""
        return self.head(self.pool(features))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, n_classes)`."""
        return self.forward_head(self.forward_features(x))

    @property
    def n_classes(self) -> int:
        """Logits."""
        return self.head.out_features

    def reset_head(self, n_classes: int) -> None:
        """A new head for `n_classes`, as at the start of training; all else stays as it is."""
        if n_classes < 1:
            raise ModelError(f"n_classes is {n_classes}; expected at least 1")
        weight = self.head.weight
        self.head = nn.Linear(self.head.in_features, n_classes, device=weight.device, dtype=weight.dtype)


class BenchmarkHead(nn.Module):
    """From features to the last layer in the networks of the PTB-XL benchmark (Strodthoff et al. 2020).

    Largest value and average over time, batch norm, dropout, a layer of 128, ReLU, batch norm, dropout.
    """

    n_features = 128

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(2 * channels),
            nn.Dropout(dropout / 2),
            nn.Linear(2 * channels, self.n_features),
            nn.ReLU(),
            nn.BatchNorm1d(self.n_features),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, channels, time)` to `(batch, 128)`."""
        return self.layers(torch.cat((features.amax(dim=-1), features.mean(dim=-1)), dim=1))


def conv_norm(
    in_channels: int, channels: int, kernel: int, *, stride: int = 1, relu: bool = True, zero: bool = False
) -> nn.Sequential:
    """A convolution without bias, centred on its output, batch norm and ReLU; `zero` starts the batch norm at zero."""
    norm = nn.BatchNorm1d(channels)
    if zero:
        nn.init.zeros_(norm.weight)
    layers = [nn.Conv1d(in_channels, channels, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False), norm]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
