"""The data of a run: prepared stores, the parts that the recipe names, and batches in a reproducible order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, class_labels, named_collection, open_collection
from ecoscale.datasets.preparing import prepare_store
from ecoscale.datasets.processes import silent
from ecoscale.datasets.store import is_store, open_store
from ecoscale.errors import RecipeError
from ecoscale.preparation import by_channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ecoscale.datasets.processes import Progress
    from ecoscale.datasets.store import PreparedStore
    from ecoscale.preparation import Preparation
    from ecoscale.training.recipe import Part, Recipe

STATISTICS_ROWS = 1024
REFUSED_SHOWN = 3
"""Records that an error names."""


def standardised(signals: torch.Tensor, preparation: Preparation) -> torch.Tensor:
    """`Preparation.standardise` of a batch of tensors, where they are."""
    return (signals - column_of(preparation.mean, signals)) / column_of(preparation.scale, signals)


def column_of(value: float | tuple[float, ...], signals: torch.Tensor) -> float | torch.Tensor:
    """A preparation's `mean` or `scale` as these signals are computed with: one number, or `(channels, 1)`."""
    column = by_channel(value)
    return torch.from_numpy(column).to(signals) if isinstance(column, np.ndarray) else column


@dataclass(frozen=True)
class Examples:
    """Rows of one store with their labels, and with the targets that take their place in training, if any."""

    collection: str
    store: PreparedStore
    rows: NDArray[np.int64]
    labels: NDArray[np.int8]
    targets: NDArray[np.float32] | None = None

    @property
    def records(self) -> NDArray[np.str_]:
        """Record ids."""
        return self.store.records.index.to_numpy(dtype=str)[self.rows]

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient ids, told apart between collections."""
        return np.char.add(f"{self.collection}:", self.store.records["patient"].to_numpy(dtype=str)[self.rows])


class SignalBatches(Dataset):
    """Batches by lists of positions over several stores: signals in mV `(batch, leads, samples)` and targets.

    A target is a label, or what the examples have in its place; unknown where negative.
    """

    def __init__(self, examples: list[Examples]) -> None:
        self.examples = examples
        self.origin = np.concatenate([np.full(len(part.rows), i) for i, part in enumerate(examples)])
        self.rows = np.concatenate([part.rows for part in examples])
        self.targets = np.concatenate([part.labels if part.targets is None else part.targets for part in examples])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = np.asarray(positions)
        signals = np.empty((len(wanted), *self.examples[0].store.signals.shape[1:]), dtype=np.float32)
        for i, part in enumerate(self.examples):
            here = np.flatnonzero(self.origin[wanted] == i)
            signals[here] = part.store.read(self.rows[wanted[here]])
        return torch.from_numpy(signals), torch.from_numpy(self.targets[wanted])


class EpochBatches(Sampler):
    """Lists of positions; shuffled by seed and epoch alone, so that a resumed run sees what an undisturbed one does.

    `batch_size` is of the whole batch. Where several processes share it, each takes the part of every batch that falls
    to its `rank`: together they see the batches that one process would, each exam once. There are a multiple of
    `accumulate` batches, so that every step is of as many. Raises `RecipeError` where a part would be empty.
    """

    def __init__(
        self, n_examples: int, batch_size: int, seed: int | None, accumulate: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        self.n_examples, self.batch_size, self.seed = n_examples, batch_size, seed
        self.rank, self.processes = rank, processes
        self.n_batches = accumulate * -(-n_examples // (accumulate * batch_size))
        self.epoch = 0
        if n_examples // self.n_batches < processes:
            raise RecipeError(
                f"optimisation: {n_examples} exams in {self.n_batches} batches (batch_size {batch_size}, accumulate "
                f"{accumulate}) leave one of {processes} processes without any; choose a larger batch_size, a smaller "
                "accumulate, or fewer devices"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(self.n_examples)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        for batch in np.array_split(order, len(self)):
            yield np.array_split(batch, self.processes)[self.rank].tolist()


class ECGData(lightning.LightningDataModule):
    """Opens the collections, prepares their stores and serves the recipe's parts."""

    def __init__(
        self, recipe: Recipe, directories: Mapping[str, Path], stores: Path, progress: Progress = silent
    ) -> None:
        super().__init__()
        self.recipe = recipe
        if missing := [name for name in recipe.collections if name not in directories]:
            raise RecipeError(
                f"recipe {recipe.name} reads {', '.join(missing)}; say where it lies: "
                + " ".join(f"--data {name}=DIRECTORY" for name in missing)
            )
        self.stores = {
            name: self._store(name, Path(directories[name]), stores, progress) for name in recipe.collections
        }
        self.training = [self._part(part) for part in recipe.data.train]
        self.validation = [self._part(part) for part in recipe.data.validation]
        self._refuse_shared_patients()
        self._refuse_unmeasurable_validation()

    def _store(self, name: str, directory: Path, stores: Path, progress: Progress) -> PreparedStore:
        """The store of a collection, made under `stores` unless `directory` is one itself."""
        if not is_store(directory):
            return prepare_store(open_collection(directory, name), self.recipe.preparation, stores, progress=progress)
        store = open_store(directory)
        if store.manifest.collection != name:
            raise RecipeError(f"{directory}: a store of {store.manifest.collection}; the recipe reads {name}")
        differing = store.preparation.differences(self.recipe.preparation)
        if wrong := [f"{key} {made} (the recipe: {asked})" for key, (made, asked) in differing.items()]:
            raise RecipeError(
                f"{directory}: prepared with {', '.join(wrong)}; prepare another store from this recipe (ecoscale "
                "prepare --recipe), or give the collection's own folder"
            )
        return store

    def _part(self, part: Part) -> Examples:
        store = self.stores[part.collection]
        records = store.records
        rows = np.flatnonzero(part.rows(records))
        if not len(rows):
            raise RecipeError(f"data: {part.model_dump(exclude_none=True)} selects no record of {store.path}")
        labels = store.labels(self.recipe.findings, self.recipe.task)[rows]
        if self.recipe.single_label:
            labels = self._exclusive(labels, records.index.to_numpy(dtype=str)[rows], store)
        return Examples(part.collection, store, rows, np.hstack((labels, self._auxiliary_labels(store)[rows])))

    def _exclusive(self, labels: NDArray[np.int8], records: NDArray[np.str_], store: PreparedStore) -> NDArray[np.int8]:
        """The labels of classes that exclude each other. Raises `RecipeError` naming records that they do not fit."""
        found = class_labels(labels)
        for rows, what in ((found.several, "more than one"), (found.none, "none")):
            if len(rows):
                named = [f"{records[row]} ({self._classes_of(labels[row])})" for row in rows[:REFUSED_SHOWN]]
                more = f" and {len(rows) - REFUSED_SHOWN:,} more" if len(rows) > REFUSED_SHOWN else ""
                raise RecipeError(
                    f"single_label: {len(rows):,} of {len(labels):,} records of {store.path} have {what} of the "
                    f"classes {', '.join(self.recipe.findings)}: {', '.join(named)}{more}. Each record must have one, "
                    "or unknown ones; leave these records out of the part (data: split), "
                    + ("or train without single_label" if rows is found.several else "or add a class that they have")
                )
        return found.labels

    def _classes_of(self, row: NDArray[np.int8]) -> str:
        return " and ".join(np.array(self.recipe.findings)[row == PRESENT]) or "none"

    def _auxiliary_labels(self, store: PreparedStore) -> NDArray[np.int8]:
        """Labels `(records, codes)` of the recipe's auxiliary codes; unknown where the coding scheme is another."""
        auxiliary = self.recipe.auxiliary
        if auxiliary is None:
            return np.empty((len(store), 0), dtype=np.int8)
        if auxiliary.scheme != named_collection(store.manifest.collection).scheme:
            return np.full((len(store), len(auxiliary.codes)), UNKNOWN, dtype=np.int8)
        return np.array([[code in own for code in auxiliary.codes] for own in store.codes], dtype=np.int8)

    def _refuse_shared_patients(self) -> None:
        training = {patient for part in self.training for patient in part.patients}
        validation = {patient for part in self.validation for patient in part.patients}
        if shared := sorted(training & validation):
            raise RecipeError(f"data: {len(shared)} patients are in training and validation, {shared[0]} among them")

    def _refuse_unmeasurable_validation(self) -> None:
        labels = self.validation_labels
        if not ((labels == PRESENT).any(axis=0) & (labels == ABSENT).any(axis=0)).any():
            raise RecipeError(
                f"data.validation: none of {', '.join(self.recipe.findings)} has both positives and negatives among "
                f"its {len(labels)} records, so no epoch could be called better than another; choose other records"
            )

    @property
    def validation_labels(self) -> NDArray[np.int8]:
        """Labels `(records, findings)` of the validation part, without auxiliary codes."""
        return np.concatenate([part.labels for part in self.validation])[:, : len(self.recipe.findings)]

    @property
    def training_labels(self) -> NDArray[np.int8]:
        """Labels `(records, findings)` of the training part, without auxiliary codes."""
        return np.concatenate([part.labels for part in self.training])[:, : len(self.recipe.findings)]

    def statistics(self) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
        """Mean and standard deviation of the training signals, in their units, as a preparation's `mean` and `scale`.

        Over all records and samples of the channels of one unit, whose sizes tell something beside each other; so one
        number of each where all channels have one unit, else one a channel.
        """
        units = self.recipe.preparation.units
        of_unit = {unit: self._statistics([own == unit for own in units]) for unit in units}
        mean, scale = ({unit: found[which] for unit, found in of_unit.items()} for which in (0, 1))
        if len(of_unit) == 1:
            return mean[units[0]], scale[units[0]]
        return tuple([mean[unit] for unit in units]), tuple([scale[unit] for unit in units])

    def _statistics(self, chosen: list[bool]) -> tuple[float, float]:
        """Mean and standard deviation of some channels; 1 for that of a constant, which nothing can be divided by."""
        count, total, squares = 0, 0.0, 0.0
        for part in self.training:
            for rows in np.array_split(part.rows, -(-len(part.rows) // STATISTICS_ROWS)):
                signals = part.store.read(rows)[:, chosen].astype(np.float64)
                count, total, squares = count + signals.size, total + signals.sum(), squares + (signals**2).sum()
        mean = total / count
        deviation = float(np.sqrt(max(0.0, squares / count - mean**2)))
        return float(mean), deviation or 1.0

    def train_dataloader(self) -> DataLoader:
        """Training batches in the epoch's order."""
        return self._loader(self.training, self.recipe.seed, self.recipe.optimisation.accumulate)

    def val_dataloader(self) -> DataLoader:
        """Validation batches in order."""
        return self._loader(self.validation, None)

    def _loader(self, examples: list[Examples], seed: int | None, accumulate: int = 1) -> DataLoader:
        batches = SignalBatches(examples)
        share = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        sampler = EpochBatches(len(batches), self.recipe.optimisation.batch_size, seed, accumulate, *share)
        # Batches are gathered from a memory map in a few hundred microseconds; worker processes would cost more.
        # A loader draws a number whenever it begins: before an epoch is seeded in the first after a resumption, after
        # it in all others. With a generator of its own, it takes none from the stream that dropout draws from.
        return DataLoader(batches, sampler=sampler, batch_size=None, num_workers=0, generator=torch.Generator())
