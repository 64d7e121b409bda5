"""Series of different lengths in one batch, each computed as if it were alone.

A batch has one length, so shorter series are filled up at their end. What stands there must not reach the series:
`as_if_alone(lengths)` follows a network while it runs, however it is written, and at each convolution, pooling and
average over time puts back what the layer would meet at the end of the series itself: zeros before a convolution,
nothing before a maximum or an average. In training, batch norm takes its statistics from the series and not from what
fills them up. The logits are those of each series alone, but for the rounding of another batch (tests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ecoscale.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SAMPLE_BY_SAMPLE = frozenset({"__get__", "add", "cat", "dim", "dropout", "mul", "relu", "sigmoid", "size"})
"""What leaves each sample where it is."""


class as_if_alone(TorchFunctionMode):  # noqa: N801 - a context manager is called like a function
    """While it lasts, a network reads of each series of a padded batch only the series' own samples.

    Parameters
    ----------
    lengths
        `(batch,)`, the samples of each series in the batches `(batch, channels, samples)` that the network is given;
        `samples` is the largest of them.

    Raises
    ------
    ModelError
        Where the network mixes samples in a way that is not followed here, such as by spectra.
    """

    def __init__(self, lengths: Tensor) -> None:
        super().__init__()
        # By the padded length: each layer changes it as it changes the length of a series.
        self._lengths: dict[int, Tensor] = {int(lengths.max()): lengths}

    def __torch_function__(
        self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Follow one call of torch."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        over_time = bool(args) and isinstance(args[0], Tensor) and args[0].ndim == 3
        if not over_time or isinstance(args[0], nn.Parameter) or name in _SAMPLE_BY_SAMPLE:
            return func(*args, **kwargs)
        if name not in _FOLLOWED:
            raise ModelError(
                f"series of different lengths cannot go through a network that calls {name} over time: what fills them "
                "up would change the result; give series of one length, or another network"
            )
        return _FOLLOWED[name](self, func, *args, **kwargs)

    def _convolution(self, func: Callable, x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        stride, padding, dilation = _given(args, kwargs, 1, stride=1, padding=0, dilation=1)
        out = func(self._cleared(x, 0.0), weight, *args, **kwargs)
        self._reduced(x, out, dilation * (weight.shape[-1] - 1) + 1, stride, padding)
        return out

    def _largest_of_each(self, func: Callable, x: Tensor, kernel: int, *args: Any, **kwargs: Any) -> Tensor:
        kernel, *_ = _given((kernel,), {}, 0, kernel=1)
        stride, padding, dilation = _given(args, kwargs, 0, stride=kernel, padding=0, dilation=1)
        out = func(self._cleared(x, -torch.inf), kernel, *args, **kwargs)
        surplus = stride - 1 if kwargs.get("ceil_mode") else 0
        self._reduced(x, out, dilation * (kernel - 1) + 1 - surplus, stride, padding)
        # An infinity times a gradient of zero would be no number.
        return self._cleared(out, 0.0)

    def _padded(self, func: Callable, x: Tensor, pad: Sequence[int], *args: Any, **kwargs: Any) -> Tensor:
        out = func(self._cleared(x, 0.0), pad, *args, **kwargs)
        self._note(out, self._of(x) + sum(pad[:2]))
        return out

    def _norm(self, func: Callable, x: Tensor, mean: Tensor, var: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not kwargs["training"]:
            return func(x, mean, var, *args, **kwargs)
        inside, last = self._inside(x)[:, 0], x.transpose(1, 2)
        own = func(last[inside], mean, var, *args, **kwargs)
        return torch.zeros_like(last).masked_scatter(inside[..., None], own).transpose(1, 2)

    def _mean(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        share = self._of(x)[:, None].to(x.dtype) / x.shape[-1]
        return func(self._cleared(x, 0.0), *args, **kwargs) / share

    def _largest(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return func(self._cleared(x, -torch.inf), *args, **kwargs)

    def _inside(self, x: Tensor) -> Tensor:
        """`(batch, 1, samples)`: which samples are a series' own."""
        return torch.arange(x.shape[-1], device=x.device) < self._of(x)[:, None, None]

    def _cleared(self, x: Tensor, value: float) -> Tensor:
        return x.masked_fill(~self._inside(x), value)

    def _of(self, x: Tensor) -> Tensor:
        return self._lengths[x.shape[-1]]

    def _reduced(self, x: Tensor, out: Tensor, reach: int, stride: int, padding: int) -> None:
        """Note how long each series is after a layer that sees `reach` samples at a time."""
        self._note(out, torch.div(self._of(x) + 2 * padding - reach, stride, rounding_mode="floor") + 1)

    def _note(self, x: Tensor, lengths: Tensor) -> None:
        known = self._lengths.setdefault(x.shape[-1], lengths)
        if not torch.equal(known, lengths):
            raise ModelError(
                "series of different lengths cannot go through a network whose padding depends on the length of the "
                "batch; give series of one length, or another network"
            )


_FOLLOWED: dict[str, Callable] = {
    "conv1d": as_if_alone._convolution,
    "max_pool1d": as_if_alone._largest_of_each,
    "pad": as_if_alone._padded,
    "batch_norm": as_if_alone._norm,
    "mean": as_if_alone._mean,
    "amax": as_if_alone._largest,
}


def _given(args: tuple, kwargs: dict[str, Any], first: int, **defaults: int) -> list[int]:
    """Arguments by name or by place, from `first` on; one number each where torch also takes one for each dimension."""
    values = []
    for place, (name, default) in enumerate(defaults.items(), first):
        value = args[place] if len(args) > place else kwargs.get(name)
        if isinstance(value, tuple | list):
            value = value[0] if value else None
        values.append(default if value is None else int(value))
    return values
