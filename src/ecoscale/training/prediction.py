"""What a finished run says about records that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ecoscale.datasets.processes import silent
from ecoscale.training.data import EpochBatches, SignalBatches, standardised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ecoscale.datasets.processes import Progress
    from ecoscale.training.data import Examples
    from ecoscale.training.run import Run


def predict_logits(
    run: Run, examples: Examples, *, batch_size: int | None = None, progress: Progress = silent
) -> NDArray[np.float32]:
    """Logits `(records, findings)` of a run's best epoch for rows of a store, computed in float32.

    The store must have been prepared as the run's recipe says; the scale of its training data is applied here.
    `batch_size` is the recipe's by default. Raises `RecipeError` if no epoch of the run has ended.
    """
    device = accelerator()
    network, preparation = run.load_network().to(device), run.preparation
    batches = SignalBatches([examples])
    order = EpochBatches(len(batches), batch_size or run.recipe.optimisation.batch_size, None)
    logits = np.empty((len(batches), len(run.recipe.findings)), dtype=np.float32)

    def predicted() -> Iterator[str]:
        names = examples.records
        for positions in order:
            signals, _ = batches[positions]
            with torch.inference_mode():
                out = network(standardised(signals.to(device), preparation))
            logits[positions] = out.cpu().numpy()
            yield from names[positions]

    for _ in progress(predicted(), f"predicting {examples.collection}", len(batches)):
        pass
    return logits


def accelerator() -> torch.device:
    """The device that training would take: an accelerator where there is one."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None else found
