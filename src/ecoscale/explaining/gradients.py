"""Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365), on the network as it was trained.

The logit, or of classes that exclude each other the log-odds of the softmax, is followed from a baseline, the flat
line, along a straight path to the signal; each sample is given the integral of its gradient times the way it went. By
the fundamental theorem of calculus the sum of all is the difference of the logits of signal and baseline; what a sum
over finitely many steps leaves of it is reported as `remainder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecoscale.bundle import Bundle
from ecoscale.errors import BundleError, MissingExtraError
from ecoscale.explaining.explanation import Explanation, by_step, column_of, map_record, step_samples, stretch

try:
    import torch
except ModuleNotFoundError as error:
    raise MissingExtraError("explaining by gradients", "torch", "train") from error

from ecoscale.models import create_model
from ecoscale.models.pretrained import read_weights, take_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG
    from ecoscale.models import Network

PATH_STEPS = 128
"""Points on the path: with these the remainder is small against the difference (docs/explaining.md)."""
AT_ONCE = 16
"""Points in one pass of the network."""


def explain_by_gradients(
    bundle: Bundle, ecg: ECG, finding: str, *, start: float | None = None, path_steps: int = PATH_STEPS
) -> Explanation:
    """What in an ECG speaks for a finding, by integrated gradients through the network in float.

    Values are sums over the samples of a step, in log-odds against those of a flat line. `ecg`, `finding` and `start`
    are as in `explain_ecg`, and so are the errors; beyond them, raises `BundleError` for a bundle that holds no
    weights, and `ModelError` for weights that are not its network's.
    """
    if bundle.precision != "fp32":
        bundle = Bundle.load(bundle.path)
    column, preparation = column_of(bundle, finding), bundle.manifest.preparation
    explained = stretch(ecg, preparation, start)
    network = bundled_network(bundle)
    log_odds = against_others if bundle.manifest.single_label else torch.nn.Identity()
    logits, remainders = [], []

    def of_window(window: NDArray[np.float32], _: slice) -> NDArray[np.float64]:
        found = integrated_gradients(lambda x: log_odds(network(x)), window, column, path_steps)
        with torch.inference_mode():
            found_logits = network(torch.from_numpy(np.stack([window, np.zeros_like(window)])))
            at_signal, at_baseline = log_odds(found_logits).numpy()
        logits.append(found_logits[0].numpy())
        remainders.append(float(at_signal[column] - at_baseline[column] - found.sum()))
        # What the padding holds is the baseline itself, and so is given nothing.
        return found

    step = step_samples(preparation.rate)
    relevance = by_step(map_record(explained, preparation, of_window), step)
    probabilities = bundle.calibration.probabilities(np.stack(logits))[:, column]
    return Explanation.of(
        relevance,
        finding=finding,
        method="gradients",
        leads=preparation.leads,
        start=start or 0.0,
        step=step / preparation.rate,
        probability=float(probabilities.mean()),
        remainder=max(remainders, key=abs),
    )


def against_others(logits: torch.Tensor) -> torch.Tensor:
    """Log-odds `(batch, classes)` of the softmax: how far each logit is above all others together."""
    own = torch.eye(logits.shape[1], dtype=torch.bool)
    return logits - logits[:, None].masked_fill(own, -torch.inf).logsumexp(dim=-1)


def integrated_gradients(
    network: Callable[[torch.Tensor], torch.Tensor],
    window: NDArray[np.float32],
    column: int,
    path_steps: int = PATH_STEPS,
) -> NDArray[np.float64]:
    """What each sample of a prepared window adds to one logit, against that of a flat line: `(leads, samples)`."""
    signal = torch.from_numpy(np.ascontiguousarray(window))[None]
    # The middle of each part of the path.
    points = (torch.arange(path_steps, dtype=torch.float32) + 0.5) / path_steps
    total = torch.zeros(signal.shape[1:], dtype=torch.float64)
    for part in points.split(AT_ONCE):
        inputs = (part[:, None, None] * signal).requires_grad_()
        (gradient,) = torch.autograd.grad(network(inputs)[:, column].sum(), inputs)
        total += gradient.double().sum(dim=0)
    return (signal[0].double() * total / path_steps).numpy()


def bundled_network(bundle: Bundle) -> Network:
    """The network of a bundle as it was trained, ready to be asked.

    Raises `BundleError` for a bundle that holds no weights, and `ModelError` for weights that are not its network's.
    """
    if bundle.weights is None:
        raise BundleError(
            f"{bundle.path}: this bundle holds no weights to take gradients of; explain by occlusion, or pack its run "
            "again (ecoscale pack)"
        )
    manifest = bundle.manifest
    described = manifest.network
    network = create_model(
        described["model"], manifest.preparation.n_channels, len(manifest.labels), **described["config"]
    )
    take_weights(network, read_weights(bundle.weights), str(bundle.weights))
    return network.eval().requires_grad_(False)
