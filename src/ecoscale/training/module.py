"""The Lightning module: a network, the masked loss, the optimiser and the validation scores."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecoscale.evaluation import macro_auroc
from ecoscale.models import create_model
from ecoscale.training.augmentation import augment, mix
from ecoscale.training.data import standardised
from ecoscale.training.distributed import gathered, mean, weight_of_share
from ecoscale.training.losses import masked_loss
from ecoscale.training.pretrained import load_pretrained

if TYPE_CHECKING:
    from ecoscale.preparation import Preparation
    from ecoscale.training.pretrained import Pretrained
    from ecoscale.training.recipe import Recipe


class TrainingModule(lightning.LightningModule):
    """Trains the recipe's network on signals in mV; `preparation` carries the scale of the training data.

    `class_weights` `(findings,)` weigh the presences, where the recipe's loss asks for it.
    """

    def __init__(self, recipe: Recipe, preparation: Preparation, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.recipe, self.preparation = recipe, preparation
        self.class_weights = class_weights
        self.n_findings = len(recipe.findings)
        n_outputs = self.n_findings + (0 if recipe.auxiliary is None else len(recipe.auxiliary.codes))
        torch.manual_seed(recipe.seed)
        self.network = create_model(recipe.model.name, preparation.n_channels, n_outputs, **recipe.model.config)
        self.average = self._average()
        if self.average is not None:
            # It has no gradient, which processes that train together would wait for.
            self.average.requires_grad_(False)
        self._validated: list[tuple[Tensor, Tensor]] = []
        self.validation_logits: np.ndarray | None = None

    def begin_from(self, base: Pretrained) -> None:
        """Take the weights of a trained network, where their names and leads are the same. Raises `ModelError`."""
        auxiliary = () if self.recipe.auxiliary is None else self.recipe.auxiliary.codes
        load_pretrained(self.network, base, (*self.recipe.findings, *auxiliary), self.preparation.leads)
        if self.average is not None:
            self.average.module.load_state_dict(self.network.state_dict())

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

    def _average(self) -> AveragedModel | None:
        """The average of the weights that the recipe keeps; of batch norm's statistics too."""
        options = self.recipe.optimisation
        if options.ema_decay is not None:
            return AveragedModel(self.network, multi_avg_fn=_warmed_up_average(options.ema_decay), use_buffers=True)
        if options.swa_start is not None:
            return AveragedModel(self.network, multi_avg_fn=_even_average, use_buffers=True)
        return None

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The findings' loss, and the auxiliary codes' with its weight; its mean over processes is the batch's."""
        n, options = self.n_findings, self.recipe.loss
        loss = masked_loss(logits[:, :n], targets[:, :n], options, self.class_weights)
        loss = loss * weight_of_share(targets[:, :n] >= 0)
        if self.recipe.auxiliary is None:
            return loss
        beside = masked_loss(logits[:, n:], targets[:, n:], options)
        beside = beside * weight_of_share(targets[:, n:] >= 0)
        return loss + self.recipe.auxiliary.weight * beside

    def on_train_epoch_start(self) -> None:
        """Seed by the epoch, so that a resumed run draws the same dropout as an undisturbed one."""
        torch.manual_seed(_seed(self.recipe.seed, self.current_epoch, rank=self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Loss of one augmented batch."""
        signals, targets = batch
        seed = _seed(self.recipe.seed, self.current_epoch, batch_index, rank=self.global_rank)
        generator = torch.Generator().manual_seed(seed)
        signals = augment(signals, self.recipe.augmentation, self.preparation.rate, generator)
        signals, targets = mix(signals, targets, self.recipe.augmentation, generator)
        loss = self._loss(self.network(standardised(signals, self.preparation)).float(), targets)
        # Batches count alike: they differ by an exam at most, and Lightning's mean over processes rounds their sizes.
        whole = mean(loss.detach())
        self.log("train_loss", whole, on_step=False, on_epoch=True, prog_bar=True, batch_size=1, sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Move the average of the weights after each step."""
        options = self.recipe.optimisation
        if self.average is None or (batch_idx + 1) % options.accumulate:
            return
        start = options.swa_start
        if start is not None and self.global_step <= start * self.trainer.estimated_stepping_batches:
            # The average is the network until its time comes.
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], _batch_index: int) -> None:
        """Keep logits and labels; scores are taken over the whole part."""
        signals, labels = batch
        with torch.autocast(signals.device.type, enabled=False):
            logits = self.evaluated_network(standardised(signals, self.preparation))
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
        weights = list(self.network.named_parameters())
        groups = _decayed([p for _, p in weights], options.weight_decay, options.learning_rate)
        if options.features_factor != 1:
            head = [p for name, p in weights if name.startswith("head.")]
            features = [p for name, p in weights if not name.startswith("head.")]
            groups = [
                *_decayed(features, options.weight_decay, options.features_factor * options.learning_rate),
                *_decayed(head, options.weight_decay, options.learning_rate),
            ]
        optimiser = torch.optim.AdamW(groups, lr=options.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        if options.schedule == "one_cycle":
            # OneCycleLR divides by zero where the rate would rise in exactly one step.
            warmup = options.warmup if options.warmup * steps > 1 else 0.0
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, [group["lr"] for group in groups], total_steps=steps, pct_start=warmup
            )
        else:
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _decayed(parameters: list[nn.Parameter], decay: float, rate: float) -> list[dict[str, Any]]:
    """Groups of an optimiser: what weight decay shrinks, and batch norms and biases, which it spares."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay, "lr": rate},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "lr": rate},
    ]


def _seed(*parts: int, rank: int) -> int:
    """One seed from several numbers, another for each process; the first's is that of a process alone."""
    return int(np.random.SeedSequence(parts, spawn_key=(rank,) if rank else ()).generate_state(1)[0])


def _warmed_up_average(decay: float):
    """An exponential moving average that follows closely at first, so that a short run is not held at its start."""

    def update(averaged, current, count) -> None:
        warmed = min(decay, (1 + float(count)) / (10 + float(count)))
        get_ema_multi_avg_fn(warmed)(averaged, current, count)

    return update


def _even_average(averaged, current, count) -> None:
    """The mean of all so far; torch's own does not take batch norm's count of batches, which is a whole number."""
    get_ema_multi_avg_fn(float(count) / (float(count) + 1))(averaged, current, count)
