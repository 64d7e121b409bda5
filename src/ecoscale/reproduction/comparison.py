"""The comparison that the trainings of a folder give, from the arrays that lie in them: nothing is trained here.

Thresholds are F1-optimal for each finding on a run's own validation part, at its best epoch; the test part decides
nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import expit

from ecoscale.complexity import measure_complexity
from ecoscale.datasets import list_collections
from ecoscale.errors import RecipeError
from ecoscale.evaluation import SeedComparison, TrainedOnce, choose_thresholds, compare_over_seeds
from ecoscale.models import create_model
from ecoscale.reproduction.protocol import differing_keys, run_folder
from ecoscale.reproduction.stages import predictions
from ecoscale.training import Run, load_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.complexity import Complexity
    from ecoscale.reproduction.protocol import Protocol
    from ecoscale.training import Recipe

WITHIN = 1.0
"""Percentage points by which a reduction may miss the published one and still be called the same."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as it was trained here. `changed` is what its recipe says otherwise than the protocol's."""

    title: str
    ours: bool
    baseline: bool
    model: str
    parameters: int
    macs: int
    seeds: tuple[int, ...]
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]
    thresholds: tuple[tuple[float, ...], ...]
    changed: dict[str, Any]


@dataclass(frozen=True)
class Reduction:
    """What the network that the claims are of saves against one baseline, both as the protocol has them, in per cent.

    `fits` says whether both changes are the published ones to `WITHIN` a point.
    """

    parameters: float
    flops: float
    fits: bool


@dataclass(frozen=True)
class Comparison:
    """Networks on the test part of a protocol, and on its external test set where they were measured there."""

    protocol: Protocol
    networks: dict[str, TrainedNetwork]
    reductions: dict[str, Reduction]
    test: SeedComparison
    external: SeedComparison | None
    remarks: tuple[str, ...]
    command: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "protocol": self.protocol.model_dump(mode="json", exclude={"folder"}),
            "command": self.command,
            "networks": {name: asdict(network) for name, network in self.networks.items()},
            "reductions": {name: asdict(reduction) for name, reduction in self.reductions.items()},
            "test": self.test.to_dict(),
            "external": None if self.external is None else self.external.to_dict(),
            "remarks": list(self.remarks),
        }


def compare(
    protocol: Protocol,
    folder: Path,
    *,
    models: Iterable[str] | None = None,
    n_resamples: int = 1000,
    command: str = "",
) -> Comparison:
    """Compare the networks of a folder, each with the seeds that have been through the test part.

    Raises `RecipeError` if there is none, if seeds of one network were trained by different recipes, or if runs were
    tested on different records.
    """
    runs = {name: _finished(protocol, folder, name) for name in protocol.choose(models)}
    runs = {name: own for name, own in runs.items() if own}
    if not runs:
        raise RecipeError(f"{folder}: no finished run of {protocol.name}; train first (ecoscale reproduce)")
    networks, remarks = {}, []
    for name, own in runs.items():
        networks[name], more = _trained(protocol, name, own)
        remarks += more
        if networks[name].changed:
            said = ", ".join(f"{key}={value}" for key, value in networks[name].changed.items())
            remarks.append(f"{name} was not trained by the protocol's recipe: {said}")
    lacking = [name for name in protocol.choose(models) if name not in runs]
    if lacking:
        remarks.append(f"not trained here: {', '.join(lacking)}")
    test = _measured(runs, networks, protocol.test, n_resamples)
    external = None
    if protocol.external is not None:
        name = protocol.external.collection
        there = {network: [run for run in own if predictions(run, name).exists()] for network, own in runs.items()}
        if there := {network: own for network, own in there.items() if own}:
            external = _measured(there, networks, name, n_resamples)
            if external.n_records != protocol.external.records:
                title, published = list_collections()[name].title, protocol.external.records
                remarks.append(f"{title}: {external.n_records:,} records measured; {published:,} are published")
    stored = {run.environment["stores"][protocol.collection]["records"] for own in runs.values() for run in own}
    if stored != {protocol.records}:
        counts = ", ".join(f"{count:,}" for count in sorted(stored))
        title = list_collections()[protocol.collection].title
        remarks.append(f"the store holds {counts} records; {title} as published has {protocol.records:,}")
    return Comparison(protocol, networks, _reductions(protocol), test, external, tuple(remarks), command)


def recipe_cost(recipe: Recipe) -> Complexity:
    """Parameters and MACs of a recipe's network on its window, without memory for it."""
    channels, window = recipe.preparation.n_channels, recipe.preparation.window
    with torch.device("meta"):
        network = create_model(recipe.model.name, channels, len(recipe.findings), **recipe.model.config)
    return measure_complexity(network, channels, window)


def _finished(protocol: Protocol, folder: Path, network: str) -> list[Run]:
    """A network's runs that have been through the test part, by seed."""
    seeds = sorted(
        int(path.parent.name.rpartition("-seed")[2])
        for path in run_folder(folder, network, 0).parent.glob(f"{network}-seed*/{protocol.test}.npz")
    )
    return [Run(run_folder(folder, network, seed)) for seed in seeds]


def _trained(protocol: Protocol, name: str, runs: list[Run]) -> tuple[TrainedNetwork, list[str]]:
    recipe, about, remarks = runs[0].recipe, protocol.networks[name], []
    for run in runs[1:]:
        if other := differing_keys(run.recipe, recipe):
            raise RecipeError(
                f"{run.folder}: trained by another recipe than {runs[0].folder} ({', '.join(other)} differ); seeds of "
                "one network must have the same"
            )
    thresholds = []
    for run in runs:
        validation = run.validation
        chosen = choose_thresholds(validation["labels"], expit(validation["logits"]), names=recipe.findings)
        thresholds.append(tuple(chosen.values.tolist()))
        remarks += [f"{run.folder.name}: {warning}" for warning in chosen.warnings]
    cost = recipe_cost(recipe)
    histories = [run.history for run in runs]
    network = TrainedNetwork(
        title=about.title,
        ours=about.ours,
        baseline=about.baseline,
        model=recipe.model.name,
        parameters=cost.parameters,
        macs=cost.macs,
        seeds=tuple(run.recipe.seed for run in runs),
        epochs=tuple(len(history) for history in histories),
        seconds=tuple(sum(row["seconds"] for row in history) for history in histories),
        thresholds=tuple(thresholds),
        changed=differing_keys(recipe, load_recipe(protocol.recipe_path(name))),
    )
    return network, remarks


def _measured(
    runs: Mapping[str, list[Run]],
    networks: Mapping[str, TrainedNetwork],
    name: str,
    n_resamples: int,
) -> SeedComparison:
    """All networks on one set of records."""
    first: dict[str, NDArray] | None = None
    trained: dict[str, list[TrainedOnce]] = defaultdict(list)
    for network, own in runs.items():
        of_seed = dict(zip(networks[network].seeds, networks[network].thresholds, strict=True))
        for run in own:
            with np.load(predictions(run, name), allow_pickle=False) as file:
                arrays = dict(file)
            first = first or arrays
            for what in ("records", "labels"):
                if not np.array_equal(arrays[what], first[what]):
                    raise RecipeError(
                        f"{predictions(run, name)}: {what} differ from those of the first run; train all networks in "
                        "one folder"
                    )
            trained[network].append(TrainedOnce(expit(arrays["logits"].astype(np.float64)), of_seed[run.recipe.seed]))
    assert first is not None
    pairs = [(one, other) for one in runs for other in runs if networks[other].baseline and not networks[one].baseline]
    return compare_over_seeds(
        first["labels"],
        trained,
        pairs,
        first["patients"],
        n_resamples=n_resamples,
        names=next(iter(runs.values()))[0].recipe.findings,
    )


def _reductions(protocol: Protocol) -> dict[str, Reduction]:
    """Of the claims' network against each baseline, at the sizes of the protocol's own recipes."""
    claims = protocol.claims
    own = recipe_cost(load_recipe(protocol.recipe_path(claims.network)))
    found = {}
    for name in protocol.baselines:
        other = recipe_cost(load_recipe(protocol.recipe_path(name)))
        parameters, flops = 100 * (own.parameters / other.parameters - 1), 100 * (own.macs / other.macs - 1)
        near = abs(parameters - claims.parameters) <= WITHIN and abs(flops - claims.flops) <= WITHIN
        found[name] = Reduction(parameters, flops, near)
    return found


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write `comparison.json`, `.csv`, `.md` and `.png` into a folder; the path of the page."""
    from ecoscale.evaluation.plots import save_png
    from ecoscale.reproduction import pages

    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(comparison.to_dict(), indent=1, ensure_ascii=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    (folder / "comparison.csv").write_text(pages.as_csv(comparison), encoding="utf-8")
    save_png(pages.draw(comparison), folder / "comparison.png")
    page = folder / "comparison.md"
    page.write_text(pages.as_markdown(comparison), encoding="utf-8")
    return page
