"""Weights from a file into a network: strictly, with an error that says what does not fit."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ecoscale.errors import ModelError

if TYPE_CHECKING:
    from ecoscale.models.network import Network

SAFETENSORS = ".safetensors"

_INSIDE = ("average.module.", "network.")
"""Where a training run's checkpoint keeps its network; the average of the weights, which it measures, comes first."""


def load_weights(network: Network, path: str | Path) -> None:
    """Load a checkpoint of a training run, a state dict, or a bundle's weights into `network`.

    A head of another number of classes than the file's is left as it is. Raises `ModelError` naming the file and the
    weights that are missing, unknown or of another shape.
    """
    state, own = read_weights(path), network.state_dict()
    head = [key for key in own if key.startswith("head.")]
    if all(key in state for key in head) and state["head.weight"].shape[0] != network.n_classes:
        state |= {key: own[key] for key in head}
    take_weights(network, state, str(path))


def take_weights(network: Network, state: dict[str, Tensor], source: str) -> None:
    """Take all weights of `state`, strictly. Raises `ModelError` naming `source` and what does not fit."""
    own = network.state_dict()
    problems = [f"{key} is missing" for key in own if key not in state]
    problems += [f"{key} is not this network's" for key in state if key not in own]
    problems += [
        f"{key} is {tuple(state[key].shape)} there and {tuple(own[key].shape)} here"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(
            f"{source}: not the weights of this {type(network).__name__}: {'; '.join(problems[:3])}{more}; "
            "give the name, the number of channels and the options that it was trained with"
        )
    network.load_state_dict(state, strict=True)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights of one network by name, from a checkpoint, a state dict, or safetensors.

    Raises `ModelError` naming the file if it is not there or holds none.
    """
    path = Path(path)
    try:
        if path.suffix == SAFETENSORS:
            return load(path.read_bytes())
        # Only tensors and plain values are loaded: a file from elsewhere must not run code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(
            f"{path}: not found; give a checkpoint (checkpoints/best.ckpt of a run) or a state dict"
        ) from None
    except (RuntimeError, EOFError, UnpicklingError, OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read as weights ({error})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: holds no state dict; expected names of weights with tensors")
    for prefix in _INSIDE:
        if inside := {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}:
            return inside
    return dict(state)
