"""EcoScale-Net (Kang, Nam and Lee 2025, arXiv 2510.24748), a residual network with omni-scale blocks at every stage.

The published network: a stem of total stride 4; four stages of widths 64, 128, 256, 512, each two residual blocks (the
first halves the length) followed by one EcoScale block; global average pooling; a linear layer. An EcoScale block is
an omni-scale stack between 1x1 convolutions that hold its width down, and the longest kernel is capped at each stage to
the scale still required after down-sampling, so that a long receptive field is cheap.

Where this departs from it:
- The kernel lists are not in the text that we have; the defaults follow our reading (`kernels.stage_kernels`).
- The reference fails on most lengths that are not multiples of 64: here the shortcut's pooling rounds up, as the
  convolution beside it does, which changes nothing on those lengths and makes every other one work.
- Two options of ours, off by default: `zero_init_residual` starts every residual branch at zero (Goyal et al. 2017,
  arXiv 1706.02677, section 5.1), `identity_shortcut` drops the EcoScale block's 1x1 convolution and batch norm from its
  shortcut (He et al. 2016, arXiv 1603.05027). The first changes only the starting point, the second the function.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError
from ecoscale.models.kernels import stage_kernels
from ecoscale.models.omniscale import OmniScaleConv
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STAGE_STRIDES = (8, 16, 32, 64)
"""Total stride of each stage, in input samples."""


class ResidualBlock(nn.Module):
    """Two convolutions of three samples and a shortcut; `stride` 2 halves the length, rounding up."""

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.MaxPool1d(stride, ceil_mode=True),
                nn.Conv1d(in_channels, channels, 1, bias=False),
                nn.BatchNorm1d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, samples)` to `(batch, channels, ceil(samples / stride))`."""
        out = self.dropout(F.relu(self.norm1(self.conv1(x))))
        out = self.norm2(self.conv2(out))
        return self.dropout(F.relu(out + self.shortcut(x)))


class EcoScaleBlock(nn.Module):
    """Omni-scale layers of kernels K, K and {1, 2}, each behind a 1x1 bottleneck, around a shortcut.

    `(batch, channels, samples)` in and out. Each branch has `channels / 2` channels.
    """

    def __init__(self, channels: int, kernel_sizes: Sequence[int], dropout: float, identity_shortcut: bool) -> None:
        super().__init__()
        half = channels // 2
        self.reduce1 = nn.Conv1d(channels, half, 1, bias=False)
        self.omni1 = OmniScaleConv(half, half, kernel_sizes)
        wide = self.omni1.out_channels
        self.norm1 = nn.BatchNorm1d(wide)
        self.reduce2 = nn.Conv1d(wide, wide // 2, 1, bias=False)
        self.omni2 = OmniScaleConv(wide // 2, half, kernel_sizes)
        self.norm2 = nn.BatchNorm1d(wide)
        self.reduce3 = nn.Conv1d(wide, wide // 2, 1, bias=False)
        self.omni3 = OmniScaleConv(wide // 2, half, (1, 2))
        self.norm3 = nn.BatchNorm1d(channels)
        self.expand = nn.Conv1d(channels, channels, 1, bias=False)
        self.norm4 = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.shortcut: nn.Module = nn.Identity()
        if not identity_shortcut:
            self.shortcut = nn.Sequential(nn.Conv1d(channels, channels, 1, bias=False), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class docstring."""
        out = self.omni1(F.relu(self.reduce1(x)))
        out = self.dropout(F.relu(self.norm1(out)))
        out = self.omni2(F.relu(self.reduce2(out)))
        out = self.dropout(F.relu(self.norm2(out)))
        out = self.omni3(F.relu(self.reduce3(out)))
        out = F.relu(self.norm3(out))
        out = self.norm4(self.expand(out))
        return self.dropout(F.relu(out + self.shortcut(x)))


class EcoScaleNet(nn.Module):
    """EcoScale-Net: `(batch, n_leads, samples)` to logits `(batch, n_classes)`, for any length of at least 64 samples.

    Parameters
    ----------
    n_leads, n_classes
        Channels in, logits out.
    kernel_sizes
        Kernel lengths of the EcoScale block in each of the four stages.
    width
        Channels of the first stage; each later stage doubles them. An even number of at least 4.
    dropout
        Probability, after every activation but those of the bottlenecks and of the last omni-scale layer.
    zero_init_residual, identity_shortcut
        Ours; see the module docstring.
    """

    minimum_samples = STAGE_STRIDES[-1]

    def __init__(
        self,
        n_leads: int,
        n_classes: int,
        *,
        kernel_sizes: Sequence[Sequence[int]] = stage_kernels(512, STAGE_STRIDES),
        width: int = 64,
        dropout: float = 0.2,
        zero_init_residual: bool = False,
        identity_shortcut: bool = False,
    ) -> None:
        super().__init__()
        if len(kernel_sizes) != len(STAGE_STRIDES):
            raise ModelError(
                f"kernel_sizes has {len(kernel_sizes)} lists; EcoScale-Net has {len(STAGE_STRIDES)} stages"
            )
        if width < 4 or width % 2:
            raise ModelError(
                f"width {width}: expected an even number of at least 4, since an EcoScale branch has half the width "
                "and a bottleneck half of that"
            )
        self.n_features = width * 2 ** (len(STAGE_STRIDES) - 1)
        self.stem = nn.Sequential(
            nn.Conv1d(n_leads, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        in_channels = width
        for stage, kernels in enumerate(kernel_sizes):
            channels = width * 2**stage
            self.stages.append(
                nn.Sequential(
                    ResidualBlock(in_channels, channels, 2, dropout),
                    ResidualBlock(channels, channels, 1, dropout),
                    EcoScaleBlock(channels, tuple(kernels), dropout, identity_shortcut),
                )
            )
            in_channels = channels
        self.head = nn.Linear(self.n_features, n_classes)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    nn.init.zeros_(module.norm2.weight)
                elif isinstance(module, EcoScaleBlock):
                    nn.init.zeros_(module.norm4.weight)

    def forward_features(self, x: Tensor) -> Tensor:
        """Features `(batch, n_features, ceil(samples / 64))` before pooling."""
        if x.shape[-1] < self.minimum_samples:
            raise ModelError(
                f"{x.shape[-1]} samples are too few for EcoScale-Net; it needs at least {self.minimum_samples}"
            )
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, n_classes)`."""
        return self.head(self.forward_features(x).mean(dim=-1))


_REFERENCE_NAMES = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    (r"^fc\.", "head."),
    (r"^layer(\d)\.(\d)\.residual_connection\.", r"stages.\1.\2.shortcut."),
    (r"^layer(\d)\.(\d)\.", r"stages.\1.\2."),
    (r"^block(\d)\.residual\.", r"stages.\1.2.shortcut."),
    (r"^block(\d)\.conv([123])_1\.", r"stages.\1.2.reduce\2."),
    (r"^block(\d)\.conv([123])\.convs\.", r"stages.\1.2.omni\2.branches."),
    (r"^block(\d)\.conv4\.", r"stages.\1.2.expand."),
    (r"^block(\d)\.", r"stages.\1.2."),
)


def from_reference_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the authors' implementation under this module's names, for `load_state_dict`."""
    renamed = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in _REFERENCE_NAMES:
            name, hits = re.subn(pattern, replacement, key)
            if hits:
                break
        name = re.sub(r"^stages\.(\d)", lambda match: f"stages.{int(match[1]) - 1}", name)
        renamed[re.sub(r"\.bn(\d)\.", r".norm\1.", name)] = value
    return renamed


@register_model
def ecoscalenet(n_leads: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net as published, at 400 Hz: largest kernels 31, 13, 7, 3."""
    return EcoScaleNet(n_leads, n_classes, **config)


@register_model
def ecoscalenet_100hz(n_leads: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net for 100 Hz: 1.28 s are 128 samples, so the cap rule gives largest kernels 7, 3, 2, 1."""
    return EcoScaleNet(n_leads, n_classes, **{"kernel_sizes": stage_kernels(128, STAGE_STRIDES), **config})
