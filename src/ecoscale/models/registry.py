"""Networks by name: `create_model`, `list_models`."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from typing import TYPE_CHECKING, Any

from ecoscale.errors import ModelError
from ecoscale.models.pretrained import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ecoscale.models.network import Network

_MODELS: dict[str, Callable[..., Network]] = {}


def register_model(variant: Callable[..., Network]) -> Callable[..., Network]:
    """Register `variant(n_channels, n_classes, **config)` under its own name."""
    _MODELS[variant.__name__] = variant
    return variant


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered networks that match a shell pattern."""
    return sorted(fnmatch.filter(_MODELS, pattern))


def match_models(patterns: Iterable[str]) -> list[str]:
    """Names that match a pattern, once each, in the patterns' order. Raises `ModelError` where one has no match."""
    names: dict[str, None] = {}
    for pattern in patterns:
        found = list_models(pattern)
        if not found:
            raise ModelError(f"no model matches {pattern!r}; there are {', '.join(list_models())}")
        names |= dict.fromkeys(found)
    return list(names)


def describe_model(name: str) -> str:
    """One line on a registered network."""
    return inspect.getdoc(_variant(name)) or ""


def create_model(
    name: str, n_channels: int, n_classes: int, *, pretrained: str | Path | None = None, **config: Any
) -> Network:
    """Build a network by name: input `(batch, n_channels, samples)`, output logits `(batch, n_classes)`.

    `config` goes to the network's class. `pretrained` is a file of weights: a checkpoint of a training run, or a state
    dict that `torch.save` wrote. All weights are taken, strictly; a head of another number of classes is made anew.
    Raises `ModelError` for an unknown name or option, and for weights that are not this network's.

    >>> create_model("oscnn", n_channels=12, n_classes=6, largest_kernel=89)  # doctest: +ELLIPSIS
    OSCNN(...
    """
    variant = _variant(name)
    for what, count in (("n_channels", n_channels), ("n_classes", n_classes)):
        if count < 1:
            raise ModelError(f"{name}: {what} is {count}; expected at least 1")
    cls = inspect.get_annotations(variant, eval_str=True)["return"]
    known = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(config) - set(known)):
        raise ModelError(f"{name} has no option {', '.join(unknown)}; it takes {', '.join(known)}")
    network = variant(n_channels, n_classes, **config)
    if pretrained is not None:
        load_weights(network, pretrained)
    return network


def _variant(name: str) -> Callable[..., Network]:
    if name not in _MODELS:
        close = difflib.get_close_matches(name, _MODELS, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(list_models())}"
        raise ModelError(f"no model {name!r}; {hint}")
    return _MODELS[name]
