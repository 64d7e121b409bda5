"""What a network costs: parameters, multiply-accumulates, memory; and how far it sees.

One MAC is two FLOPs. Convolutions and linear layers count; bias, normalisation and activations do not.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ecoscale.models.omniscale import compute_directly
from ecoscale.models.receptive_field import trace_receptive_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ecoscale.models.network import Network


@dataclass(frozen=True)
class Complexity:
    """Cost of one network on one input. `parameters` are those in use; `stored` counts masked zeros too."""

    parameters: int
    macs: int
    stored: int


def measure_complexity(network: nn.Module, n_channels: int, n_samples: int) -> Complexity:
    """Parameters, and MACs for one signal `(1, n_channels, n_samples)`, from the shapes that the layers give.

    Every weight of a convolution is used once for each step of its output, every weight of a linear layer once.
    Convolutions are counted branch by branch, also where the network computes them by spectra or as dense ones with
    zeros (`ecoscale.models.omniscale`).
    """
    direct = _to_count(network)
    macs = 0

    def count(layer: nn.Module, _inputs: tuple, out: Tensor) -> None:
        nonlocal macs
        macs += layer.get_parameter("weight").numel() * (out.shape[-1] if isinstance(layer, nn.Conv1d) else len(out))

    for layer in _weighted_layers(direct):
        layer.register_forward_hook(count)
    with torch.no_grad():
        direct(torch.zeros(1, n_channels, n_samples, device="meta"))
    return Complexity(n_parameters(direct), macs, n_parameters(network))


def _to_count(network: nn.Module) -> nn.Module:
    """A copy without memory, computed branch by branch, in evaluation mode."""
    return compute_directly(copy.deepcopy(network).to("meta")).eval()


def _weighted_layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Linear)]


def n_parameters(network: nn.Module) -> int:
    """Numbers that training sets."""
    return sum(p.numel() for p in network.parameters())


@dataclass(frozen=True)
class ComplexityReport:
    """All that is said of one network.

    `activation_peak` is the memory that activations take at the most while one signal goes through, in bytes of
    float32, layer by layer as torch runs them. `size_fp32` and `size_int8` are bytes of the weights in use: for int8,
    convolution and linear weights take one byte and all else four. `milliseconds` is None unless it was measured.
    """

    model: str
    parameters: int
    stored: int
    macs: int
    receptive_field: int
    unbroken: tuple[int, int]
    step: int
    activation_peak: int
    size_fp32: int
    size_int8: int
    milliseconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def saved_against(self, other: ComplexityReport) -> dict[str, float]:
        """Reduction of parameters and MACs against another network, in per cent; negative where this one costs more."""
        return {what: 100 * (1 - getattr(self, what) / getattr(other, what)) for what in ("parameters", "macs")}


def report_complexity(model: str, network: Network, n_channels: int, n_samples: int) -> ComplexityReport:
    """The report of one network, which may lie on the meta device: nothing is computed but shapes."""
    cost = measure_complexity(network, n_channels, n_samples)
    fields = trace_receptive_fields(network, n_channels, n_samples)
    weights = sum(layer.get_parameter("weight").numel() for layer in _weighted_layers(_to_count(network)))
    return ComplexityReport(
        model=model,
        parameters=cost.parameters,
        stored=cost.stored,
        macs=cost.macs,
        receptive_field=fields.longest,
        unbroken=fields.unbroken,
        step=fields.step,
        activation_peak=measure_activation_peak(network, n_channels, n_samples),
        size_fp32=4 * cost.parameters,
        size_int8=weights + 4 * (cost.parameters - weights),
    )


def measure_activation_peak(network: nn.Module, n_channels: int, n_samples: int) -> int:
    """Most bytes that the input and the activations of one signal take at once, without gradients."""
    own = _to_count(network)
    with torch.no_grad(), _LiveBytes() as live:
        live.watch(signal := torch.zeros(1, n_channels, n_samples, device="meta"))
        own(signal)
    return live.peak


def measure_training_peak(network: nn.Module, n_channels: int, n_samples: int, batch_size: int) -> int:
    """Most bytes that one step of training takes at once, in float32, as torch runs it layer by layer.

    The weights and Adam's two moments throughout, and the activations of a whole batch and the gradients as they come
    and go; not the workspaces of convolutions, nor what the allocator keeps in reserve.
    """
    own = copy.deepcopy(network).to("meta").train()
    parameters = sum(p.numel() * p.element_size() for p in own.parameters())
    buffers = sum(b.numel() * b.element_size() for b in own.buffers())
    with _LiveBytes() as live:
        live.watch(signals := torch.zeros(batch_size, n_channels, n_samples, device="meta"))
        own(signals).sum().backward()
    return 3 * parameters + buffers + live.peak


class _LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that operations made and that are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if getattr(storage, "_is_watched", False):
            return
        storage._is_watched = True  # type: ignore[attr-defined]
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(
        self, func: Callable, types: Iterable, args: Sequence = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.watch(leaf)
        return out
