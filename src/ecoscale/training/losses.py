"""The loss of findings that may be unknown: binary cross entropy, focal and asymmetric, with soft targets.

Of classes that exclude each other (`Recipe.single_label`), it is the cross entropy of their softmax.

One family: the asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119) is binary cross entropy where its two exponents
and its margin are zero, and the focal loss (Lin et al. 2017, arXiv 1708.02002, without its class balance) where the two
exponents are equal and the margin is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid

from ecoscale.datasets import ABSENT, PRESENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ecoscale.training.recipe import Loss


def masked_loss(
    logits: Tensor, targets: Tensor, options: Loss | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Mean loss over the targets that are known; 0 where none is.

    Parameters
    ----------
    logits
        `(batch, findings)`.
    targets
        `(batch, findings)`: the probability wanted, from 0 to 1; unknown where negative.
    options
        Exponents, margin and label smoothing; binary cross entropy without.
    class_weights
        `(findings,)`, the weight of each finding's presence.
    """
    known = targets >= 0
    if not known.any():
        return 0.0 * logits.sum()
    wanted, given = targets[known].to(logits.dtype), logits[known]
    weights = None if class_weights is None else class_weights.to(logits).expand_as(logits)[known]
    if options is None:
        return binary_cross_entropy_with_logits(given, wanted, pos_weight=weights)
    if options.label_smoothing:
        wanted = wanted * (1 - options.label_smoothing) + options.label_smoothing / 2
    if not (options.gamma_present or options.gamma_absent or options.margin):
        return binary_cross_entropy_with_logits(given, wanted, pos_weight=weights)
    probability = given.sigmoid()
    shifted = (probability - options.margin).clamp(min=0)
    present = -logsigmoid(given) * (1 - probability) ** options.gamma_present
    # log(1 - p) of the logit where nothing is shifted, so that it stays finite where p is 1 to the last digit.
    absent = -(torch.log1p(-shifted) if options.margin else logsigmoid(-given)) * shifted**options.gamma_absent
    if weights is not None:
        present = present * weights
    return (wanted * present + (1 - wanted) * absent).mean()


def masked_cross_entropy(
    logits: Tensor, targets: Tensor, options: Loss | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Mean cross entropy over the records whose class is known; 0 where none is.

    Parameters
    ----------
    logits
        `(batch, classes)`.
    targets
        `(batch, classes)`: the probabilities wanted, which sum to one; rows with anything negative are unknown.
    options
        Label smoothing (Szegedy et al. 2016, arXiv 1512.00567), of which every class has an equal share.
    class_weights
        `(classes,)`, the weight of each class (`single_label_weights`).
    """
    known = (targets >= 0).all(dim=1)
    if not known.any():
        return 0.0 * logits.sum()
    wanted = targets[known].to(logits.dtype)
    weights = None if class_weights is None else class_weights.to(logits)
    smoothing = 0.0 if options is None else options.label_smoothing
    return cross_entropy(logits[known], wanted, weight=weights, label_smoothing=smoothing)


def class_weights(labels: NDArray[np.int8], largest: float) -> Tensor:
    """For each finding, how many records lack it for one that has it, from 1 to `largest`; `labels` as in the data.

    King and Zeng 2001 (doi:10.1093/oxfordjournals.pan.a004868), capped, so that a handful of records do not rule.
    """
    present, absent = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    ratio = np.divide(absent, present, out=np.ones(labels.shape[1]), where=present > 0)
    return torch.from_numpy(ratio.clip(1.0, largest).astype(np.float32))


def single_label_weights(labels: NDArray[np.int8], largest: float) -> Tensor:
    """For each class, how many records of the commonest class there are for one of it, from 1 to `largest`.

    Divided by their mean over the records, so that the loss keeps its size: with `largest` out of reach they are
    scikit-learn's "balanced" weights. A class without a record has the largest. `labels` `(records, classes)`.
    """
    count = (labels == PRESENT).sum(axis=0)
    ratio = np.divide(count.max(), count, out=np.full(labels.shape[1], largest), where=count > 0).clip(1.0, largest)
    return torch.from_numpy((ratio * count.sum() / (ratio @ count)).astype(np.float32))
