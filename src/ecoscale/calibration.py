"""From a network's logits to probabilities: what a bundle stores of a calibration, and the arithmetic of using it.

Calibrations are fitted in `ecoscale.evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CalibrationMethod = Literal["platt", "temperature", "isotonic", "none"]

METHODS: dict[CalibrationMethod, str] = {
    "platt": "Platt scaling",
    "temperature": "temperature scaling",
    "isotonic": "centred isotonic regression",
    "none": "none",
}
"""Every method with its title."""

SINGLE_LABEL_METHODS: tuple[CalibrationMethod, ...] = ("temperature", "none")
"""The methods for classes that exclude each other: others would change each class's logit in its own way."""


@dataclass(frozen=True)
class CalibrationCurve:
    """Of one finding: a strictly increasing map from its logit to the log-odds of the calibrated probability.

    Without knots it is `slope * logit + intercept`. With knots, pairs of logit and log-odds that rise in both, it is
    the straight line between neighbouring knots, and beyond the outermost ones a line of `slope`, and has no intercept.
    """

    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def log_odds(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log-odds for logits of any shape."""
        logits = np.asarray(logits, dtype=np.float64)
        if not self.knots:
            return self.slope * logits + self.intercept
        at, values = np.array(self.knots).T
        beyond = np.minimum(logits - at[0], 0) + np.maximum(logits - at[-1], 0)
        return np.interp(logits, at, values) + self.slope * beyond


@dataclass(frozen=True)
class Calibration:
    """Of every finding of a network, in the order of its logits.

    With `single_label` the findings are classes that exclude each other, and the probabilities are the softmax of the
    logits divided by one temperature (Guo et al. 2017, arXiv 1706.04599), or as they are; the curves are then all
    alike, of slope 1 / temperature and without intercept or knots. `warnings` says which findings were left as they
    are, and why.
    """

    method: CalibrationMethod
    curves: tuple[CalibrationCurve, ...]
    warnings: tuple[str, ...] = ()
    single_label: bool = False

    def __post_init__(self) -> None:
        if self.single_label and (self.method not in SINGLE_LABEL_METHODS or not _one_temperature(self.curves)):
            raise ValueError(
                f"a calibration by {self.method} with {len(set(self.curves))} different curves; classes that exclude "
                f"each other have one temperature for all, or none ({', '.join(SINGLE_LABEL_METHODS)})"
            )

    @property
    def slope(self) -> NDArray[np.float64]:
        """The curves' slopes `(classes,)`."""
        return np.array([curve.slope for curve in self.curves])

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The curves' intercepts `(classes,)`."""
        return np.array([curve.intercept for curve in self.curves])

    def log_odds(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log-odds of the calibrated probabilities `(records, classes)`; with `single_label` what the softmax is of."""
        logits = np.asarray(logits, dtype=np.float64)
        return np.stack([curve.log_odds(logits[:, column]) for column, curve in enumerate(self.curves)], axis=1)

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities `(records, classes)`."""
        return self._link(self.log_odds(logits))

    def uncalibrated(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities `(records, classes)` as the network gives them, without the calibration."""
        return self._link(logits)

    def _link(self, scores: ArrayLike) -> NDArray[np.float64]:
        return softmax(scores) if self.single_label else sigmoid(scores)


def sigmoid(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of log-odds of any shape."""
    # Beyond 500 either way the exponential would only overflow.
    return 1 / (1 + np.exp(-np.clip(np.asarray(log_odds, dtype=np.float64), -500, 500)))


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of classes that exclude each other, `(..., classes)`, which sum to one."""
    logits = np.asarray(logits, dtype=np.float64)
    # Without the largest, the exponential of a large one would overflow.
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_odds_against_others(logits: ArrayLike) -> NDArray[np.float64]:
    """Log-odds `(..., classes)` of the softmax: how far each logit is above all others together.

    The softmax leaves open what all logits are shifted by; these do not change with it.
    """
    logits = np.asarray(logits, dtype=np.float64)
    n_classes = logits.shape[-1]
    others = np.where(np.eye(n_classes, dtype=bool), -np.inf, logits[..., None, :])
    largest = others.max(axis=-1, keepdims=True)
    return logits - largest[..., 0] - np.log(np.exp(others - largest).sum(axis=-1))


def _one_temperature(curves: tuple[CalibrationCurve, ...]) -> bool:
    return len(set(curves)) == 1 and not (curves[0].intercept or curves[0].knots)
