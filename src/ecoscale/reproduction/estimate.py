"""What a reproduction would take on this machine: a few steps of every network on synthetic batches, no training."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ecoscale.complexity import measure_training_peak
from ecoscale.datasets import list_collections
from ecoscale.models import create_model
from ecoscale.reproduction.comparison import recipe_cost
from ecoscale.training.module import masked_loss
from ecoscale.training.prediction import accelerator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ecoscale.reproduction.protocol import Plan
    from ecoscale.training import Recipe

STORED_BYTES = np.dtype(np.int16).itemsize
"""Of one sample of one lead in a prepared store."""

CHECKPOINT_COPIES = 4
"""Copies of the weights in a run's checkpoints: the best epoch's, the last one's, and Adam's two moments."""

FLOPS_OF_TRAINING = 6
"""FLOPs of training for each MAC of a forward pass: two a MAC, and twice as many again to go backwards."""


@dataclass(frozen=True)
class NetworkEstimate:
    """One network on this machine.

    `trained` and `predicted` are records a second, measured with `batch_size` records at once (fewer than the recipe's
    `recipe_batch_size` where a step of those would last too long to be tried). `memory` is of one training step at the
    recipe's batch size, in bytes, counted and not measured (`measure_training_peak`). `checkpoints` are bytes on disk.
    """

    name: str
    parameters: int
    macs: int
    epochs: int
    recipe_batch_size: int
    batch_size: int
    trained: float
    predicted: float
    memory: int
    checkpoints: int
    flops_a_seed: float
    seconds_a_seed: float


@dataclass(frozen=True)
class Estimate:
    """All networks with all seeds, at the size of the whole collection, one after the other on this machine."""

    networks: tuple[NetworkEstimate, ...]
    seeds: int
    records: dict[str, int]
    store: int
    collection: int | None
    device: str
    threads: int

    @property
    def seconds(self) -> float:
        """Of all trainings and predictions."""
        return self.seeds * sum(network.seconds_a_seed for network in self.networks)

    @property
    def checkpoints(self) -> int:
        """Bytes of all runs' checkpoints."""
        return self.seeds * sum(network.checkpoints for network in self.networks)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"seconds": self.seconds, "checkpoints": self.checkpoints}


def estimate(
    plan: Plan, *, seconds: float = 5.0, progress: Callable[[Iterable[str], str, int], Iterable[str]] | None = None
) -> Estimate:
    """Measure each network of a plan for about `seconds`, and at least one step of one record.

    Batches are of noise: what a convolution takes does not depend on the signal. Reading the store is left out, since
    it is many times as fast as any of the networks (docs/data.md); so is preparing it.
    """
    protocol, preparation = plan.protocol, plan.preparation
    records = {part: round(share * protocol.records) for part, share in protocol.split.shares.items()}
    names = list(plan.recipes) if progress is None else progress(plan.recipes, "measuring", len(plan.recipes))
    archive = list_collections()[protocol.collection].archive
    return Estimate(
        networks=tuple(_estimate(name, plan.recipes[name], records, protocol.test, seconds) for name in names),
        seeds=len(plan.seeds),
        records=records,
        store=protocol.records * preparation.n_channels * preparation.window * STORED_BYTES,
        collection=None if archive is None else archive.unpacked,
        device=_device_name(),
        threads=torch.get_num_threads(),
    )


def _estimate(name: str, recipe: Recipe, records: dict[str, int], test: str, seconds: float) -> NetworkEstimate:
    preparation, optimisation, cost = recipe.preparation, recipe.optimisation, recipe_cost(recipe)
    network = create_model(recipe.model.name, preparation.n_channels, len(recipe.findings), **recipe.model.config)
    batch_size, trained = _training_rate(network, recipe, seconds)
    predicted = _prediction_rate(network, recipe, batch_size, seconds)
    seen = {part.part: records[str(part.part)] for part in (*recipe.data.train, *recipe.data.validation)}
    training = sum(seen[part.part] for part in recipe.data.train)
    validation = sum(seen[part.part] for part in recipe.data.validation)
    return NetworkEstimate(
        name=name,
        parameters=cost.parameters,
        macs=cost.macs,
        epochs=optimisation.epochs,
        recipe_batch_size=optimisation.batch_size,
        batch_size=batch_size,
        trained=trained,
        predicted=predicted,
        memory=measure_training_peak(network, preparation.n_channels, preparation.window, optimisation.batch_size),
        checkpoints=CHECKPOINT_COPIES * 4 * cost.stored,
        flops_a_seed=FLOPS_OF_TRAINING * cost.macs * training * optimisation.epochs,
        seconds_a_seed=optimisation.epochs * (training / trained + validation / predicted) + records[test] / predicted,
    )


def _training_rate(network: nn.Module, recipe: Recipe, seconds: float) -> tuple[int, float]:
    """The batch size that was tried last, doubled from 1 while there is time, and records a second with it."""
    device, optimisation = accelerator(), recipe.optimisation
    network = network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=optimisation.learning_rate)
    labels = torch.zeros(optimisation.batch_size, len(recipe.findings), dtype=torch.int8, device=device)

    def step(signals: torch.Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=optimisation.precision == "bf16"):
            logits = network(signals)
        masked_loss(logits.float(), labels[: len(signals)]).backward()
        if optimisation.gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), optimisation.gradient_clip)
        optimiser.step()
        optimiser.zero_grad()

    size, spent, found = 1, 0.0, (1, 0.0)
    while True:
        try:
            took = _seconds(step, _signals(recipe, size, device), seconds - spent)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            return found
        spent, found = spent + took[1], (size, size / took[0])
        larger = min(2 * size, optimisation.batch_size)
        # A first and a timed step of the next size must still have room.
        if larger == size or spent + 2 * took[0] * larger / size > seconds:
            return found
        size = larger


def _prediction_rate(network: nn.Module, recipe: Recipe, batch_size: int, seconds: float) -> float:
    network.eval()
    with torch.inference_mode():
        took, _ = _seconds(network, _signals(recipe, batch_size, accelerator()), seconds / 2)
    return batch_size / took


def _signals(recipe: Recipe, size: int, device: torch.device) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (size, recipe.preparation.n_channels, recipe.preparation.window)
    return torch.randn(shape, generator=generator).to(device)


def _seconds(step: Callable[[torch.Tensor], Any], signals: torch.Tensor, left: float) -> tuple[float, float]:
    """Median seconds of a step, and the seconds that finding out took.

    The first step, which also warms up, counts only where there is no time for another.
    """
    # With one thread the processor's time, which other work on the machine does not change.
    alone = signals.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    began, times = clock(), []
    for number in itertools.count():
        start = clock()
        step(signals)
        if signals.device.type != "cpu":
            torch.accelerator.synchronize()
        times.append(clock() - start)
        if number == 5 or clock() - began + times[-1] > left:
            break
    return float(np.median(times[1:] or times)), clock() - began


def _device_name() -> str:
    """The accelerator by its name, or the processor."""
    device = accelerator()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
