"""The Lightning module: a network, the masked loss, the optimiser and the validation scores."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecoscale.datasets import UNKNOWN
from ecoscale.evaluation import macro_auroc
from ecoscale.models import create_model
from ecoscale.training.augmentation import augment
from ecoscale.training.distributed import gathered, mean, weight_of_share

if TYPE_CHECKING:
    from ecoscale.preparation import Preparation
    from ecoscale.training.recipe import Recipe


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy averaged over the labels that are known (`(batch, findings)` both); 0 where none is."""
    known = labels != UNKNOWN
    if not known.any():
        return 0.0 * logits.sum()
    return binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype))


class TrainingModule(lightning.LightningModule):
    """Trains the recipe's network on signals in mV; `preparation` carries the scale of the training data."""

    def __init__(self, recipe: Recipe, preparation: Preparation) -> None:
        super().__init__()
        self.recipe, self.preparation = recipe, preparation
        self.n_findings = len(recipe.findings)
        n_outputs = self.n_findings + (0 if recipe.auxiliary is None else len(recipe.auxiliary.codes))
        torch.manual_seed(recipe.seed)
        self.network = create_model(recipe.model.name, preparation.n_leads, n_outputs, **recipe.model.config)
        decay = recipe.optimisation.ema_decay
        self.average = (
            None
            if decay is None
            else AveragedModel(self.network, multi_avg_fn=_warmed_up_average(decay), use_buffers=True)
        )
        if self.average is not None:
            # It has no gradient, which processes that train together would wait for.
            self.average.requires_grad_(False)
        self._validated: list[tuple[Tensor, Tensor]] = []
        self.validation_logits: np.ndarray | None = None

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is measured: the average of the weights where the recipe keeps one."""
        return self.network if self.average is None else self.average.module

    def shipped_network(self) -> nn.Module:
        """A copy of the evaluated network, in evaluation mode, that gives the findings alone."""
        network = copy.deepcopy(self.evaluated_network).eval()
        head = network.head
        assert isinstance(head, nn.Linear)
        kept = nn.Linear(head.in_features, self.n_findings)
        kept.load_state_dict({name: tensor[: self.n_findings] for name, tensor in head.state_dict().items()})
        network.head = kept
        return network

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The findings' loss, and the auxiliary codes' with its weight; its mean over processes is the batch's."""
        loss = masked_loss(logits[:, : self.n_findings], labels[:, : self.n_findings])
        loss = loss * weight_of_share(labels[:, : self.n_findings] >= 0)
        if self.recipe.auxiliary is None:
            return loss
        beside = masked_loss(logits[:, self.n_findings :], labels[:, self.n_findings :])
        beside = beside * weight_of_share(labels[:, self.n_findings :] >= 0)
        return loss + self.recipe.auxiliary.weight * beside

    def _standardise(self, signals: Tensor) -> Tensor:
        return (signals - self.preparation.mean) / self.preparation.scale

    def on_train_epoch_start(self) -> None:
        """Seed by the epoch, so that a resumed run draws the same dropout as an undisturbed one."""
        torch.manual_seed(_seed(self.recipe.seed, self.current_epoch, rank=self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Loss of one augmented batch."""
        signals, labels = batch
        seed = _seed(self.recipe.seed, self.current_epoch, batch_index, rank=self.global_rank)
        generator = torch.Generator().manual_seed(seed)
        signals = augment(signals, self.recipe.augmentation, self.preparation.rate, generator)
        loss = self._loss(self.network(self._standardise(signals)).float(), labels)
        # Batches count alike: they differ by an exam at most, and Lightning's mean over processes rounds their sizes.
        whole = mean(loss.detach())
        self.log("train_loss", whole, on_step=False, on_epoch=True, prog_bar=True, batch_size=1, sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Move the average of the weights after each step."""
        if self.average is not None and (batch_idx + 1) % self.recipe.optimisation.accumulate == 0:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], _batch_index: int) -> None:
        """Keep logits and labels; scores are taken over the whole part."""
        signals, labels = batch
        with torch.autocast(signals.device.type, enabled=False):
            logits = self.evaluated_network(self._standardise(signals))
        self._validated.append((logits[:, : self.n_findings], labels[:, : self.n_findings]))

    def on_validation_epoch_end(self) -> None:
        """Loss and macro AUROC over the validation part."""
        everyones = gathered([(logits.cpu(), labels.cpu()) for logits, labels in self._validated])
        self._validated.clear()
        # Each process has its part of every batch: in the order of the batches, and in each in that of the processes.
        parts = [part for parts in zip(*everyones, strict=True) for part in parts]
        logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        self.validation_logits = logits.numpy()
        self.log("val_loss", float(masked_loss(logits, labels)), prog_bar=True, sync_dist=True)
        score = float(macro_auroc(labels.numpy(), logits.sigmoid().numpy()))
        self.log("val_macro_auroc", score, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> dict:  # type: ignore[override]
        """AdamW, without weight decay on batch norms and biases, and the recipe's schedule."""
        options = self.recipe.optimisation
        groups = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=options.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        if options.schedule == "one_cycle":
            # OneCycleLR divides by zero where the rate would rise in exactly one step.
            warmup = options.warmup if options.warmup * steps > 1 else 0.0
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, options.learning_rate, total_steps=steps, pct_start=warmup
            )
        else:
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _seed(*parts: int, rank: int) -> int:
    """One seed from several numbers, another for each process; the first's is that of a process alone."""
    return int(np.random.SeedSequence(parts, spawn_key=(rank,) if rank else ()).generate_state(1)[0])


def _warmed_up_average(decay: float):
    """An exponential moving average that follows closely at first, so that a short run is not held at its start."""

    def update(averaged, current, count) -> None:
        warmed = min(decay, (1 + float(count)) / (10 + float(count)))
        get_ema_multi_avg_fn(warmed)(averaged, current, count)

    return update
