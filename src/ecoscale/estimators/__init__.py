"""EcoScale-Net and OS-CNN as scikit-learn estimators, for series of any field; `aeon.py` has them as aeon's.

Networks and their training live elsewhere (`ecoscale.models`, `ecoscale.training`), nothing of ECGs does here.
"""

from ecoscale.errors import MissingExtraError

try:
    import lightning  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("a classifier of series", error.name or "torch", "train") from error

from ecoscale.estimators.classifiers import EcoScaleClassifier, OmniScaleClassifier

__all__ = ["EcoScaleClassifier", "OmniScaleClassifier"]
