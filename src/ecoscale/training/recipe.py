"""Recipes: everything that a training run depends on, as validated YAML."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecoscale.datasets import in_part, named_collection
from ecoscale.errors import DatasetError, EcoscaleError, ModelError, RecipeError
from ecoscale.findings import CODE_FINDINGS, FINDINGS
from ecoscale.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Probability = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    """Which network, by its registered name, and its options; and what its training begins from."""

    name: str
    config: dict[str, Any] = {}
    pretrained: Annotated[
        str | None, Field(description="a bundle, a run's folder or a file of weights (ecoscale.training.pretrained)")
    ] = None


class Part(_Section):
    """Records of one collection: the publisher's folds, a share of its patients (a seeded hash), or a stored split."""

    collection: str
    folds: tuple[int, ...] | None = None
    share: tuple[Probability, Probability] | None = None
    split: Path | None = None
    part: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Part:
        if sum(way is not None for way in (self.folds, self.share, self.split)) != 1:
            raise ValueError("give one of folds, share, and split with its part")
        if (self.split is None) != (self.part is None):
            raise ValueError("split and part go together: the file of a stored split, and which of its parts")
        return self

    def rows(self, records: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows of a table with `patient` and `fold` are in this part."""
        split = None if self.split is None or self.part is None else (self.split, self.part)
        return in_part(records, self.folds, self.share, split)


class DataSection(_Section):
    """What is trained on, and what the stopping, thresholds and calibration are chosen on."""

    train: Annotated[tuple[Part, ...], Field(min_length=1)]
    validation: Annotated[tuple[Part, ...], Field(min_length=1)]


class Augmentation(_Section):
    """Random changes to training signals, each drawn anew for every record of every batch. All default to none."""

    gain: Annotated[float, Field(ge=0, description="sigma of the log of one gain for all channels")] = 0.0
    lead_gain: Annotated[float, Field(ge=0, description="sigma of the log of each channel's own gain")] = 0.0
    noise: Annotated[
        float,
        Field(
            ge=0, description="largest standard deviation of white noise: mV, or of other signals standard deviations"
        ),
    ] = 0.0
    wander: Annotated[float, Field(ge=0, description="largest amplitude of a 0.5-1 Hz baseline, in the same")] = 0.0
    lead_dropout: Annotated[Probability, Field(description="probability for each channel to be taken out")] = 0.0
    crop: Annotated[Probability, Field(description="probability to keep a random part, padded on both sides")] = 0.0
    shortest_crop: Annotated[Probability, Field(description="shortest part kept, as a share of the window")] = 0.6
    excerpt: Annotated[
        int | None, Field(ge=1, description="samples of the window that are trained on, from a random place")
    ] = None
    time_warp: Annotated[float, Field(ge=0, description="sigma of the log of the local speed of time")] = 0.0
    mixup: Annotated[float, Field(ge=0, description="alpha of the beta distribution of a record's share")] = 0.0
    cutmix: Annotated[Probability, Field(description="probability to have a span replaced by another record's")] = 0.0


class Auxiliary(_Section):
    """Further codes that the network learns to tell beside its findings, and that packing leaves out.

    Collections with another coding scheme do not say anything about them: their labels are unknown.
    """

    scheme: str
    codes: Annotated[tuple[str, ...], Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, description="of their loss beside that of the findings")] = 1.0


class Loss(_Section):
    """What a wrong probability costs: binary cross entropy, unless its two exponents or its margin say otherwise.

    Of classes that exclude each other (`Recipe.single_label`) it is the cross entropy of their softmax, which has
    neither exponents nor a margin.
    """

    gamma_present: Annotated[float, Field(ge=0, description="exponent that plays down easy presences")] = 0.0
    gamma_absent: Annotated[float, Field(ge=0, description="exponent that plays down easy absences")] = 0.0
    margin: Annotated[float, Field(ge=0, lt=1, description="probability below which absences cost nothing")] = 0.0
    label_smoothing: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="share of each target that one half (single_label: an equal share of all classes) takes",
        ),
    ] = 0.0
    largest_class_weight: Annotated[
        float | None,
        Field(ge=1, description="weigh presences (single_label: classes) by how rare they are, up to this"),
    ] = None


class Distillation(_Section):
    """Teachers: trained runs whose probabilities are learnt beside the labels (Hinton et al. 2015, arXiv 1503.02531).

    A record is taught by those teachers that were not trained on it, where there are any. An unknown label is what the
    teachers say.
    """

    teachers: Annotated[tuple[Path, ...], Field(min_length=1, description="folders of training runs")]
    weight: Annotated[Probability, Field(description="of the teachers' probability in each target")] = 0.5
    temperature: Annotated[float, Field(gt=0, description="that the teachers' logits are divided by")] = 1.0


class Optimisation(_Section):
    """AdamW (Loshchilov and Hutter 2019) and its schedule."""

    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1, description="exams of a batch, over all processes that train")] = 64
    accumulate: Annotated[int, Field(ge=1, description="batches whose mean gradient makes one step")] = 1
    learning_rate: Annotated[float, Field(gt=0, description="peak")] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="share of the steps in which the rate rises (one_cycle)")
    ] = 0.3
    gradient_clip: Annotated[float | None, Field(gt=0, description="largest norm of the gradient")] = 1.0
    patience: Annotated[int | None, Field(ge=1, description="epochs without a better validation macro AUROC")] = None
    precision: Annotated[
        Literal["32", "bf16"],
        Field(description="of training: bf16 computes in bfloat16 where that is safe; validation is always in float32"),
    ] = "32"
    compile: Annotated[bool, Field(description="the network by torch.compile, for training")] = False
    ema_decay: Annotated[float | None, Field(gt=0, lt=1, description="moving average of the weights, each step")] = None
    swa_start: Annotated[
        float | None, Field(gt=0, lt=1, description="share of the steps after which the weights are averaged evenly")
    ] = None
    features_factor: Annotated[
        float, Field(gt=0, le=1, description="of the learning rate, for all weights but the head's")
    ] = 1.0

    @model_validator(mode="after")
    def _one_average(self) -> Optimisation:
        if self.ema_decay is not None and self.swa_start is not None:
            raise ValueError("ema_decay and swa_start are two averages of the weights: give one")
        return self


class Recipe(_Section):
    """A whole recipe."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    description: str = ""
    task: Annotated[
        str | None, Field(description="of the collection's own benchmark, whose classes are then the findings")
    ] = None
    findings: Annotated[tuple[str, ...], Field(min_length=1)] = tuple(finding.name for finding in CODE_FINDINGS)
    single_label: Annotated[
        bool, Field(description="the findings are classes that exclude each other: softmax in place of sigmoids")
    ] = False
    model: ModelSection
    preparation: Preparation = Preparation()
    data: DataSection
    auxiliary: Auxiliary | None = None
    distillation: Distillation | None = None
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimisation: Optimisation = Optimisation()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, content: Any) -> Any:
        from ecoscale.training.pretrained import complete

        try:
            return complete(content) if isinstance(content, dict) else content
        except EcoscaleError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _known(self) -> Recipe:
        import torch

        from ecoscale.datasets import list_collections
        from ecoscale.models import create_model, list_models

        if self.task is not None:
            self._classes_of_the_task()
        # A folder's table may name labels of its user's own; whether it does is seen when it is opened.
        unknown = [finding for finding in self.findings if finding not in FINDINGS]
        if unknown and self.task is None and "folder" not in self.collections:
            raise ValueError(f"findings: unknown {', '.join(unknown)}; there are {', '.join(FINDINGS)}")
        if len(set(self.findings)) != len(self.findings):
            raise ValueError(f"findings: one is named twice in {', '.join(self.findings)}")
        if self.single_label:
            self._refuse_what_single_label_lacks()
        if self.model.name not in list_models():
            raise ValueError(f"model.name: no model {self.model.name!r}; there are {', '.join(list_models())}")
        for part in (*self.data.train, *self.data.validation):
            if part.collection not in list_collections():
                raise ValueError(f"data: no collection {part.collection!r}; there are {', '.join(list_collections())}")
        if self.auxiliary is not None:
            schemes = sorted({list_collections()[name].scheme for name in self.collections})
            if self.auxiliary.scheme not in schemes:
                raise ValueError(
                    f"auxiliary.scheme: no collection of this recipe uses {self.auxiliary.scheme!r}; they use "
                    + ", ".join(schemes)
                )
        if self.augmentation.excerpt is not None and self.augmentation.excerpt > self.preparation.window:
            raise ValueError(
                f"augmentation.excerpt is {self.augmentation.excerpt} samples; the window has {self.preparation.window}"
            )
        try:
            # Without memory, and before the hours that preparing the data may take.
            with torch.device("meta"):
                create_model(self.model.name, self.preparation.n_channels, len(self.findings), **self.model.config)
        except (ModelError, TypeError) as error:
            raise ValueError(f"model.config: {error}") from error
        return self

    def _refuse_what_single_label_lacks(self) -> None:
        """Raise `ValueError` for what a softmax over the findings has no meaning for."""
        if len(self.findings) < 2:
            raise ValueError(
                f"single_label: one class, {', '.join(self.findings)}, excludes nothing; name two or leave it out"
            )
        options = ("gamma_present", "gamma_absent", "margin")
        if given := [name for name in options if getattr(self.loss, name)]:
            raise ValueError(
                f"loss.{given[0]} is {getattr(self.loss, given[0]):g}; it is of findings that are each present or "
                "absent, and with single_label the loss is the cross entropy of the classes: leave it out"
            )

    def _classes_of_the_task(self) -> None:
        """Take the classes of the task for the findings, unless some of them are chosen."""
        if len(self.collections) > 1:
            raise ValueError(f"task: {self.task} is of one collection; data names {', '.join(self.collections)}")
        try:
            task = named_collection(self.data.train[0].collection).task(str(self.task))
        except DatasetError as error:
            raise ValueError(f"task: {error}") from error
        if "findings" not in self.model_fields_set:
            object.__setattr__(self, "findings", task.names)
        elif strangers := [name for name in self.findings if name not in task.names]:
            raise ValueError(f"findings: task {self.task} has no class {', '.join(strangers)}")

    @property
    def collections(self) -> tuple[str, ...]:
        """Names of the collections that the recipe reads."""
        return tuple(dict.fromkeys(part.collection for part in (*self.data.train, *self.data.validation)))

    def flat(self) -> dict[str, Any]:
        """Every key by its dotted name, as `--set` names it, with its plain value."""
        return dict(_flat(self.model_dump(mode="json")))

    def to_yaml(self) -> str:
        """The whole recipe, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=120)


def _flat(section: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def load_recipe(path: str | Path, **changes: Any) -> Recipe:
    """Read a recipe. `changes` replaces keys, dotted ones by `__` (`optimisation__epochs=3`).

    `extends: FILE` takes everything from another recipe (from this one's folder) that this one does not say: sections
    are merged key by key, lists and values replaced, and so is `model` when it names another network.
    Raises `RecipeError` naming the file and each key that is wrong.
    """
    path = Path(path)
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return validated_recipe(changed(_content(path), dotted, str(path)), str(path))


def changed(content: Mapping[str, Any], changes: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A recipe's content with other values for some keys, as `--set` names them: `optimisation.epochs`.

    Raises `RecipeError` naming `source` where a key leads through a value that has none.
    """
    new = deepcopy(dict(content))
    for key, value in changes.items():
        section = new
        *parents, last = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise RecipeError(f"{source}: {parent}: expected a mapping, found {section!r}")
        section[last] = value
    return new


def validated_recipe(content: Mapping[str, Any], source: str) -> Recipe:
    """The recipe that says this. Raises `RecipeError` naming `source` and each key that is wrong."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = [
            "  "
            + "".join(f"{key}: " for key in [".".join(map(str, problem["loc"]))] if key)
            + problem["msg"].removeprefix("Value error, ")
            + (f" (found {problem['input']!r})" if problem["type"] not in ("missing", "value_error") else "")
            for problem in error.errors()
        ]
        raise RecipeError(f"{source}: not a valid recipe\n" + "\n".join(problems)) from error


def recipes_folder() -> Path:
    """The recipes that come with ecoscale: in a clone they lie beside src, and a wheel carries them."""
    installed = Path(__file__).parents[1] / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "recipes"


def packaged_recipes() -> dict[str, Path]:
    """The recipes that come with ecoscale, such as `ptbxl/benchmark`, by their names."""
    folder = recipes_folder()
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    return {name: path for name, path in found.items() if path.stem != "protocol"}


def packaged_recipe(name: str) -> Path:
    """A recipe that comes with ecoscale, by its name. Raises `RecipeError` naming those there are."""
    recipes = packaged_recipes()
    if name not in recipes:
        raise RecipeError(f"no recipe {name!r} comes with ecoscale; there are {', '.join(recipes)}")
    return recipes[name]


def _content(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe's file says, over what those say that it extends; `above` are the recipes that extend it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not text ({error}); give the path of a recipe (YAML)") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give the path of a recipe (YAML)") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected a mapping with the keys {', '.join(Recipe.model_fields)}")
    extended = content.pop("extends", None)
    if extended is None:
        return content
    if not isinstance(extended, str):
        raise RecipeError(f"{path}: extends: found {extended!r}; expected the path of a recipe, from this one's folder")
    above = (*above, path.resolve())
    below = path.parent / extended
    if below.resolve() in above:
        raise RecipeError(f"{path}: extends: {extended} extends this recipe in turn")
    return _merged(_content(below, above), content)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        another = key == "model" and isinstance(value, dict) and isinstance(under, dict) and "name" in value
        if isinstance(value, dict) and isinstance(under, dict) and not (another and value["name"] != under.get("name")):
            merged[key] = _merged(under, value)
        else:
            merged[key] = value
    return merged
