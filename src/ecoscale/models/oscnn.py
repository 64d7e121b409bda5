"""Omni-Scale CNN (Tang et al. 2022, arXiv 2002.10061), the baseline that EcoScale-Net improves on.

Two omni-scale layers with 1 and the primes up to p, one with {1, 2}, each followed by batch norm and ReLU; global
average pooling; a linear layer. Length is never reduced. Three readings of it are in use, and a comparison has to say
which one it means:

- **budgeted** (the authors' code, the default here): each layer has a budget of weights, and each kernel gets
  `int(budget / (in_channels * sum of kernel lengths))` channels.
- **without the cap** (tsai): p grows with a quarter of the length, at least one channel for each kernel
  (`largest_kernel=samples // 4, minimum_channels=1`).
- **un-budgeted** (`channels=64`): as many channels for every kernel, whatever it costs.

The authors store each layer as one dense convolution over the largest kernel with zeros outside each branch's own
kernel; here the branches are separate, which computes the same function without multiplying zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ecoscale.errors import ModelError
from ecoscale.models.kernels import prime_kernels
from ecoscale.models.omniscale import Method, OmniScaleConv
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYER_BUDGETS = (8 * 128, 5 * 128 * 256 + 2 * 256 * 128)
"""Weights allowed for the first layer for each lead, and for the second layer."""


class OSCNN(nn.Module):
    """OS-CNN: `(batch, n_leads, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_leads, n_classes
        Channels in, logits out.
    largest_kernel
        Kernels are 1 and the primes up to this; the authors take min(length / 4, 89).
    channels
        Channels for each kernel of the first two layers; None derives them from the budget.
    minimum_channels
        Fewest channels for each kernel when the budget gives less.
    method
        How the long convolutions are computed; "fourier" trains faster on a CPU. See `OmniScaleConv`.
    """

    minimum_samples = 1

    def __init__(
        self,
        n_leads: int,
        n_classes: int,
        *,
        largest_kernel: int = 89,
        channels: int | None = None,
        minimum_channels: int = 0,
        method: Method = "direct",
    ) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ModelError(f"channels {channels}: expected at least 1 for each kernel, or None for the budget's")
        kernels = prime_kernels(largest_kernel)
        layers: list[OmniScaleConv] = []
        in_channels = n_leads
        for budget in (LAYER_BUDGETS[0] * n_leads, LAYER_BUDGETS[1]):
            count = channels or max(minimum_channels, int(budget / (in_channels * sum(kernels))))
            if count < 1:
                raise ModelError(
                    f"largest_kernel {largest_kernel}: the budget of {budget} weights leaves no channel for each of "
                    f"{len(kernels)} kernels; take a smaller one, or minimum_channels=1 as tsai does"
                )
            layers.append(OmniScaleConv(in_channels, count, kernels, method))
            in_channels = count * len(kernels)
        layers.append(OmniScaleConv(in_channels, layers[0].out_channels, (1, 2)))
        self.n_features = layers[-1].out_channels
        self.layers = nn.Sequential(
            *(nn.Sequential(layer, nn.BatchNorm1d(layer.out_channels), nn.ReLU()) for layer in layers)
        )
        self.head = nn.Linear(self.n_features, n_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Features `(batch, n_features, samples)` before pooling."""
        return self.layers(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, n_classes)`."""
        return self.head(self.forward_features(x).mean(dim=-1))

    def load_dense_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the authors' weights, whose kernels lie inside dense ones of the largest length.

        Raises `ModelError` if weights outside a branch's own kernel are not zero: that would be another function.
        """
        own: dict[str, Tensor] = {}
        omni_scale = [module for module in self.modules() if isinstance(module, OmniScaleConv)]
        for index, omni in enumerate(omni_scale):
            dense, bias = state[f"net.{index}.conv1d.weight"], state[f"net.{index}.conv1d.bias"]
            largest = dense.shape[-1]
            used = torch.zeros_like(dense, dtype=torch.bool)
            row = 0
            for branch, size in enumerate(omni.kernel_sizes):
                rows = slice(row, row + omni.channels)
                right = largest // 2 - size // 2
                columns = slice(largest - right - size, largest - right)
                used[rows, :, columns] = True
                own[f"layers.{index}.0.branches.{branch}.weight"] = dense[rows, :, columns]
                own[f"layers.{index}.0.branches.{branch}.bias"] = bias[rows]
                row = rows.stop
            if dense[~used].any():
                raise ModelError(f"net.{index}.conv1d.weight: weights outside the branches' kernels are not zero")
            for name in ("weight", "bias", "running_mean", "running_var"):
                own[f"layers.{index}.1.{name}"] = state[f"net.{index}.bn.{name}"]
            own[f"layers.{index}.1.num_batches_tracked"] = torch.tensor(0)
        own |= {"head.weight": state["hidden.weight"], "head.bias": state["hidden.bias"]}
        self.load_state_dict(own)


@register_model
def oscnn(n_leads: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN, budgeted, kernels up to 89: the form that its authors publish."""
    return OSCNN(n_leads, n_classes, **config)


@register_model
def oscnn_unbudgeted(n_leads: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN without a weight budget: 64 channels for every kernel up to 89."""
    return OSCNN(n_leads, n_classes, **{"channels": 64, **config})
