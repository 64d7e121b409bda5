"""The Lightning module of a recipe: a network, the masked loss and the validation scores."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ecoscale.evaluation import macro_auroc
from ecoscale.models import create_model
from ecoscale.training.augmentation import augment, mix
from ecoscale.training.data import column_of, standardised
from ecoscale.training.distributed import gathered, mean, weight_of_share
from ecoscale.training.losses import masked_cross_entropy, masked_loss
from ecoscale.training.optimised import OptimisedModule
from ecoscale.training.pretrained import load_pretrained

if TYPE_CHECKING:
    from ecoscale.preparation import Preparation
    from ecoscale.training.pretrained import Pretrained
    from ecoscale.training.recipe import Recipe


class TrainingModule(OptimisedModule):
    """Trains the recipe's network on signals in mV; `preparation` carries the scale of the training data.

    `class_weights` `(findings,)` weigh the presences, or the classes, where the recipe's loss asks for it.
    """

    def __init__(self, recipe: Recipe, preparation: Preparation, class_weights: Tensor | None = None) -> None:
        n_findings = len(recipe.findings)
        n_outputs = n_findings + (0 if recipe.auxiliary is None else len(recipe.auxiliary.codes))
        torch.manual_seed(recipe.seed)
        network = create_model(recipe.model.name, preparation.n_channels, n_outputs, **recipe.model.config)
        super().__init__(network, recipe.optimisation)
        self.recipe, self.preparation = recipe, preparation
        self.class_weights = class_weights
        self.n_findings = n_findings
        self._validated: list[tuple[Tensor, Tensor]] = []
        self.validation_logits: np.ndarray | None = None

    def begin_from(self, base: Pretrained) -> None:
        """Take the weights of a trained network, where their names and leads are the same. Raises `ModelError`."""
        auxiliary = () if self.recipe.auxiliary is None else self.recipe.auxiliary.codes
        load_pretrained(self.network, base, (*self.recipe.findings, *auxiliary), self.preparation.leads)
        if self.average is not None:
            self.average.module.load_state_dict(self.network.state_dict())

    def shipped_network(self) -> nn.Module:
        """A copy of the evaluated network, in evaluation mode, that gives the findings alone."""
        network = copy.deepcopy(self.evaluated_network).eval()
        head = network.head
        assert isinstance(head, nn.Linear)
        kept = nn.Linear(head.in_features, self.n_findings)
        kept.load_state_dict({name: tensor[: self.n_findings] for name, tensor in head.state_dict().items()})
        network.head = kept
        return network

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The findings' loss, and the auxiliary codes' with its weight; its mean over processes is the batch's."""
        n, options = self.n_findings, self.recipe.loss
        of_findings = masked_cross_entropy if self.recipe.single_label else masked_loss
        loss = of_findings(logits[:, :n], targets[:, :n], options, self.class_weights)
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
        signals = augment(
            signals,
            self.recipe.augmentation,
            self.preparation.rate,
            generator,
            None if self.preparation.is_ecg else column_of(self.preparation.scale, signals),
        )
        signals, targets = mix(signals, targets, self.recipe.augmentation, generator)
        loss = self._loss(self.network(standardised(signals, self.preparation)).float(), targets)
        # Batches count alike: they differ by an exam at most, and Lightning's mean over processes rounds their sizes.
        whole = mean(loss.detach())
        self.log("train_loss", whole, on_step=False, on_epoch=True, prog_bar=True, batch_size=1, sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _batch_index: int) -> None:
        """Keep logits and labels; scores are taken over the whole part."""
        signals, labels = batch
        with torch.autocast(signals.device.type, enabled=False):
            logits = self.evaluated_network(standardised(signals, self.preparation))
        self._validated.append((logits[:, : self.n_findings], labels[:, : self.n_findings]))

    def on_validation_epoch_end(self) -> None:
        """Loss and macro AUROC over the validation part; with single labels the accuracy too."""
        everyones = gathered([(logits.cpu(), labels.cpu()) for logits, labels in self._validated])
        self._validated.clear()
        # Each process has its part of every batch: in the order of the batches, and in each in that of the processes.
        parts = [part for parts in zip(*everyones, strict=True) for part in parts]
        logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        self.validation_logits = logits.numpy()
        if self.recipe.single_label:
            loss, probabilities = masked_cross_entropy(logits, labels), logits.double().softmax(dim=1)
            known = (labels >= 0).all(dim=1)
            right = labels[known].argmax(dim=1) == logits[known].argmax(dim=1)
            self.log("val_accuracy", float(right.double().mean()), prog_bar=True, sync_dist=True)
        else:
            loss, probabilities = masked_loss(logits, labels), logits.sigmoid()
        self.log("val_loss", float(loss), prog_bar=True, sync_dist=True)
        score = float(macro_auroc(labels.numpy(), probabilities.numpy()))
        self.log("val_macro_auroc", score, prog_bar=True, sync_dist=True)


def _seed(*parts: int, rank: int) -> int:
    """One seed from several numbers, another for each process; the first's is that of a process alone."""
    return int(np.random.SeedSequence(parts, spawn_key=(rank,) if rank else ()).generate_state(1)[0])
