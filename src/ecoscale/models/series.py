"""EcoScale-Net for series of any length (ours): strides, stages and kernels from the number of samples.

The published network is made for 4,096 samples: it reduces them by 64 and sees 512 of them, an eighth, in full. Series
of other fields have from a few samples to a few thousand, and what tells their classes apart may be as long as they
are. So the design follows from the receptive field R that is wanted, half of the series unless it is given, as in
Omni-Scale CNN, whose kernels go up to a quarter of the length and are stacked twice:

- **Stride.** The whole network reduces by the largest power of two S with 8 S <= R, at most by 64, so that R is still 8
  steps of the last stage, as it is in the published network.
- **Stages.** As many as S has factors of two, from 2 to 4, each halving the length while factors last, the latest
  stages first; what is left over halves in the stem. S = 64 is the published stem and its four stages.
- **Kernels.** Each stage realises every receptive field from 1 to R / (its stride), rounded up, by the cheapest digits
  of a mixed-radix number system (`kernels.radix_kernels`); by primes where they are asked for, as many as coverage
  without a gap takes, which are more than `kernels.stage_kernels` gives. Coverage is computed (tests: every length from
  2 to 4,096).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

from ecoscale.errors import ModelError
from ecoscale.models.ecoscalenet_lean import LEAN
from ecoscale.models.kernels import covering_primes, radix_stage_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

SeriesKernels = Literal["lean", "radix", "prime"]
"""Radix kernels in the lean network's form, radix kernels in the published form, primes in the published form."""

FIELD_STEPS = 8
"""Steps of the last stage that the receptive field has at least, where the series is long enough for strides."""

LARGEST_STRIDE = 64
FEWEST_STAGES, MOST_STAGES = 2, 4
WIDTH = 16
"""Channels of the first stage."""


def series_receptive_field(n_samples: int) -> int:
    """The receptive field in samples that a series of `n_samples` is given unless another is asked for: half of it."""
    if n_samples < 1:
        raise ModelError(f"a series of {n_samples} samples: expected at least one")
    return -(-n_samples // 2)


def series_strides(receptive_field: int, shortest: int | None = None) -> tuple[int, tuple[int, ...]]:
    """Stride of the stem, and of each stage, for a receptive field in samples; see the module docstring.

    `shortest` is the shortest series that the network has to take: it does not reduce by more than that.
    """
    largest = min(LARGEST_STRIDE, receptive_field // FIELD_STEPS, shortest or LARGEST_STRIDE)
    halvings = int(math.log2(max(1, largest)))
    n_stages = min(MOST_STAGES, max(FEWEST_STAGES, halvings))
    halving = min(halvings, n_stages)
    return 2 ** (halvings - halving), (1,) * (n_stages - halving) + (2,) * halving


def series_config(
    n_samples: int,
    n_channels: int = 1,
    *,
    receptive_field: int | None = None,
    shortest: int | None = None,
    kernels: SeriesKernels = "lean",
    width: int = WIDTH,
    **options: Any,
) -> dict[str, Any]:
    """Options with which `create_model("ecoscalenet", n_channels, n_classes, **options)` suits series of a length.

    Parameters
    ----------
    n_samples
        Of a series; of the longest where they differ.
    n_channels
        Of a series.
    receptive_field
        In samples, that every stage covers without a gap; half of `n_samples` without.
    shortest
        Samples of the shortest series, which no network reduces by more than its length.
    kernels
        "lean": radix kernels, dilated and depthwise, in the form of `ecoscalenet_lean`. "radix" and "prime": in the
        published form.
    width
        Channels of the first stage.
    options
        Further options of `EcoScaleNet`, which take precedence.

    Raises
    ------
    ModelError
        For a length, a receptive field or kernels that there are not.
    """
    if kernels not in get_args(SeriesKernels):
        raise ModelError(f"kernels {kernels!r}; expected one of {', '.join(get_args(SeriesKernels))}")
    if n_channels < 1:
        raise ModelError(f"n_channels is {n_channels}; expected at least 1")
    default = series_receptive_field(n_samples)
    required = default if receptive_field is None else receptive_field
    if required < 1:
        raise ModelError(f"receptive field {required}: expected at least one sample")
    stem_stride, block_strides = series_strides(required, shortest)
    return {
        **(LEAN if kernels == "lean" else {}),
        "kernel_sizes": _kernel_sizes(kernels, required, stage_strides(stem_stride, block_strides), width),
        "width": width,
        "stem_stride": stem_stride,
        "block_strides": block_strides,
        **options,
    }


def stage_strides(stem_stride: int, block_strides: Sequence[int]) -> tuple[int, ...]:
    """Total stride of each stage, in input samples."""
    return tuple(stem_stride * math.prod(block_strides[: stage + 1]) for stage in range(len(block_strides)))


def _kernel_sizes(kernels: SeriesKernels, required: int, strides: Sequence[int], width: int) -> tuple[tuple, ...]:
    if kernels == "prime":
        return tuple(covering_primes(-(-required // stride)) for stride in strides)
    lean = kernels == "lean"
    return radix_stage_kernels(required, strides, width=width, dilated=lean, depthwise=lean)
