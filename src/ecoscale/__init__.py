"""ecoscale: reads 12-lead ECGs and says what they show, with networks light enough for ordinary hardware.

Names are imported when they are first used, so that `import ecoscale` is quick and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ecoscale.bundle import Bundle
    from ecoscale.datasets import open_collection
    from ecoscale.ecg import ECG
    from ecoscale.errors import EcoscaleError
    from ecoscale.estimators import EcoScaleClassifier, OmniScaleClassifier
    from ecoscale.formats import find_recordings, read_ecg, read_signal
    from ecoscale.inference import Classifier
    from ecoscale.models import create_model, list_models
    from ecoscale.preparation import Preparation
    from ecoscale.signal import Signal
    from ecoscale.streaming import Stream

_HOME = {
    "Bundle": "ecoscale.bundle",
    "Classifier": "ecoscale.inference",
    "ECG": "ecoscale.ecg",
    "EcoScaleClassifier": "ecoscale.estimators",
    "EcoscaleError": "ecoscale.errors",
    "OmniScaleClassifier": "ecoscale.estimators",
    "Preparation": "ecoscale.preparation",
    "Signal": "ecoscale.signal",
    "Stream": "ecoscale.streaming",
    "create_model": "ecoscale.models",
    "find_recordings": "ecoscale.formats",
    "list_models": "ecoscale.models",
    "open_collection": "ecoscale.datasets",
    "read_ecg": "ecoscale.formats",
    "read_signal": "ecoscale.formats",
}

__all__ = [
    "ECG",
    "Bundle",
    "Classifier",
    "EcoScaleClassifier",
    "EcoscaleError",
    "OmniScaleClassifier",
    "Preparation",
    "Signal",
    "Stream",
    "__version__",
    "create_model",
    "find_recordings",
    "list_models",
    "open_collection",
    "read_ecg",
    "read_signal",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ecoscale' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
