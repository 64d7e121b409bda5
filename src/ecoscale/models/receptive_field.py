"""The receptive fields that a network realises, found by following its layers while it runs.

A path takes one branch wherever layers stand side by side (the kernels of an omni-scale layer, a shortcut and what it
leads around) and sees 1 + the sum of (reach - 1) * stride so far. `trace_receptive_fields` collects every path of any
network, however it is written: it runs once, on no data, and each convolution and pooling is noted as it is called.
What a gradient reaches on a built network is the same (tests).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ecoscale.errors import ModelError
from ecoscale.models.network import Network
from ecoscale.models.omniscale import compute_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TRACED_SAMPLES = 4096


@dataclass(frozen=True)
class RealisedFields:
    """Receptive fields in input samples, ascending, and the stride between two outputs."""

    fields: tuple[int, ...]
    stride: int

    @property
    def longest(self) -> int:
        """The longest receptive field."""
        return self.fields[-1]

    @property
    def step(self) -> int:
        """How far apart neighbours are where they are closest."""
        return min((high - low for low, high in pairwise(self.fields)), default=1)

    @property
    def unbroken(self) -> tuple[int, int]:
        """First and last of the longest stretch of fields that follow each other by `step`."""
        first = last = self.fields[0]
        longest = (first, last)
        for field in self.fields[1:]:
            first, last = (first, field) if field - last == self.step else (field, field)
            if last - first > longest[1] - longest[0]:
                longest = (first, last)
        return longest

    @property
    def gaps(self) -> tuple[int, ...]:
        """Fields that are missing on the way from the shortest to the longest in steps of `step`."""
        return tuple(sorted(set(range(self.fields[0], self.fields[-1] + 1, self.step)) - set(self.fields)))


def trace_receptive_fields(module: nn.Module, n_channels: int, n_samples: int = _TRACED_SAMPLES) -> RealisedFields:
    """Every receptive field of a block, a stage or a whole network, for input `(1, n_channels, n_samples)`.

    Of a network, those of its features before pooling: the average over time sees everything. What depends on the whole
    signal at once (squeeze-excitation) is left out.
    """
    own = compute_directly(copy.deepcopy(module).to("meta").eval())
    trace = _Trace()
    with torch.no_grad(), trace:
        signal = torch.zeros(1, n_channels, n_samples, device="meta")
        trace.note(signal, (1, 1))
        out = own.forward_features(signal) if isinstance(own, Network) else own(signal)
    reached = trace.of(out)
    if reached is None:
        raise ModelError(f"{type(module).__name__}: its output over time does not depend on its input over time")
    bits, stride = reached
    return RealisedFields(tuple(size + 1 for size in range(bits.bit_length()) if bits >> size & 1), stride)


class _Trace(TorchFunctionMode):
    """For each tensor over time: its receptive fields (bit n stands for n + 1 samples) and its stride."""

    def __init__(self) -> None:
        super().__init__()
        self._reached: dict[int, tuple[int, int]] = {}
        self._kept: list[Tensor] = []  # an id is a tensor's own only as long as the tensor lives

    def note(self, tensor: Tensor, reached: tuple[int, int]) -> None:
        self._reached[id(tensor)] = reached
        self._kept.append(tensor)

    def of(self, value: Any) -> tuple[int, int] | None:
        return self._reached.get(id(value)) if isinstance(value, Tensor) else None

    def __torch_function__(
        self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        inputs = [reached for leaf in pytree.tree_leaves((args, kwargs)) if (reached := self.of(leaf)) is not None]
        if not inputs or not isinstance(out, Tensor) or out.ndim != 3:
            return out
        bits, stride = inputs[0]
        for other_bits, other_stride in inputs[1:]:
            if other_stride != stride:
                raise ModelError(f"{func.__name__} joins signals of strides {stride} and {other_stride}")
            bits |= other_bits
        reach, step = _reach(func, args, kwargs)
        self.note(out, (bits << (reach - 1) * stride, stride * step))
        return out


def _reach(func: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[int, int]:
    """How many samples of its input a call sees at once, from first to last, and its stride."""

    def given(position: int, name: str, default: int) -> int:
        value = args[position] if len(args) > position else kwargs.get(name)
        if isinstance(value, tuple | list):
            value = value[0] if value else None
        return default if value is None else int(value)

    name = getattr(func, "__name__", "")
    if name == "conv1d":
        return (args[1].shape[-1] - 1) * given(5, "dilation", 1) + 1, given(3, "stride", 1)
    if name in ("max_pool1d", "avg_pool1d"):
        kernel = given(1, "kernel_size", 1)
        return kernel, given(2, "stride", kernel)
    return 1, 1
