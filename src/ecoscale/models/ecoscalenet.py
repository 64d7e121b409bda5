"""EcoScale-Net (Kang, Nam and Lee 2025, arXiv 2510.24748), a residual network with omni-scale blocks at every stage.

The published network: a stem of total stride 4; four stages of widths 64, 128, 256, 512, each two residual blocks (the
first halves the length) followed by one EcoScale block; global average pooling; a linear layer. An EcoScale block is
an omni-scale stack between 1x1 convolutions that hold its width down, and the longest kernel is capped at each stage to
the scale still required after down-sampling, so that a long receptive field is cheap.

Where this departs from it:
- The kernel lists are not in the text that we have; the defaults follow our reading (`kernels.stage_kernels`).
- The reference fails on most lengths that are not multiples of 64: here the shortcut's pooling rounds up, as the
  convolution beside it does, which changes nothing on those lengths and makes every other one work.
- Options of ours, off by default: `zero_init_residual` starts every residual branch at zero (Goyal et al. 2017,
  arXiv 1706.02677, section 5.1), `identity_shortcut` drops the EcoScale block's 1x1 convolution and batch norm from its
  shortcut (He et al. 2016, arXiv 1603.05027), and the others that `EcoScaleNet` lists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecoscale.errors import ModelError
from ecoscale.models.kernels import branch_groups, prime_layers, stage_kernels
from ecoscale.models.network import Network
from ecoscale.models.omniscale import OmniScaleConv
from ecoscale.models.registry import register_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STAGE_STRIDES = (8, 16, 32, 64)
"""Total stride of each stage of the published network, in input samples."""


class StochasticDepth(nn.Module):
    """In training, leaves a record's whole branch out with a probability (Huang et al. 2016, arXiv 1603.09382)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, samples)` in and out, of the same mean."""
        if not self.training or not self.probability:
            return x
        kept = 1 - self.probability
        return x * (torch.rand(len(x), 1, 1, device=x.device) < kept) / kept


class ResidualBlock(nn.Module):
    """Two convolutions of three samples and a shortcut; `stride` 2 halves the length, rounding up."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, dropout: float, stochastic_depth: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.depth = StochasticDepth(stochastic_depth)
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
        return self.dropout(F.relu(self.depth(out) + self.shortcut(x)))


class OmniScaleLayer(nn.Module):
    """A 1x1 convolution that halves the width, then an omni-scale convolution and batch norm."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_sizes: Sequence[int],
        *,
        dilated: bool = False,
        depthwise: bool = False,
        norm_bottlenecks: bool = False,
    ) -> None:
        super().__init__()
        narrow = in_channels // 2
        groups = branch_groups(narrow, channels, depthwise=depthwise)
        self.reduce = nn.Conv1d(in_channels, narrow, 1, bias=False)
        self.reduce_norm = nn.BatchNorm1d(narrow) if norm_bottlenecks else nn.Identity()
        self.omni = OmniScaleConv(narrow, channels, kernel_sizes, dilated=dilated, groups=groups)
        self.norm = nn.BatchNorm1d(self.omni.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, samples)` to `(batch, len(kernel_sizes) * channels, samples)`, not negative."""
        return F.relu(self.norm(self.omni(F.relu(self.reduce_norm(self.reduce(x))))))


class SqueezeExcitation(nn.Module):
    """Scales each channel by what all channels are on average (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(4, channels // reduction))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, samples)` in and out."""
        weights = self.excite(F.relu(self.squeeze(x.mean(dim=-1)))).sigmoid()
        return x * weights[..., None]


class EcoScaleBlock(nn.Module):
    """Omni-scale layers, each behind a 1x1 bottleneck, around a shortcut.

    `(batch, channels, samples)` in and out. Each branch has `channels / 2` channels. The options are those of
    `EcoScaleNet`.
    """

    def __init__(
        self,
        channels: int,
        layers: Sequence[Sequence[int]],
        dropout: float,
        *,
        identity_shortcut: bool = False,
        squeeze_excitation: bool = False,
        pre_activation: bool = False,
        stochastic_depth: float = 0.0,
        **layer_options: bool,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        width = channels
        for kernel_sizes in layers:
            layer = OmniScaleLayer(width, channels // 2, kernel_sizes, **layer_options)
            self.layers.append(layer)
            width = layer.omni.out_channels
        self.expand = nn.Conv1d(width, channels, 1, bias=False)
        # At the end as published; at the start where activation comes first.
        self.norm = nn.BatchNorm1d(channels)
        self.pre_activation = pre_activation
        self.recalibrate = SqueezeExcitation(channels) if squeeze_excitation else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.depth = StochasticDepth(stochastic_depth)
        self.shortcut: nn.Module = nn.Identity()
        if not identity_shortcut:
            self.shortcut = nn.Sequential(nn.Conv1d(channels, channels, 1, bias=False), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class docstring."""
        out = F.relu(self.norm(x)) if self.pre_activation else x
        for index, layer in enumerate(self.layers):
            out = layer(out)
            if index < len(self.layers) - 1:
                out = self.dropout(out)
        out = self.expand(out)
        if self.pre_activation:
            return self.depth(self.dropout(self.recalibrate(out))) + self.shortcut(x)
        out = self.recalibrate(self.norm(out))
        return self.dropout(F.relu(self.depth(out) + self.shortcut(x)))

    def zero_last(self) -> None:
        """Start the branch at zero."""
        nn.init.zeros_(self.expand.weight if self.pre_activation else self.norm.weight)


class EcoScaleNet(Network):
    """EcoScale-Net: `(batch, n_channels, samples)` to logits `(batch, n_classes)`, for any length.

    Parameters
    ----------
    n_channels, n_classes
        Channels in, logits out.
    kernel_sizes
        For each stage, the kernel lengths of its EcoScale block: one list, which the published block takes twice before
        {1, 2}; a list of lists, one for each of its layers; or an empty list for a stage without a block.
    width
        Channels of the first stage; each later stage doubles them. An even number of at least 4.
    dropout
        Probability, after every activation but those of the bottlenecks and of the last omni-scale layer.
    zero_init_residual, identity_shortcut
        Ours; see the module docstring.
    dilated
        Ours: spaced taps where the lengths of a layer allow it, as those of radix kernels do.
    depthwise
        Ours: omni-scale convolutions in as many groups as the channels allow (Howard et al. 2017, arXiv 1704.04861).
    norm_bottlenecks
        Ours: batch norm after the 1x1 convolutions that lead into an omni-scale layer.
    pre_activation
        Ours: batch norm and ReLU open the EcoScale block, and nothing follows its sum (He et al. 2016).
    squeeze_excitation
        Ours: the EcoScale block's output is scaled by channel (Hu et al. 2018).
    residual_blocks
        Residual blocks before the EcoScale block of each stage; published: 2.
    stem_stride
        Total stride of the stem; published: 4. Ours, for low rates: 2 leaves its max-pool out, and 1 also lets its
        convolution keep every sample. The stages' strides shrink with it.
    block_strides
        By how much each stage reduces the length, as many as `kernel_sizes` has lists; published: 2 in four stages.
        Ours, for short series (`ecoscale.models.series`): 1 keeps every sample, and there may be fewer stages.
    stochastic_depth
        Ours: probability to leave a branch out in training, rising evenly from the first stage's to this in the last
        (Huang et al. 2016).
    pooling
        Over time, before the head; published: `mean`. Ours: `mean_max` gives the head the largest value beside the
        average, as the networks of the PTB-XL benchmark do (Strodthoff et al. 2020): a single beat may tell.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        *,
        kernel_sizes: Sequence[Sequence[int] | Sequence[Sequence[int]]] = stage_kernels(512, STAGE_STRIDES),
        width: int = 64,
        dropout: float = 0.2,
        zero_init_residual: bool = False,
        identity_shortcut: bool = False,
        dilated: bool = False,
        depthwise: bool = False,
        norm_bottlenecks: bool = False,
        pre_activation: bool = False,
        squeeze_excitation: bool = False,
        residual_blocks: int = 2,
        stem_stride: int = 4,
        block_strides: Sequence[int] = (2, 2, 2, 2),
        stochastic_depth: float = 0.0,
        pooling: Literal["mean", "mean_max"] = "mean",
    ) -> None:
        super().__init__()
        if residual_blocks < 1:
            raise ModelError(f"residual_blocks {residual_blocks}: the first halves the length, so expected at least 1")
        if len(kernel_sizes) != len(block_strides):
            raise ModelError(
                f"kernel_sizes has {len(kernel_sizes)} lists; EcoScale-Net has {len(block_strides)} stages with "
                f"block_strides {list(block_strides)}"
            )
        if not block_strides or not set(block_strides) <= {1, 2}:
            raise ModelError(f"block_strides {list(block_strides)}: expected 2 as published, or 1, for each stage")
        if width < 4 or width % 2:
            raise ModelError(
                f"width {width}: expected an even number of at least 4, since an EcoScale branch has half the width "
                "and a bottleneck half of that"
            )
        if stem_stride not in (1, 2, 4):
            raise ModelError(f"stem_stride {stem_stride}: expected 4 as published, 2 or 1")
        if not 0 <= stochastic_depth < 1:
            raise ModelError(f"stochastic_depth {stochastic_depth}: expected a probability below 1")
        if pooling not in ("mean", "mean_max"):
            raise ModelError(f"pooling {pooling!r}: expected 'mean' as published, or 'mean_max'")
        self.pooling = pooling
        self.stem = nn.Sequential(
            nn.Conv1d(n_channels, width, 7, stride=min(stem_stride, 2), padding=3, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.MaxPool1d(3, stride=2, padding=1) if stem_stride == 4 else nn.Identity(),
        )
        self.stages = nn.ModuleList()
        in_channels = width
        for stage, (kernels, stride) in enumerate(zip(kernel_sizes, block_strides, strict=True)):
            channels = width * 2**stage
            depth = stochastic_depth * (stage + 1) / len(block_strides)
            blocks: list[nn.Module] = [
                ResidualBlock(in_channels, channels, stride, dropout, depth),
                *(ResidualBlock(channels, channels, 1, dropout, depth) for _ in range(residual_blocks - 1)),
            ]
            if layers := block_layers(kernels):
                blocks.append(
                    EcoScaleBlock(
                        channels,
                        layers,
                        dropout,
                        identity_shortcut=identity_shortcut,
                        squeeze_excitation=squeeze_excitation,
                        pre_activation=pre_activation,
                        dilated=dilated,
                        depthwise=depthwise,
                        norm_bottlenecks=norm_bottlenecks,
                        stochastic_depth=depth,
                    )
                )
            self.stages.append(nn.Sequential(*blocks))
            in_channels = channels
        self.head = nn.Linear(in_channels * (2 if pooling == "mean_max" else 1), n_classes)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    nn.init.zeros_(module.norm2.weight)
                elif isinstance(module, EcoScaleBlock):
                    module.zero_last()

    def features(self, x: Tensor) -> Tensor:
        """`(batch, channels, ceil(samples / stride))`; as published, `(batch, 8 * width, ceil(samples / 64))`."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def pool(self, features: Tensor) -> Tensor:
        """`(batch, channels, time)` to what the head reads, `(batch, channels)`, or twice as wide with `mean_max`."""
        mean = super().pool(features)
        return torch.cat((mean, features.amax(dim=-1)), dim=1) if self.pooling == "mean_max" else mean


def block_layers(kernels: Sequence[int] | Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The layers that one stage's entry of `kernel_sizes` stands for; empty for a stage without an EcoScale block."""
    if not kernels:
        return ()
    lists = [entry for entry in kernels if not isinstance(entry, int)]
    if not lists:
        return prime_layers(tuple(entry for entry in kernels if isinstance(entry, int)))
    if len(lists) < len(kernels):
        raise ModelError(f"kernel sizes {list(kernels)}: expected lengths, or a list of lengths for each layer")
    return tuple(tuple(layer) for layer in lists)


_REFERENCE_NAMES = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    (r"^fc\.", "head."),
    (r"^layer(\d)\.(\d)\.residual_connection\.", r"stages.\1.\2.shortcut."),
    (r"^layer(\d)\.(\d)\.bn", r"stages.\1.\2.norm"),
    (r"^layer(\d)\.(\d)\.", r"stages.\1.\2."),
    (r"^block(\d)\.residual\.", r"stages.\1.2.shortcut."),
    (r"^block(\d)\.conv([123])_1\.", r"stages.\1.2.layers.\2.reduce."),
    (r"^block(\d)\.conv([123])\.convs\.", r"stages.\1.2.layers.\2.omni.branches."),
    (r"^block(\d)\.bn([123])\.", r"stages.\1.2.layers.\2.norm."),
    (r"^block(\d)\.bn4\.", r"stages.\1.2.norm."),
    (r"^block(\d)\.conv4\.", r"stages.\1.2.expand."),
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
        # Counted from 1 there.
        renamed[re.sub(r"\b(stages|layers)\.(\d)", lambda match: f"{match[1]}.{int(match[2]) - 1}", name)] = value
    return renamed


@register_model
def ecoscalenet(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net as published, at 400 Hz: largest kernels 31, 13, 7, 3; about 10 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **config)


@register_model
def ecoscalenet_small(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net of width 28: about 2 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{"width": 28, **config})


@register_model
def ecoscalenet_tiny(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net of width 14: about 0.5 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{"width": 14, **config})


@register_model
def ecoscalenet_nano(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net of width 6: about 0.1 M parameters."""
    return EcoScaleNet(n_channels, n_classes, **{"width": 6, **config})


@register_model
def ecoscalenet_100hz(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net for 100 Hz: 1.28 s are 128 samples, so the cap rule gives largest kernels 7, 3, 2, 1."""
    return EcoScaleNet(n_channels, n_classes, **{"kernel_sizes": stage_kernels(128, STAGE_STRIDES), **config})


@register_model
def ecoscalenet_backbone(n_channels: int, n_classes: int, **config) -> EcoScaleNet:
    """EcoScale-Net without its EcoScale blocks: the residual network that they have to beat."""
    return EcoScaleNet(n_channels, n_classes, **{"kernel_sizes": [()] * len(STAGE_STRIDES), **config})
