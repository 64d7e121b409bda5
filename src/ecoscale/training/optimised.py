"""A network, the average of its weights, its optimiser and its schedule: what each Lightning module begins from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING:
    from ecoscale.models import Network
    from ecoscale.training.recipe import Optimisation


class OptimisedModule(lightning.LightningModule):
    """Trains `network` as `optimisation` says; a subclass says what its loss is."""

    fused = False
    """AdamW as one operation: quicker on small networks, and other in the last digits."""

    def __init__(self, network: Network, optimisation: Optimisation) -> None:
        super().__init__()
        self.optimisation = optimisation
        self.network = network
        self.average = self._average()
        if self.average is not None:
            # It has no gradient, which processes that train together would wait for.
            self.average.requires_grad_(False)

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is measured: the average of the weights where one is kept."""
        return self.network if self.average is None else self.average.module

    def _average(self) -> AveragedModel | None:
        """The average of the weights that is asked for; of batch norm's statistics too."""
        options = self.optimisation
        if options.ema_decay is not None:
            return AveragedModel(self.network, multi_avg_fn=_warmed_up_average(options.ema_decay), use_buffers=True)
        if options.swa_start is not None:
            return AveragedModel(self.network, multi_avg_fn=_even_average, use_buffers=True)
        return None

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Move the average of the weights after each step."""
        options = self.optimisation
        if self.average is None or (batch_idx + 1) % options.accumulate:
            return
        start = options.swa_start
        if start is not None and self.global_step <= start * self.trainer.estimated_stepping_batches:
            # The average is the network until its time comes.
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.network)

    def configure_optimizers(self) -> dict:  # type: ignore[override]
        """AdamW, without weight decay on batch norms and biases, and the schedule."""
        options = self.optimisation
        weights = list(self.network.named_parameters())
        groups = _decayed([p for _, p in weights], options.weight_decay, options.learning_rate)
        if options.features_factor != 1:
            head = [p for name, p in weights if name.startswith("head.")]
            features = [p for name, p in weights if not name.startswith("head.")]
            groups = [
                *_decayed(features, options.weight_decay, options.features_factor * options.learning_rate),
                *_decayed(head, options.weight_decay, options.learning_rate),
            ]
        optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, fused=self.fused or None)
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


def _warmed_up_average(decay: float):
    """An exponential moving average that follows closely at first, so that a short run is not held at its start."""

    def update(averaged, current, count) -> None:
        warmed = min(decay, (1 + float(count)) / (10 + float(count)))
        get_ema_multi_avg_fn(warmed)(averaged, current, count)

    return update


def _even_average(averaged, current, count) -> None:
    """The mean of all so far; torch's own does not take batch norm's count of batches, which is a whole number."""
    get_ema_multi_avg_fn(float(count) / (float(count) + 1))(averaged, current, count)
