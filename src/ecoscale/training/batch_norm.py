"""Batch norm over the whole batch where several processes share it, on processors.

PyTorch's own (`torch.nn.SyncBatchNorm`) runs on GPUs only. This one needs nothing but a sum over processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn


class SharedBatchNorm(nn.BatchNorm1d):
    """Batch norm of `(batch, channels, samples)` with mean and variance over all processes' parts of a batch.

    Parts may differ in size. Ioffe and Szegedy 2015, arXiv 1502.03167; each process normalises its own part.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """`(batch, channels, samples)` or `(batch, channels)` normalised; the same shape."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        over = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        x = input.float()
        count = _Sum.apply(x.new_tensor([x.numel() // x.shape[1]]))
        mean = _Sum.apply(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(over)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (normalised * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)


class ShareBatchNorm(LayerSync):
    """Lightning's plugin that puts `SharedBatchNorm` in the place of batch norms while a network is trained."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace them."""
        return _replaced(model, nn.BatchNorm1d, SharedBatchNorm)

    def revert(self, model: nn.Module) -> nn.Module:
        """Put them back."""
        return _replaced(model, SharedBatchNorm, nn.BatchNorm1d)


def _replaced(module: nn.Module, old: type[nn.BatchNorm1d], new: type[nn.BatchNorm1d]) -> nn.Module:
    for name, child in module.named_children():
        if type(child) is old:
            layer = new(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
            layer.train(child.training)
            for key, parameter in child.named_parameters(recurse=False):
                layer.register_parameter(key, parameter)
            for key, buffer in child.named_buffers(recurse=False):
                layer.register_buffer(key, buffer)
            setattr(module, name, layer)
        else:
            _replaced(child, old, new)
    return module


class _Sum(torch.autograd.Function):
    """The sum over processes. Each process's loss depends on it, so that its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        tensor = tensor.clone()
        torch.distributed.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        gradient = gradients[0].clone()
        torch.distributed.all_reduce(gradient)
        return gradient
