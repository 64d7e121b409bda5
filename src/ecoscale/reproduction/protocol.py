"""Protocols: what is trained, on which parts, how often, and what was published about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecoscale.datasets import named_collection
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.training import Recipe, Run, load_recipe
from ecoscale.training.recipe import recipes_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ecoscale.preparation import Preparation

PROTOCOL = "protocol.yaml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(_Section):
    """By patient, with every finding in proportion (`ecoscale.datasets.splits.stratified_split`)."""

    shares: dict[str, float]
    seed: Annotated[int, Field(ge=0)] = 0


class Network(_Section):
    """One of the networks; the file of its recipe has its name."""

    title: str
    ours: Annotated[bool, Field(description="not a network of the paper")] = False
    baseline: Annotated[bool, Field(description="one that the others are compared with")] = False


class Claims(_Section):
    """What was published of a network against its baseline, in per cent: changes, so that -90 is a tenth."""

    network: str
    parameters: float
    flops: float
    f1: float


class External(_Section):
    """Another collection to test on, and a published network's F1 there."""

    collection: str
    records: Annotated[int, Field(ge=1, description="of the whole collection")]
    reference: str
    f1: dict[str, float]


class Protocol(_Section):
    """A whole protocol, from the folder of its recipes."""

    folder: Path
    title: str
    source: str
    collection: str
    records: Annotated[int, Field(ge=1, description="of the whole collection, for estimates")]
    split: Split
    test: str
    seeds: Annotated[int, Field(ge=1)]
    networks: Annotated[dict[str, Network], Field(min_length=1)]
    claims: Claims
    external: External | None = None

    @model_validator(mode="after")
    def _known(self) -> Protocol:
        try:
            named_collection(self.collection)
            if self.external is not None:
                named_collection(self.external.collection)
        except DatasetError as error:
            raise ValueError(str(error)) from error
        if self.test not in self.split.shares:
            raise ValueError(f"test: the split has no part {self.test!r}; it has {', '.join(self.split.shares)}")
        if self.claims.network not in self.networks:
            raise ValueError(f"claims.network: no network {self.claims.network!r}")
        if missing := [name for name in self.networks if not self.recipe_path(name).is_file()]:
            raise ValueError(f"networks: {', '.join(missing)}: no recipe of this name in {self.folder}")
        return self

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the networks that the others are compared with."""
        return tuple(name for name, network in self.networks.items() if network.baseline)

    def recipe_path(self, network: str) -> Path:
        """The file of a network's recipe."""
        return self.folder / f"{network}.yaml"

    def choose(self, models: Iterable[str] | None) -> tuple[str, ...]:
        """The networks named, in the protocol's order; all by default. Raises `RecipeError` for any other name."""
        wanted = list(self.networks) if models is None else list(models)
        if strangers := [name for name in wanted if name not in self.networks]:
            raise RecipeError(f"{self.name} has no network {', '.join(strangers)}; it has {', '.join(self.networks)}")
        return tuple(name for name in self.networks if name in wanted)


def list_protocols() -> dict[str, Path]:
    """The folders of the protocols that come with ecoscale, by name."""
    return {path.parent.name: path.parent for path in sorted(recipes_folder().glob(f"*/{PROTOCOL}"))}


def load_protocol(name: str | Path) -> Protocol:
    """A protocol by its name, or by the folder that holds its `protocol.yaml` and recipes.

    Raises `RecipeError` naming the file and the key that is wrong.
    """
    folder = list_protocols().get(str(name), Path(name))
    path = folder / PROTOCOL
    if not path.is_file():
        known = ", ".join(list_protocols())
        raise RecipeError(f"{path}: not found; give one of {known}, or a folder of recipes with a {PROTOCOL}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise RecipeError(f"{path}: expected a mapping with the keys {', '.join(Protocol.model_fields)}")
        return Protocol.model_validate(content | {"folder": folder})
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{key}: " for key in [".".join(map(str, first["loc"]))] if key)
        raise RecipeError(f"{path}: {where}{first['msg'].removeprefix('Value error, ')}") from error


@dataclass(frozen=True)
class Plan:
    """What is to be trained, in which folder.

    `folder` holds `split.csv`, `stores/`, and `runs/NETWORK-seedN`, a run each, with what it says of the test part.
    """

    protocol: Protocol
    folder: Path
    recipes: Mapping[str, Recipe]
    seeds: tuple[int, ...]

    @property
    def split(self) -> Path:
        """The stored split. Absolute, since runs remember it."""
        return self.folder.resolve() / "split.csv"

    @cached_property
    def shared(self) -> Recipe:
        """Any recipe, for what all have in common: findings and preparation."""
        return next(iter(self.recipes.values()))

    @property
    def preparation(self) -> Preparation:
        """Of the one store that all networks train from."""
        return self.shared.preparation

    def store(self, collection: str) -> Path:
        """Where a collection's prepared signals lie."""
        return self.folder / "stores" / collection

    def recipe(self, network: str, seed: int) -> Recipe:
        """A network's recipe with a seed."""
        return self.recipes[network].model_copy(update={"seed": seed})

    def run(self, network: str, seed: int) -> Run:
        """The run of a network with a seed, begun or not."""
        return Run(run_folder(self.folder, network, seed))


def run_folder(folder: Path, network: str, seed: int) -> Path:
    """Where a run lies in the folder of a reproduction."""
    return folder / "runs" / f"{network}-seed{seed}"


def make_plan(
    protocol: Protocol,
    folder: Path,
    *,
    models: Sequence[str] | None = None,
    seeds: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a protocol: some of its `models`, with seeds 0 to `seeds` - 1 (default: the protocol's number).

    `changes` replaces keys of the recipes, by dotted name: of all (`optimisation.epochs`), or of one network's
    (`oscnn:model.config.width`). Raises `RecipeError` for an unknown network or key, or recipes that do not go
    together.
    """
    chosen = protocol.choose(models)
    of_network: dict[str, dict[str, Any]] = {name: {} for name in protocol.networks}
    # Those of one network last, since they say more.
    for key, value in sorted((changes or {}).items(), key=lambda change: ":" in change[0]):
        network, _, own = key.rpartition(":")
        for name in protocol.choose([network] if network else None):
            of_network[name][own.replace(".", "__")] = value
    plan = Plan(
        protocol,
        folder,
        {name: load_recipe(protocol.recipe_path(name), **of_network[name]) for name in chosen},
        tuple(range(protocol.seeds if seeds is None else seeds)),
    )
    for name, recipe in plan.recipes.items():
        if recipe.collections != (protocol.collection,):
            read = ", ".join(recipe.collections)
            raise RecipeError(f"{protocol.recipe_path(name)}: reads {read}; the protocol is of {protocol.collection}")
        if recipe.single_label:
            raise RecipeError(
                f"{protocol.recipe_path(name)}: single_label; a protocol compares findings that may come together, by "
                "F1 at thresholds: leave it out"
            )
        for what in ("findings", "preparation", "task"):
            if getattr(recipe, what) != getattr(plan.shared, what):
                raise RecipeError(
                    f"{protocol.recipe_path(name)}: {what} differs from that of {protocol.recipe_path(chosen[0])}; "
                    "networks are compared on the same input and output"
                )
    return replace(plan, recipes={name: _placed(recipe, plan.split) for name, recipe in plan.recipes.items()})


def _placed(recipe: Recipe, split: Path) -> Recipe:
    """The recipe with the split that is made here."""
    content = recipe.model_dump(exclude_unset=True)
    for parts in content["data"].values():
        for part in parts:
            if part.get("split") is not None:
                part["split"] = split
    return Recipe.model_validate(content)


def differing_keys(recipe: Recipe, other: Recipe) -> dict[str, Any]:
    """What a recipe says otherwise than another, by dotted name; seed and the places of splits left out."""
    own, theirs = (_comparable(one) for one in (recipe, other))
    return {key: own.get(key) for key in dict.fromkeys((*own, *theirs)) if own.get(key) != theirs.get(key)}


def _comparable(recipe: Recipe) -> dict[str, Any]:
    content = {key: value for key, value in recipe.flat().items() if key != "seed" and value != {}}
    for key in ("data.train", "data.validation"):
        content[key] = [{name: value for name, value in part.items() if name != "split"} for part in content[key]]
    return content
