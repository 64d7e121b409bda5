"""The classifiers as aeon's: subclasses of its `BaseClassifier`, with its tags and its checks of what is given.

    from ecoscale.estimators.aeon import EcoScaleClassifier

What they do is what `ecoscale.EcoScaleClassifier` and `ecoscale.OmniScaleClassifier` do.
"""

from __future__ import annotations

from typing import Any

try:
    from aeon.classification import BaseClassifier
except ImportError as error:
    raise ImportError("a classifier of aeon's needs aeon; install it with: pip install aeon") from error

from ecoscale.estimators.parameters import EcoScaleParameters, OmniScaleParameters

_TAGS = {
    "X_inner_type": ["np-list", "numpy3D"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "algorithm_type": "deeplearning",
    "python_dependencies": ["torch", "lightning"],
}
_QUICK = {"n_epochs": 3, "device": "cpu"}


class EcoScaleClassifier(EcoScaleParameters, BaseClassifier):
    """`ecoscale.EcoScaleClassifier` as a classifier of aeon's."""

    _tags = _TAGS

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:  # noqa: ARG003
        return {"width": 4, **_QUICK}


class OmniScaleClassifier(OmniScaleParameters, BaseClassifier):
    """`ecoscale.OmniScaleClassifier` as a classifier of aeon's."""

    _tags = _TAGS

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:  # noqa: ARG003
        return {"network_options": {"width": 0.1}, **_QUICK}
