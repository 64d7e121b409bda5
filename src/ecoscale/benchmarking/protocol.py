"""What a benchmark asks: tasks, folds, recipes, and what was published on it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ecoscale.datasets import named_collection
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.models import list_models
from ecoscale.training.recipe import load_recipe, packaged_recipe, packaged_recipes

if TYPE_CHECKING:
    from collections.abc import Collection as Numbers
    from collections.abc import Mapping

    from ecoscale.training import Recipe


Aggregate = Literal["whole", "mean", "max"]
"""How a record's probabilities come about: from all of it at once, or from windows that overlap by half."""

Epoch = Literal["best", "last"]
"""Which epoch is measured: the best on the validation fold, or the last."""


@dataclass(frozen=True)
class Published:
    """One published figure; `uncertainty` as its authors write it, `network` ours of the same body, if there is one."""

    task: str
    model: str
    macro_auroc: float
    uncertainty: float
    network: str | None
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark of one collection, whose recipes are those that come with ecoscale under `name`.

    - `tasks`: those that were published, of the collection's `tasks`.
    - `train`, `validation`, `test`: the publisher's folds.
    - `uncertainty`: what the published uncertainties are.
    """

    name: str
    title: str
    source: str
    tasks: tuple[str, ...]
    train: tuple[int, ...]
    validation: int
    test: int
    uncertainty: str

    @cached_property
    def published(self) -> tuple[Published, ...]:
        """Its figures, in the order of the source."""
        table = files("ecoscale.benchmarking").joinpath(f"{self.name}_published.csv").read_text(encoding="utf-8")
        return tuple(
            Published(
                row["task"],
                row["model"],
                float(row["macro_auroc"]),
                float(row["uncertainty"]),
                row["network"] or None,
                row["source"],
            )
            for row in csv.DictReader(table.splitlines())
        )


BENCHMARKS: dict[str, Benchmark] = {
    "ptbxl": Benchmark(
        name="ptbxl",
        title="PTB-XL benchmark",
        source="Strodthoff et al. 2021, https://doi.org/10.1109/JBHI.2020.3022989",
        tasks=("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"),
        train=(1, 2, 3, 4, 5, 6, 7, 8),
        validation=9,
        test=10,
        uncertainty="the larger distance to the 5 % and 95 % quantiles of 100 resamples of the test records",
    )
}
"""The benchmarks by the name of their collection."""


def named_benchmark(name: str) -> Benchmark:
    """A benchmark. Raises `DatasetError` naming those there are."""
    if name not in BENCHMARKS:
        raise DatasetError(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


@dataclass(frozen=True)
class Folds:
    """The publisher's folds that are trained on, chosen on and reported on."""

    train: tuple[int, ...]
    validation: int
    test: int

    def remark(self, epoch: Epoch) -> str:
        """What a reader of the figures must know of them."""
        told = f"Trained on folds {', '.join(map(str, self.train))}; reported on fold {self.test}."
        if self.test != self.validation:
            chosen = "The epoch and the" if epoch == "best" else "The last epoch was taken; the"
            return f"{told} {chosen} thresholds were chosen on fold {self.validation}."
        if epoch == "last":
            return (
                f"{told} The last epoch was taken; the thresholds were chosen on this same fold, so F1 is optimistic."
            )
        return (
            f"{told} The epoch was chosen on this same fold, and so were the thresholds: these figures are optimistic, "
            "F1 most."
        )


def choose_folds(
    benchmark: Benchmark, there: Numbers[int], validation: int | None = None, test: int | None = None
) -> Folds:
    """The benchmark's folds, or those asked for, where they are `there`.

    By default the published ones; where the published test fold is missing, figures are of its validation fold. What
    is neither is trained on, of the published training folds. Raises `DatasetError` for a fold that is not there.
    """
    validation = benchmark.validation if validation is None else validation
    if test is None:
        test = benchmark.test if benchmark.test in there else benchmark.validation
    for what, fold in (("validation", validation), ("test", test)):
        if fold not in there:
            raise DatasetError(
                f"{benchmark.title}: the {what} fold {fold} is not in this folder; its folds are "
                f"{', '.join(map(str, sorted(there)))}; choose others (--validation-fold, --test-fold)"
            )
    return Folds(tuple(fold for fold in benchmark.train if fold not in (validation, test)), validation, test)


def recipe_for(
    benchmark: Benchmark, task: str, model: str, seed: int, folds: Folds, changes: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe of one training of the benchmark.

    `model` is a registered network, trained as the recipe `benchmark` says; a recipe of the benchmark's own, which
    goes before a network of its name; or the path of one. Task, folds, seed and name are set here, and `changes` (as
    `load_recipe` takes them) after that. Raises `DatasetError` for an unknown task and `RecipeError` for the rest.
    """
    named_collection(benchmark.name).task(task)
    own = f"{benchmark.name}/{model}"
    settings: dict[str, Any] = {}
    if Path(model).suffix in (".yaml", ".yml"):
        path = Path(model)
    elif own in packaged_recipes():
        path = packaged_recipe(own)
    elif model in list_models():
        path = packaged_recipe(f"{benchmark.name}/benchmark")
        settings["model"] = {"name": model}
    else:
        prefix = f"{benchmark.name}/"
        recipes = [name.removeprefix(prefix) for name in packaged_recipes() if name.startswith(prefix)]
        raise RecipeError(
            f"no model {model!r}: neither a recipe's file (YAML), nor one of the benchmark's recipes "
            f"({', '.join(recipes)}), nor a network ({', '.join(list_models())})"
        )
    settings |= {
        "name": f"{benchmark.name}-{task}-{model_label(model)}-{seed}",
        "task": task,
        "seed": seed,
        "data": {
            "train": [{"collection": benchmark.name, "folds": list(folds.train)}],
            "validation": [{"collection": benchmark.name, "folds": [folds.validation]}],
        },
    }
    recipe = load_recipe(path, **settings, **(changes or {}))
    if recipe.single_label:
        raise RecipeError(
            f"{path}: single_label; the classes of {benchmark.name}'s published tasks may come together, and figures "
            "of another question cannot stand beside the published ones: leave it out"
        )
    return recipe


def model_label(model: str) -> str:
    """What a model is called in tables and folders: its name, or that of its recipe's file."""
    return Path(model).stem if Path(model).suffix in (".yaml", ".yml") else model
