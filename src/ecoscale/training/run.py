"""A training run: its folder, its checkpoints, its history; begun, resumed and finished here.

A run folder holds `recipe.yaml` (in full), `environment.json`, `preparation.json` (with the scale of the training
data), `split.csv` (every record and its part), `history.csv` (one row an epoch), `validation.npz` (the best epoch's
logits with labels, records and patients), `checkpoints/`, `resources.json` (time and memory), `teaching.npz` (what the
teachers said, where there are any), and `logs/` for TensorBoard and CSV.
"""

from __future__ import annotations

import csv
import functools
import json
import logging
import signal
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Literal

import lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, LearningRateMonitor, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.layer_sync import LayerSync, TorchSyncBatchNorm

from ecoscale.datasets.processes import silent
from ecoscale.datasets.remote import local_folder
from ecoscale.datasets.store import is_store
from ecoscale.errors import RecipeError
from ecoscale.preparation import Preparation
from ecoscale.training.batch_norm import ShareBatchNorm
from ecoscale.training.data import ECGData
from ecoscale.training.distillation import teach
from ecoscale.training.distributed import Processes, launch, this_process
from ecoscale.training.environment import describe_environment
from ecoscale.training.losses import class_weights, single_label_weights
from ecoscale.training.module import TrainingModule
from ecoscale.training.pretrained import open_pretrained
from ecoscale.training.recipe import Recipe
from ecoscale.training.resources import LoaderClock, Resources, refuse_what_the_machine_lacks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecoscale.datasets.processes import Progress
    from ecoscale.training.distributed import Accelerator
    from ecoscale.training.pretrained import Pretrained

MONITORED = "val_macro_auroc"
_BEST, _LAST = "best.ckpt", "last.ckpt"
_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Run:
    """A run folder, finished or not."""

    folder: Path

    @property
    def recipe(self) -> Recipe:
        """The recipe in full."""
        return Recipe.model_validate(yaml.safe_load(self._text("recipe.yaml")))

    @property
    def preparation(self) -> Preparation:
        """The preparation with the training data's scale."""
        return Preparation.model_validate_json(self._text("preparation.json"))

    @property
    def environment(self) -> dict:
        """Versions, revision, command, processor and collections of the run."""
        return json.loads(self._text("environment.json"))

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch; empty before the first has ended."""
        path = self.folder / "history.csv"
        if not path.exists():
            return []
        with path.open(newline="") as stream:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]

    @property
    def resources(self) -> dict:
        """Time and memory since the training began or was resumed (`Resources`); empty before an epoch has ended."""
        path = self.folder / "resources.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def validation(self) -> dict[str, np.ndarray]:
        """`logits`, `labels`, `records`, `patients`, `collections` of the validation part at the best epoch."""
        path = self.folder / "validation.npz"
        if not path.exists():
            raise RecipeError(f"{path}: not there yet; no epoch of this run has ended")
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    @property
    def finished(self) -> bool:
        """Whether its epochs are done, or its patience is exhausted."""
        history, options = self.history, self.recipe.optimisation
        if not history or len(history) >= options.epochs:
            return bool(history)
        scores = [row[MONITORED] for row in history]
        return options.patience is not None and len(scores) - 1 - int(np.argmax(scores)) >= options.patience

    @property
    def validated_on(self) -> str | None:
        """In words, what `validation` is of, where that is not the recipe's validation part."""
        return None

    @property
    def last_checkpoint(self) -> Path | None:
        """Where to go on from."""
        path = self.folder / "checkpoints" / _LAST
        return path if path.exists() else None

    def load_network(self, epoch: Literal["best", "last"] = "best") -> torch.nn.Module:
        """The network of the best epoch (or the last that ended), in evaluation mode."""
        path = self.folder / "checkpoints" / (_BEST if epoch == "best" else _LAST)
        if not path.exists():
            raise RecipeError(f"{path}: not there; train the recipe first (ecoscale train)")
        module = TrainingModule(self.recipe, self.preparation)
        # Only tensors and plain values are loaded: a checkpoint from elsewhere must not run code.
        try:
            module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
        except (RuntimeError, EOFError, KeyError, UnpicklingError) as error:
            raise RecipeError(f"{path}: not the weights of this run's network ({error}); train it again") from error
        return module.shipped_network()

    def _text(self, name: str) -> str:
        path = self.folder / name
        if not path.exists():
            raise RecipeError(f"{path}: not found; {self.folder} is not the folder of a training run")
        return path.read_text()


def train(
    recipe: Recipe,
    directories: Mapping[str, str | Path],
    folder: Path,
    *,
    stores: Path | None = None,
    cache: Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
    show_progress: bool = True,
    devices: int = 1,
    nodes: int = 1,
    accelerator: Accelerator = "auto",
) -> Run:
    """Train a recipe into `folder`, or go on with the run that is there (`resume`).

    `directories` says where each collection, or its prepared store, lies: a folder, or a URL. What lies at a URL is
    copied once to each machine, into `cache` (`ecoscale.storage.local_copy`). `stores` holds the prepared signals
    (default: `stores` beside the run). Checkpoints are written at the end of every epoch; all randomness is drawn from
    the seed and the epoch, so that a run that was killed and resumed has the same history as an undisturbed one on the
    same processor.

    With several `devices` (of each of so many `nodes`), as many processes share every batch. torchrun or SLURM start
    them; where neither did, this process runs the command that it was started with once for each device, and waits.

    Raises `RecipeError` if the folder holds another run, or nothing to resume, or the machine lacks what is asked for;
    `RunError` if a process of the run has ended early.
    """
    run = Run(folder)
    process = this_process(devices, nodes)
    if process is None:
        refuse_another_run(run, recipe, resume)
        refuse_what_the_machine_lacks(recipe.optimisation, accelerator, devices)
        launch(devices)
        return run
    # Lightning's remarks on devices, restored paths and its other products; its warnings stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(recipe.seed, verbose=False)

    @functools.cache
    def at_hand() -> dict[str, Path]:
        return {name: _at_hand(name, place, cache, nodes, progress) for name, place in directories.items()}

    with process.first_before_others(meanwhile=at_hand):
        if process.first:
            refuse_another_run(run, recipe, resume)
            refuse_what_the_machine_lacks(recipe.optimisation, accelerator, devices)
        # Before the minutes that preparing the data may take.
        fresh = run.last_checkpoint is None
        begins = open_pretrained(recipe.model.pretrained) if fresh and recipe.model.pretrained is not None else None
        data = ECGData(recipe, at_hand(), stores or folder.parent / "stores", progress)
        started = resume or not process.first
        preparation = run.preparation if started else recipe.preparation
        if not started and (begins is None or begins.preparation is None):
            mean, scale = (_rounded(value, preparation) for value in data.statistics())
            preparation = preparation.model_copy(update={"mean": mean, "scale": scale})
        cap = recipe.loss.largest_class_weight
        weigh = single_label_weights if recipe.single_label else class_weights
        module = TrainingModule(recipe, preparation, None if cap is None else weigh(data.training_labels, cap))
        if begins is not None:
            module.begin_from(begins)
        if not started:
            _write_start(folder, recipe, preparation, data, process, begins)
        if recipe.distillation is not None:
            teachers = [Run(path) for path in recipe.distillation.teachers]
            data.training = teach(recipe, teachers, data.training, folder / "teaching.npz", progress)
    if recipe.optimisation.compile:
        # In place, so that the names of the weights stay.
        module.network.compile()
    clock = LoaderClock()
    callbacks: list[Callback] = [
        History(folder / "history.csv"),
        LearningRateMonitor("epoch"),
        Resources(folder / "resources.json", clock, process.number),
        BestAndLast(folder, data),
        SigtermAsBefore(),
    ]
    if recipe.optimisation.patience is not None:
        callbacks.append(Patience(recipe.optimisation.patience))
    if show_progress:
        callbacks.append(RichProgressBar())
    trainer = lightning.Trainer(
        max_epochs=recipe.optimisation.epochs,
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=process.strategy(),
        use_distributed_sampler=False,  # `EpochBatches` deals
        plugins=None if process.environment is None else [_batch_norm(accelerator)],
        callbacks=callbacks,
        logger=[
            TensorBoardLogger(folder / "logs", name="tensorboard", version="", default_hp_metric=False),
            CSVLogger(folder / "logs", name="csv"),
        ],
        precision=_PRECISIONS[recipe.optimisation.precision],
        accumulate_grad_batches=recipe.optimisation.accumulate,
        gradient_clip_val=recipe.optimisation.gradient_clip,
        enable_progress_bar=show_progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by the step; more than an epoch has steps draws a warning
        profiler=clock,
    )
    with warnings.catch_warnings(), process.ended_together():
        # Lightning trips over a deprecation in torch, and over our choice of no workers (`ECGData`).
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Only tensors and plain values are loaded here too.
        trainer.fit(module, datamodule=data, ckpt_path=run.last_checkpoint if resume else None, weights_only=True)
    return run


def _at_hand(name: str, place: str | Path, cache: Path | None, nodes: int, progress: Progress) -> Path:
    """The folder of a collection or a store on this machine."""
    folder = local_folder(place, cache, progress)
    if nodes > 1 and folder != Path(place) and not is_store(folder):
        # Each machine's copy lies elsewhere, and a store depends on where its collection lies.
        raise RecipeError(
            f"{place}: several machines train on a prepared store; make one first: ecoscale prepare {name} {place} "
            "--out URL"
        )
    return folder


def _rounded(value: float | tuple[float, ...], preparation: Preparation) -> float | tuple[float, ...]:
    """As it is stored: to a millionth of a millivolt, or to seven digits of another unit, which may be of any size."""
    if isinstance(value, tuple):
        return tuple([float(f"{each:.7g}") for each in value])
    return round(value, 6) if preparation.is_ecg else float(f"{value:.7g}")


def refuse_another_run(run: Run, recipe: Recipe, resume: bool) -> None:
    """Raise `RecipeError` where a folder holds a run that is not to be gone on with, or none that is."""
    folder = run.folder
    started = (folder / "recipe.yaml").exists()
    if started and not resume:
        raise RecipeError(f"{folder}: holds a run already; go on with it (--resume) or choose another folder (--out)")
    if resume and not started:
        raise RecipeError(f"{folder}: no run to resume here; start it without --resume")
    if resume and run.recipe.model_dump(mode="json") != recipe.model_dump(mode="json"):
        raise RecipeError(f"{folder}: its recipe differs from the one given; resume it without changes, or start anew")


def _batch_norm(accelerator: Accelerator) -> LayerSync:
    """Batch norm over all processes' parts of a batch."""
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return TorchSyncBatchNorm() if on_gpu else ShareBatchNorm()


def _write_start(
    folder: Path,
    recipe: Recipe,
    preparation: Preparation,
    data: ECGData,
    process: Processes,
    begins: Pretrained | None,
) -> None:
    """Write what is known before the first epoch; the recipe last, since its presence says that a run has begun."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preparation.json").write_text(preparation.model_dump_json(indent=1))
    environment = describe_environment() | {
        "processes": process.number,
        "stores": {
            name: {
                "collection": store.manifest.title,
                "records": len(store),
                "unreadable": store.manifest.unreadable,
                "digest": store.manifest.records_digest,
            }
            for name, store in data.stores.items()
        },
    }
    if begins is not None:
        environment["pretrained"] = begins.to_dict()
    (folder / "environment.json").write_text(json.dumps(environment, indent=1))
    with (folder / "split.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("part", "collection", "record", "patient"))
        for part, members in (("train", data.training), ("validation", data.validation)):
            for examples in members:
                rows = zip(examples.records, examples.patients, strict=True)
                writer.writerows((part, examples.collection, record, patient) for record, patient in rows)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())


def rank_of(epoch: Mapping[str, float]) -> tuple[float, float]:
    """By which the best epoch is the greatest: the score, and of equal ones the lower loss.

    Where classes are easily told apart or few records choose, an epoch that hardly knows them may rank them as well as
    the last, but not give them their probabilities.
    """
    return epoch[MONITORED], -epoch["val_loss"]


class History(Callback):
    """One row an epoch in a CSV file. Rows travel in the checkpoint, so that a resumed run goes on with them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._began = 0.0

    def state_dict(self) -> dict:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up the rows of the checkpoint."""
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, *_: object, **__: object) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the epoch's row. The file is replaced whole, so that it is never half written."""
        names = ["train_loss", "val_loss", MONITORED, *({"val_accuracy"} & trainer.callback_metrics.keys())]
        scores = {name: float(trainer.callback_metrics[name]) for name in names}
        self.rows.append({"epoch": pl_module.current_epoch, **scores, "seconds": time.perf_counter() - self._began})
        if not trainer.is_global_zero:
            return
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.rows[0].keys())
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


class Patience(EarlyStopping):
    """Stops when the score has not risen for some epochs; a run that had stopped stays so when it is resumed."""

    def __init__(self, epochs: int) -> None:
        super().__init__(MONITORED, mode="max", patience=epochs, check_on_train_epoch_end=True)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop at once where patience was exhausted before: Lightning forgets it with the trainer."""
        super().on_train_start(trainer, pl_module)
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class SigtermAsBefore(Callback):
    """Leaves SIGTERM what it was before the training: asked to end, a process ends at once, and not with status 0.

    Lightning's handler ends it after the batch, as if it had succeeded; with several processes it also sends a message
    of its own to the others, out of turn. A run has nothing to save between epochs.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: object, **__: object) -> None:
        """Put the handler back that Lightning has just replaced."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)


class BestAndLast(Checkpoint):
    """Keeps the best epoch's weights with its validation logits, from which thresholds are chosen; and the last state.

    One rule for both, so that they are of the same epoch; its state names no path, so that a run's folder may be moved.
    """

    def __init__(self, folder: Path, data: ECGData) -> None:
        self.folder = folder
        self.best = (-np.inf, -np.inf)
        self.about = {
            "labels": data.validation_labels,
            "records": np.concatenate([part.records for part in data.validation]),
            "patients": np.concatenate([part.patients for part in data.validation]),
            "collections": np.concatenate([np.full(len(part.rows), part.collection) for part in data.validation]),
        }

    def state_dict(self) -> dict:
        """The rank of the best epoch so far."""
        return {"best": self.best[0], "best_loss": -self.best[1]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up the rank of the best epoch; checkpoints from before losses counted hold none."""
        self.best = (state_dict["best"], -state_dict.get("best_loss", -np.inf))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write what this epoch calls for. Lightning puts checkpoints last, after the history's row."""
        if not isinstance(pl_module, TrainingModule) or pl_module.validation_logits is None:
            raise TypeError("BestAndLast follows a TrainingModule that has been validated")
        rank = rank_of({name: float(trainer.callback_metrics[name]) for name in (MONITORED, "val_loss")})
        if rank > self.best:
            self.best = rank
            if trainer.is_global_zero:
                partial = self.folder / "validation.partial.npz"
                np.savez_compressed(partial, logits=pl_module.validation_logits, **self.about)
                partial.replace(self.folder / "validation.npz")
            self._save(trainer, _BEST, weights_only=True)
        self._save(trainer, _LAST, weights_only=False)

    def _save(self, trainer: lightning.Trainer, name: str, *, weights_only: bool) -> None:
        # Replaced whole: Lightning writes elsewhere first, but copies from there where that is another file system.
        partial = self.folder / "checkpoints" / f"{name}.partial"
        trainer.save_checkpoint(partial, weights_only=weights_only)  # by the first process; the others wait for it
        if trainer.is_global_zero:
            partial.replace(partial.with_suffix(""))
