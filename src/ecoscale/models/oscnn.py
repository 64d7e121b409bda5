"""Omni-Scale CNN (Tang et al. 2022, arXiv 2002.10061), the baseline that EcoScale-Net improves on.

Two omni-scale layers with 1 and the primes up to p, one with {1, 2}, each followed by batch norm and ReLU; global
average pooling; a linear layer. Length is never reduced. Three readings of it are in use, and a comparison has to say
which one it means:

- **budgeted** (`oscnn`, the authors' code): p is at most 89, each layer has a budget of weights, and each kernel gets
  `int(budget / (in_channels * sum of kernel lengths))` channels.
- **without the cap** (`oscnn_uncapped`, tsai): p grows with a quarter of the length, and every kernel gets at least one
  channel, whatever the budget.
- **un-budgeted** (`oscnn_unbudgeted`): as many channels for every kernel, whatever it costs.

`oscnn_residual` is the authors' residual form: three such stacks, each around a shortcut.

The authors store each layer as one dense convolution over the largest kernel with zeros outside each branch's own
kernel (`method="masked"`); by default the branches are separate here, which computes the same function without
multiplying zeros, and `method="fourier"` multiplies spectra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError
from ecoscale.models.kernels import PAIR, prime_kernels
from ecoscale.models.network import Network, conv_norm
from ecoscale.models.omniscale import MaskedOmniScaleConv, OmniScaleConv, dense_places
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYER_BUDGETS = (8 * 128, 5 * 128 * 256 + 2 * 256 * 128)
"""Weights allowed for the first layer for each channel of the signal, and for the second layer."""

Method = Literal["direct", "fourier", "masked"]


class OSCNN(Network):
    """OS-CNN: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    largest_kernel
        Kernels are 1 and the primes up to this; the authors take min(length / 4, 89).
    width
        Factor on the budgets, or on `channels`.
    channels
        Channels for each kernel of the first two layers; None derives them from the budget.
    minimum_channels
        Fewest channels for each kernel when the budget gives less.
    residual_stacks
        0: the plain network. Else so many stacks of three layers, each around a 1x1 shortcut, the last layer of each
        activated after the sum.
    dropout
        Before the linear layer; the authors have none.
    method
        How the convolutions are computed: "direct", branch by branch; "masked", as the authors do; "fourier", by
        spectra, which trains faster on a CPU in float32. All are the same function.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        largest_kernel: int = 89,
        width: float = 1.0,
        channels: int | None = None,
        minimum_channels: int = 0,
        residual_stacks: int = 0,
        dropout: float = 0.0,
        method: Method = "direct",
    ) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ModelError(f"channels {channels}: expected at least 1 for each kernel, or None for the budget's")
        if width <= 0:
            raise ModelError(f"width {width}: expected a factor above 0 on the budgets, or on channels")
        kernels = prime_kernels(largest_kernel)
        # The first layer's budget grows with the signal's channels, so its channels do not depend on them.
        counts, in_channels = [], n_channels
        for budget in (LAYER_BUDGETS[0] * n_channels, LAYER_BUDGETS[1]):
            if channels is None:
                count = max(minimum_channels, int(width * budget / (in_channels * sum(kernels))))
            else:
                count = max(1, round(width * channels))
            if count < 1:
                raise ModelError(
                    f"largest_kernel {largest_kernel}: the budget of {width * budget:g} weights leaves no channel "
                    f"for each of {len(kernels)} kernels; take a smaller one, or minimum_channels=1 as tsai does"
                )
            counts.append(count)
            in_channels = count * len(kernels)
        plan = [(counts[0], kernels), (counts[1], kernels), (counts[0] * len(kernels), PAIR)]
        out_channels = plan[-1][0] * len(PAIR)
        self.layers = nn.Sequential()
        in_channels = n_channels
        for _ in range(residual_stacks or 1):
            stack = nn.Sequential()
            inside = in_channels
            for count, own in plan:
                # Two taps are no work for spectra.
                layer = _omni_scale(inside, count, own, "direct" if method == "fourier" and own == PAIR else method)
                inside = layer.out_channels
                last = residual_stacks and own == PAIR
                stack.append(nn.Sequential(layer, nn.BatchNorm1d(inside), *([] if last else [nn.ReLU()])))
            if residual_stacks:
                self.layers.append(ResidualStack(in_channels, stack, out_channels))
            else:
                self.layers = stack
            in_channels = out_channels
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(out_channels, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """`(batch, channels, samples)`: the length is never reduced."""
        return self.layers(x)

    def pool(self, features: Tensor) -> Tensor:
        """Average over time."""
        return self.dropout(features.mean(dim=-1))

    def load_dense_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of the authors' plain network, whose kernels lie inside dense ones of the largest length.

        Raises `ModelError` if weights outside a branch's own kernel are not zero: that would be another function.
        """
        own: dict[str, Tensor] = {}
        omni_scale = [module for module in self.modules() if isinstance(module, OmniScaleConv | MaskedOmniScaleConv)]
        for index, omni in enumerate(omni_scale):
            dense, bias = state[f"net.{index}.conv1d.weight"], state[f"net.{index}.conv1d.bias"]
            used = torch.zeros_like(dense, dtype=torch.bool)
            for branch, (rows, columns) in enumerate(dense_places(omni.kernel_sizes, omni.channels)):
                used[rows, :, columns] = True
                if isinstance(omni, OmniScaleConv):
                    own[f"layers.{index}.0.branches.{branch}.weight"] = dense[rows, :, columns]
                    own[f"layers.{index}.0.branches.{branch}.bias"] = bias[rows]
            if dense[~used].any():
                raise ModelError(f"net.{index}.conv1d.weight: weights outside the branches' kernels are not zero")
            if isinstance(omni, MaskedOmniScaleConv):
                own |= {f"layers.{index}.0.weight": dense, f"layers.{index}.0.bias": bias}
                own[f"layers.{index}.0.mask"] = omni.mask
            for name in ("weight", "bias", "running_mean", "running_var"):
                own[f"layers.{index}.1.{name}"] = state[f"net.{index}.bn.{name}"]
            own[f"layers.{index}.1.num_batches_tracked"] = torch.tensor(0)
        own |= {"head.weight": state["hidden.weight"], "head.bias": state["hidden.bias"]}
        self.load_state_dict(own)


class ResidualStack(nn.Module):
    """Three omni-scale layers around a 1x1 convolution with batch norm; ReLU after the sum."""

    def __init__(self, in_channels: int, stack: nn.Sequential, out_channels: int) -> None:
        super().__init__()
        self.stack = stack
        # The authors' shortcut has a bias, which the batch norm after it takes away again.
        self.shortcut = conv_norm(in_channels, out_channels, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, samples)` to `(batch, out_channels, samples)`."""
        return F.relu(self.stack(x) + self.shortcut(x))


def _omni_scale(
    in_channels: int, channels: int, kernel_sizes: tuple[int, ...], method: Method
) -> OmniScaleConv | MaskedOmniScaleConv:
    if method == "masked":
        return MaskedOmniScaleConv(in_channels, channels, kernel_sizes)
    return OmniScaleConv(in_channels, channels, kernel_sizes, method)


@register_model
def oscnn(n_channels: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN, budgeted, kernels up to 89: the form that its authors publish."""
    return OSCNN(n_channels, n_classes, **config)


@register_model
def oscnn_masked(n_channels: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN, budgeted, stored and computed as its authors do: dense convolutions with zeros outside the branches."""
    return OSCNN(n_channels, n_classes, **{"method": "masked", **config})


@register_model
def oscnn_residual(n_channels: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN, budgeted, in its authors' residual form: three stacks, each around a shortcut."""
    return OSCNN(n_channels, n_classes, **{"residual_stacks": 3, **config})


@register_model
def oscnn_uncapped(n_channels: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN without the cap, as tsai has it: kernels up to a quarter of 4,096 samples, at least a channel for each."""
    return OSCNN(n_channels, n_classes, **{"largest_kernel": 4096 // 4, "minimum_channels": 1, **config})


@register_model
def oscnn_unbudgeted(n_channels: int, n_classes: int, **config) -> OSCNN:
    """OS-CNN without a weight budget: 64 channels for every kernel up to 89."""
    return OSCNN(n_channels, n_classes, **{"channels": 64, **config})
