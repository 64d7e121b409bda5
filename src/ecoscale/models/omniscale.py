"""The omni-scale convolution: parallel 'same' convolutions of several kernel lengths, concatenated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError
from ecoscale.models.kernels import common_step, taps

if TYPE_CHECKING:
    from collections.abc import Sequence

Method = Literal["direct", "fourier"]


class OmniScaleConv(nn.Module):
    """One convolution for each kernel length, side by side (Tang et al. 2022, section 3.2).

    `(batch, in_channels, samples)` to `(batch, len(kernel_sizes) * channels, samples)`. An even kernel has its surplus
    sample on the right, as in the published implementations.

    Parameters
    ----------
    in_channels, channels
        Channels in, and channels of each branch.
    kernel_sizes
        Reach of each branch in samples.
    dilated
        Ours: space the taps by the largest step that all lengths allow (`kernels.common_step`).
    groups
        Groups of each branch's convolution.
    method
        "fourier" multiplies spectra instead: the same function and the same weights, many times faster to train on a
        CPU in float32 where the kernels are long and the channels few, as in OS-CNN. It cannot be exported to ONNX;
        switch the attribute to "direct" for that.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_sizes: Sequence[int],
        method: Method = "direct",
        *,
        dilated: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__()
        _check_kernels(kernel_sizes)
        if method not in get_args(Method):
            raise ModelError(f"convolution method {method!r}; expected one of {', '.join(get_args(Method))}")
        if method == "fourier" and (dilated or groups > 1):
            raise ModelError("branches that are dilated or grouped cannot be computed by their spectra")
        self.kernel_sizes = tuple(kernel_sizes)
        self.method: Method = method
        self.channels = channels
        self.out_channels = channels * len(self.kernel_sizes)
        step = common_step(self.kernel_sizes) if dilated else 1
        self.branches = nn.ModuleList(
            # torch warns of padding="same" for even kernels, so the odd part is given and the rest is added below.
            nn.Conv1d(
                in_channels,
                channels,
                count,
                padding=(size - 1) // 2 if size % 2 else 0,
                dilation=step if count > 1 else 1,
                groups=groups,
            )
            for size, count in zip(self.kernel_sizes, taps(self.kernel_sizes, dilated=dilated), strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class docstring."""
        if self.method == "fourier":
            return self._fourier(x)
        outputs = []
        for size, branch in zip(self.kernel_sizes, self.branches, strict=True):
            outputs.append(branch(x if size % 2 else F.pad(x, ((size - 1) // 2, size // 2))))
        return torch.cat(outputs, dim=1)

    def _fourier(self, x: Tensor) -> Tensor:
        """Correlation of the zero-padded signal with every kernel at once, as a product of spectra."""
        samples, largest = x.shape[-1], max(self.kernel_sizes)
        before = (largest - 1) // 2
        # Each kernel inside one of the largest length, so that all share their zero of time.
        kernels = torch.cat(
            [
                F.pad(branch.get_parameter("weight"), (before - (size - 1) // 2, largest // 2 - size // 2))
                for size, branch in zip(self.kernel_sizes, self.branches, strict=True)
            ]
        )
        bias = torch.cat([branch.get_parameter("bias") for branch in self.branches])
        length = samples + largest - 1
        signal = _spectrum(F.pad(x, (before, largest // 2)), length)
        spectrum = _spectrum(kernels, length)
        # signal times the conjugate of the kernel, as products of real matrices (frequency, batch, channels): complex
        # batched products are an order of magnitude slower on a CPU.
        real, imaginary = torch.cat(signal, dim=2), torch.cat((signal[1], -signal[0]), dim=2)
        weights = torch.cat(spectrum, dim=2).transpose(1, 2)
        product = torch.complex(torch.bmm(real, weights), torch.bmm(imaginary, weights)).permute(1, 2, 0)
        return torch.fft.irfft(product, n=length)[..., :samples] + bias[:, None]


class MaskedOmniScaleConv(nn.Module):
    """The same function as `OmniScaleConv`, stored as one dense convolution over the longest kernel.

    `weight` is `(len(kernel_sizes) * channels, in_channels, longest)`; `mask`, a buffer, is 1 inside each branch's own
    kernel and 0 elsewhere, so what lies outside is neither used nor trained.
    """

    mask: Tensor

    def __init__(self, in_channels: int, channels: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        _check_kernels(kernel_sizes)
        self.kernel_sizes = tuple(kernel_sizes)
        self.channels = channels
        self.out_channels = channels * len(self.kernel_sizes)
        self.weight = nn.Parameter(torch.zeros(self.out_channels, in_channels, max(self.kernel_sizes)))
        self.bias = nn.Parameter(torch.zeros(self.out_channels))
        self.register_buffer("mask", torch.zeros(self.out_channels, 1, max(self.kernel_sizes)))
        # Branches that are drawn one by one start as those of the direct form do.
        with torch.no_grad():
            for (rows, columns), size in zip(dense_places(self.kernel_sizes, channels), self.kernel_sizes, strict=True):
                branch = nn.Conv1d(in_channels, channels, size, device=self.weight.device)
                self.mask[rows, :, columns] = 1
                self.weight[rows, :, columns] = branch.weight
                self.bias[rows] = branch.get_parameter("bias")

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in `OmniScaleConv`."""
        longest = max(self.kernel_sizes)
        padded = F.pad(x, ((longest - 1) // 2, longest // 2))
        return F.conv1d(padded, self.weight * self.mask, self.bias)

    def to_branches(self) -> OmniScaleConv:
        """The same function with a convolution for each branch, and copies of the weights in use."""
        conv = OmniScaleConv(self.weight.shape[1], self.channels, self.kernel_sizes).to(self.weight)
        conv.train(self.training)
        with torch.no_grad():
            for branch, (rows, columns) in zip(
                conv.branches, dense_places(self.kernel_sizes, self.channels), strict=True
            ):
                branch.get_parameter("weight").copy_(self.weight[rows, :, columns])
                branch.get_parameter("bias").copy_(self.bias[rows])
        return conv


def dense_places(kernel_sizes: Sequence[int], channels: int) -> list[tuple[slice, slice]]:
    """Rows and columns of each branch inside a dense kernel of the longest length, centred as 'same' padding asks."""
    longest = max(kernel_sizes)
    places = []
    for branch, size in enumerate(kernel_sizes):
        right = longest // 2 - size // 2
        rows = slice(branch * channels, (branch + 1) * channels)
        places.append((rows, slice(longest - right - size, longest - right)))
    return places


def compute_directly(network: nn.Module) -> nn.Module:
    """The network, its omni-scale convolutions computed branch by branch: nothing by spectra, no zeros multiplied.

    The same function; changed in place, but for a network that is itself a masked convolution.
    """
    if isinstance(network, MaskedOmniScaleConv):
        return network.to_branches()
    for module in list(network.modules()):
        if isinstance(module, OmniScaleConv):
            module.method = "direct"
        for name, child in module.named_children():
            if isinstance(child, MaskedOmniScaleConv):
                setattr(module, name, child.to_branches())
    return network


def _check_kernels(kernel_sizes: Sequence[int]) -> None:
    if not kernel_sizes or min(kernel_sizes) < 1:
        raise ModelError(f"kernel sizes {list(kernel_sizes)}: expected one or more lengths of at least 1")


def _spectrum(x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the spectrum, each `(frequency, rows, channels)`."""
    spectrum = torch.fft.rfft(x, n=length).permute(2, 0, 1)
    return spectrum.real.contiguous(), spectrum.imag.contiguous()
