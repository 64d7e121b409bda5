"""What a network costs: parameters and multiply-accumulates.

One MAC is two FLOPs. Convolutions and linear layers count; bias, normalisation and activations do not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecoscale.models.omniscale import compute_directly


@dataclass(frozen=True)
class Complexity:
    """Cost of one network on one input."""

    parameters: int
    macs: int


def measure_complexity(network: nn.Module, n_leads: int, n_samples: int) -> Complexity:
    """Parameters, and MACs for one signal `(1, n_leads, n_samples)`, counted by torch while a copy of the network runs.

    Convolutions are counted as such, also where the network computes them by spectra (`OmniScaleConv`).
    """
    device = next(network.parameters()).device
    direct = compute_directly(copy.deepcopy(network)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        direct(torch.zeros(1, n_leads, n_samples, device=device))
    return Complexity(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)
