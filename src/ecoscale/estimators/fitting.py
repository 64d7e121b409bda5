"""Training a network on series and asking it for probabilities; nothing is left on disk."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Sampler

from ecoscale.errors import SeriesError
from ecoscale.models.padding import as_if_alone
from ecoscale.training.optimised import OptimisedModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ecoscale.estimators.series import SeriesSet
    from ecoscale.models import Network
    from ecoscale.training.recipe import Optimisation

PREDICTED_TOGETHER = 256
"""Series that go through the network at a time when it is asked; what it says of one does not depend on the others."""


class SeriesModule(OptimisedModule):
    """Trains a network by cross entropy on batches: series, their lengths (None where there is one), classes."""

    fused = True

    def training_step(self, batch: tuple[Tensor, Tensor | None, Tensor], _batch_index: int) -> Tensor:
        """Mean loss of a batch."""
        signals, lengths, labels = batch
        return cross_entropy(logits(self.network, signals, lengths), labels)


class _Batches(Dataset):
    """Whole batches by the places of their cases."""

    def __init__(self, series: SeriesSet, labels: NDArray[np.int64]) -> None:
        self.series, self.labels = series, labels

    def __getitem__(self, cases: NDArray[np.int64]) -> tuple[Tensor, Tensor | None, Tensor]:
        taken = self.series.take(cases)
        lengths = None if taken.lengths is None else torch.from_numpy(taken.lengths)
        return torch.from_numpy(taken.values), lengths, torch.from_numpy(self.labels[cases])


class _Passes(Sampler):
    """So many passes over the cases, each in a new order, in batches as even as can be and of at least two cases.

    All passes are one epoch to Lightning, whose work between epochs would take longer than that on a few short series.
    """

    def __init__(self, n_cases: int, options: Optimisation, seed: int) -> None:
        self.n_cases, self.n_passes, self.seed = n_cases, options.epochs, seed
        self.n_batches = batches_of_a_pass(n_cases, options.batch_size)

    def __len__(self) -> int:
        return self.n_passes * self.n_batches

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        generator = np.random.default_rng(self.seed)
        for _ in range(self.n_passes):
            yield from np.array_split(generator.permutation(self.n_cases), self.n_batches)


def batches_of_a_pass(n_cases: int, batch_size: int) -> int:
    """Batches of at most so many cases, and of at least two, since batch norm needs more than one value."""
    return max(1, min(-(-n_cases // batch_size), n_cases // 2))


def fit_network(
    network: Network,
    series: SeriesSet,
    labels: NDArray[np.int64],
    options: Optimisation,
    *,
    device: str,
    seed: int,
    progress: bool,
) -> Network:
    """The network after its training on standardised series and the numbers of their classes, on the CPU.

    `device` is "auto" or a device of torch's. Raises `SeriesError` for a device that is not there.
    """
    accelerator, devices = _accelerator(device)
    loader = DataLoader(_Batches(series, labels), sampler=_Passes(len(series), options, seed), batch_size=None)
    with _quietly():
        module = SeriesModule(network, options)
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator=accelerator,
            devices=devices,
            gradient_clip_val=options.gradient_clip,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            num_sanity_val_steps=0,
            barebones=not progress,
        )
        trainer.fit(module, loader)
    return module.evaluated_network.cpu().eval()  # type: ignore[return-value]


def probabilities(network: Network, series: SeriesSet, *, device: str) -> NDArray[np.float64]:
    """`(cases, classes)`; each row sums to one. The network is left as it is."""
    place = _device(device)
    # A network that goes elsewhere would not come back as the same object.
    own = network if place.type == "cpu" else _copied(network, place)
    found = []
    with torch.inference_mode():
        for first in range(0, len(series), PREDICTED_TOGETHER):
            taken = series.take(slice(first, first + PREDICTED_TOGETHER))
            lengths = None if taken.lengths is None else torch.from_numpy(taken.lengths).to(place)
            found.append(logits(own, torch.from_numpy(taken.values).to(place), lengths).cpu().double().softmax(dim=-1))
    return torch.cat(found).numpy()


def logits(network: Network, signals: Tensor, lengths: Tensor | None) -> Tensor:
    """`(batch, classes)`; each series as if it were alone."""
    if lengths is None:
        return network(signals)
    with as_if_alone(lengths):
        return network(signals)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All that torch draws inside comes from `seed`, and what it draws afterwards is as if nothing had been drawn."""
    with torch.random.fork_rng(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        torch.manual_seed(seed)
        yield


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Lightning's remarks on devices and on what it leaves out here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning trips over a deprecation in torch, and over our choice of no workers.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        logger.setLevel(level)


def _device(device: str) -> torch.device:
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SeriesError(f"device {device!r}: {error}; give 'auto', 'cpu' or another device of torch's") from error
    return place


def _accelerator(device: str) -> tuple[str, int | list[int]]:
    """A device in Lightning's terms."""
    place = _device(device)
    if place.type == "cpu":
        return "cpu", 1
    return place.type, 1 if place.index is None else [place.index]


def _copied(network: Network, place: torch.device) -> Network:
    import copy

    return copy.deepcopy(network).to(place)
