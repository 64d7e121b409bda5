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

    `warnings` says which findings were left as they are, and why.
    """

    method: CalibrationMethod
    curves: tuple[CalibrationCurve, ...]
    warnings: tuple[str, ...] = ()

    @property
    def slope(self) -> NDArray[np.float64]:
        """The curves' slopes `(classes,)`."""
        return np.array([curve.slope for curve in self.curves])

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The curves' intercepts `(classes,)`."""
        return np.array([curve.intercept for curve in self.curves])

    def log_odds(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log-odds of the calibrated probabilities `(records, classes)`."""
        logits = np.asarray(logits, dtype=np.float64)
        return np.stack([curve.log_odds(logits[:, column]) for column, curve in enumerate(self.curves)], axis=1)

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities `(records, classes)`."""
        return sigmoid(self.log_odds(logits))


def sigmoid(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of log-odds of any shape."""
    # Beyond 500 either way the exponential would only overflow.
    return 1 / (1 + np.exp(-np.clip(np.asarray(log_odds, dtype=np.float64), -500, 500)))
