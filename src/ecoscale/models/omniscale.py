"""The omni-scale convolution: parallel 'same' convolutions of several kernel lengths, concatenated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Method = Literal["direct", "fourier"]


class OmniScaleConv(nn.Module):
    """One convolution for each kernel length, side by side (Tang et al. 2022, section 3.2).

    `(batch, in_channels, samples)` to `(batch, len(kernel_sizes) * channels, samples)`. An even kernel has its surplus
    sample on the right, as in the published implementations.

    `method="fourier"` multiplies spectra instead: the same function and the same weights, many times faster to train
    on a CPU where the kernels are long and the channels few, as in OS-CNN. It cannot be exported to ONNX; switch the
    attribute to "direct" for that.
    """

    def __init__(self, in_channels: int, channels: int, kernel_sizes: Sequence[int], method: Method = "direct") -> None:
        super().__init__()
        if not kernel_sizes or min(kernel_sizes) < 1:
            raise ModelError(f"kernel sizes {list(kernel_sizes)}: expected one or more lengths of at least 1")
        if method not in get_args(Method):
            raise ModelError(f"convolution method {method!r}; expected one of {', '.join(get_args(Method))}")
        self.kernel_sizes = tuple(kernel_sizes)
        self.method: Method = method
        self.channels = channels
        self.out_channels = channels * len(self.kernel_sizes)
        self.branches = nn.ModuleList(
            # torch warns of padding="same" for even kernels, so the odd part is given and the rest is added below.
            nn.Conv1d(in_channels, channels, size, padding=(size - 1) // 2 if size % 2 else 0)
            for size in self.kernel_sizes
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


def compute_directly(network: nn.Module) -> nn.Module:
    """The network itself, its omni-scale convolutions switched to `method="direct"`."""
    for module in network.modules():
        if isinstance(module, OmniScaleConv):
            module.method = "direct"
    return network


def _spectrum(x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the spectrum, each `(frequency, rows, channels)`."""
    spectrum = torch.fft.rfft(x, n=length).permute(2, 0, 1)
    return spectrum.real.contiguous(), spectrum.imag.contiguous()
