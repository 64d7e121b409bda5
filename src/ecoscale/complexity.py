"""What a network costs: parameters and multiply-accumulates.

One MAC is two FLOPs. Convolutions and linear layers count; bias, normalisation and activations do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """Cost of one network on one input."""

    parameters: int
    macs: int


def measure_complexity(network: nn.Module, n_leads: int, n_samples: int) -> Complexity:
    """Parameters, and MACs for one signal `(1, n_leads, n_samples)`, counted by torch while the network runs."""
    device = next(network.parameters()).device
    training = network.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, n_leads, n_samples, device=device))
    network.train(training)
    return Complexity(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)
