"""What training begins from: a bundle, a run or a checkpoint, and its weights fitted to other findings and leads.

A recipe's `model.pretrained` names it. Network, options and preparation come from there; the scale too, and not from
the new records, so that the network's input stays in the range that its weights know. Outputs with a name that it
already tells keep their row of the head, others start anew.

Fewer leads than it was trained on: the convolutions that read the leads keep the columns of those that are there,
unscaled. Batch norm, which follows them in the networks here, takes out their common size within the first epoch, and
scaling them up beforehand did not help (docs/finetuning.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from pydantic import BaseModel

from ecoscale.bundle import MANIFEST, Bundle, shipped_bundles
from ecoscale.errors import EcoscaleError, ModelError, RecipeError
from ecoscale.models import create_model
from ecoscale.models.pretrained import read_weights, take_weights
from ecoscale.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ecoscale.models.network import Network

FIXED = ("rate", "highpass")
"""What of the preparation is the network's own: kernels are lengths in samples, and the filter shapes every wave."""
FREE = ("dropout",)
"""Options of a network that may be changed, since no weight depends on them."""

_RECIPE, _PREPARATION, _CHECKPOINTS, _BEST = "recipe.yaml", "preparation.json", "checkpoints", "best.ckpt"


@dataclass(frozen=True)
class Pretrained:
    """A trained network that another may begin from.

    - `source`: as the recipe names it; `title`: what it is.
    - `weights`: the file that holds them.
    - `model`, `config`: the network; None and empty where only weights are known.
    - `preparation`: with the scale that it was trained on; None where only weights are known.
    - `single_label`: whether its outputs are classes that exclude each other.
    - `outputs`: what each row of its head tells; empty where only weights are known.
    - `data`: the parts of collections that it, and what it began from, has seen.
    """

    source: str
    title: str
    weights: Path
    model: str | None = None
    config: Mapping[str, Any] | None = None
    preparation: Preparation | None = None
    outputs: tuple[str, ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()
    single_label: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {"source": self.source, "title": self.title, "data": list(self.data)}


def open_pretrained(source: str | Path) -> Pretrained:
    """What `model.pretrained` names: a bundle (folder or shipped name), a run's folder, or a file of weights.

    Raises `BundleError`, `RecipeError` or `ModelError` naming what is missing or damaged.
    """
    path = Path(source)
    if (path / MANIFEST).is_file() or (not path.exists() and str(source) in shipped_bundles()):
        return _bundle(str(source))
    if (path / _RECIPE).is_file():
        return _run(str(source), path, path / _CHECKPOINTS / _BEST)
    if path.is_file():
        run = path.parent.parent
        if path.parent.name == _CHECKPOINTS and (run / _RECIPE).is_file():
            return _run(str(source), run, path)
        return Pretrained(str(source), path.name, path)
    raise RecipeError(
        f"model.pretrained: {source}: neither a bundle, a run's folder nor a file of weights; shipped bundles are "
        f"{', '.join(shipped_bundles()) or 'none'}"
    )


def _bundle(source: str) -> Pretrained:
    bundle = Bundle.load(source)
    if bundle.weights is None:
        raise RecipeError(
            f"{bundle.path}: this bundle holds no weights to train on; pack its run again (ecoscale pack), or give the "
            "run's folder"
        )
    manifest = bundle.manifest
    return Pretrained(
        source,
        bundle.title,
        bundle.weights,
        manifest.network["model"],
        manifest.network["config"],
        manifest.preparation,
        tuple(label.name for label in manifest.labels),
        _seen(manifest.provenance.get("recipe", {}), manifest.provenance.get("environment", {})),
        manifest.single_label,
    )


def _run(source: str, folder: Path, weights: Path) -> Pretrained:
    if not weights.exists():
        raise RecipeError(f"{weights}: not there; no epoch of this run has ended")
    try:
        recipe = yaml.safe_load((folder / _RECIPE).read_text(encoding="utf-8"))
        preparation = Preparation.model_validate_json((folder / _PREPARATION).read_text(encoding="utf-8"))
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        model, auxiliary = recipe["model"], recipe.get("auxiliary") or {}
        outputs = (*recipe["findings"], *auxiliary.get("codes", ()))
        return Pretrained(
            source,
            f"run {recipe['name']}",
            weights,
            model["name"],
            model.get("config") or {},
            preparation,
            outputs,
            _seen(recipe, environment),
            bool(recipe.get("single_label", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise RecipeError(f"{folder}: not a whole training run ({error})") from error


def _seen(recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    data, before = recipe.get("data", {}), environment.get("pretrained", {})
    return (*data.get("train", ()), *data.get("validation", ()), *before.get("data", ()))


def complete(content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's content, with what it leaves to the network that it begins from.

    A recipe that names its network is whole without it, so that a run outlives what it began from. Raises
    `RecipeError` where the recipe contradicts it.
    """
    content = dict(content)
    model = _mapping(content.get("model"))
    if not model.get("pretrained"):
        return content
    try:
        base = open_pretrained(model["pretrained"])
    except EcoscaleError:
        if "name" in model:
            return content
        raise
    if base.model is not None:
        content["model"] = model | _agreed_model(model, base)
    if base.preparation is not None:
        content["preparation"] = _agreed_preparation(_mapping(content.get("preparation")), base)
    return content


def _mapping(section: Any) -> dict[str, Any]:
    if isinstance(section, BaseModel):
        return section.model_dump(mode="json", exclude_unset=True)
    return dict(section) if isinstance(section, Mapping) else {}


def _agreed_model(model: Mapping[str, Any], base: Pretrained) -> dict[str, Any]:
    name, own = model.get("name", base.model), json.loads(json.dumps(dict(base.config or {})))
    if name != base.model:
        raise RecipeError(f"model.name is {name}; {base.source} is a {base.model}: leave the name out")
    config = json.loads(json.dumps(dict(model.get("config") or {})))
    if wrong := [key for key, value in config.items() if key not in FREE and own.get(key) != value]:
        raise RecipeError(
            f"model.config: {wrong[0]} is {config[wrong[0]]}; {base.source} has {own.get(wrong[0], 'the default')}: "
            f"leave it out. Only {', '.join(FREE)} may differ from what the weights were trained with"
        )
    return {"name": name, "config": own | config}


def _agreed_preparation(given: Mapping[str, Any], base: Pretrained) -> dict[str, Any]:
    own = base.preparation.model_dump(mode="json") if base.preparation is not None else {}
    for key in FIXED:
        if key in given and given[key] != own[key]:
            raise RecipeError(
                f"preparation.{key} is {given[key]}; {base.source} was trained at {own[key]}: leave it out. Records "
                "at any rate are resampled and filtered as the network knows them"
            )
    if base.preparation is not None:
        _refuse_other_channels(given, base.preparation, base.source)
    for key in ("mean", "scale"):
        if key in given and given[key] not in (own[key], Preparation.model_fields[key].default):
            raise RecipeError(
                f"preparation.{key} is {given[key]}; {base.source} was trained with {own[key]}: leave it out"
            )
    kept = {key: value for key, value in given.items() if key not in ("mean", "scale")}
    if base.preparation is not None and not base.preparation.is_ecg and "channels" in kept:
        # What the base computed with for each channel goes with it.
        rows = [base.preparation.channels.index(name) for name in kept["channels"]]
        for key in ("mean", "scale", "units"):
            if isinstance(own[key], list):
                own[key] = [own[key][row] for row in rows]
    if "channels" in kept:
        own.pop("leads", None)
    return own | kept


def _refuse_other_channels(given: Mapping[str, Any], known: Preparation, source: str) -> None:
    """Raise `RecipeError` where channels or units are asked for that the base has no weights for."""
    for key in ("leads", "channels"):
        if strangers := [name for name in given.get(key, ()) if name not in known.channels]:
            raise RecipeError(
                f"preparation.{key}: {', '.join(strangers)}: {source} reads {', '.join(known.channels)} and has no "
                f"weights for another {key.removesuffix('s')}"
            )
    if "units" in given and not known.is_ecg:
        names = given.get("channels") or known.channels
        units = [given["units"]] * len(names) if isinstance(given["units"], str) else list(given["units"])
        own = [known.units[known.channels.index(name)] for name in names]
        if units != own:
            raise RecipeError(
                f"preparation.units is {', '.join(units)}; {source} reads {', '.join(names)} in {', '.join(own)}: "
                "leave units out"
            )


def load_pretrained(network: Network, base: Pretrained, outputs: Sequence[str], leads: Sequence[str]) -> None:
    """Take the weights of `base` into `network`, which reads `leads` and tells `outputs`.

    A network of which nothing but the weights is known must have the same leads in the same order; its head is taken
    where the number of outputs is the same. Raises `ModelError` naming what does not fit.
    """
    state, own = read_weights(base.weights), network.state_dict()
    if base.preparation is not None and tuple(leads) != base.preparation.channels:
        columns = [base.preparation.channels.index(lead) for lead in leads]
        for key in _reading_leads(base, len(base.preparation.channels)):
            if key in state:
                state[key] = state[key][:, columns]
    for key in ("head.weight", "head.bias"):
        state[key] = _head(state.get(key), own[key], base.outputs, outputs)
    take_weights(network, state, base.source)


def _reading_leads(base: Pretrained, n_channels: int) -> list[str]:
    """The weights whose columns are leads: those that change in width when a lead is added."""
    with torch.device("meta"):
        fewer, more = (
            create_model(str(base.model), n, max(1, len(base.outputs)), **dict(base.config or {})).state_dict()
            for n in (n_channels, n_channels + 1)
        )
    return [
        key
        for key, value in fewer.items()
        if value.ndim > 1 and key in more and (value.shape[1], more[key].shape[1]) == (n_channels, n_channels + 1)
    ]


def _head(there: Tensor | None, here: Tensor, known: Sequence[str], outputs: Sequence[str]) -> Tensor:
    """The head's rows for `outputs`: the trained one where its name is known, else as it starts."""
    if there is None or (known and len(there) != len(known)):
        raise ModelError(f"the head has {0 if there is None else len(there)} rows; expected one for each output")
    if not known:
        return there if there.shape == here.shape else here
    rows = here.clone()
    for row, name in enumerate(outputs):
        if name in known:
            rows[row] = there[known.index(name)]
    return rows


def kept_outputs(base: Pretrained, outputs: Sequence[str]) -> tuple[str, ...]:
    """Those of the outputs that `base` already tells."""
    return tuple(name for name in outputs if name in base.outputs)
