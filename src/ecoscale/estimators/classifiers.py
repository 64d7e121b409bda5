"""`EcoScaleClassifier` and `OmniScaleClassifier`: scikit-learn's interface, for series of one or of several lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from ecoscale.errors import SeriesError
from ecoscale.estimators.core import SeriesClassifier
from ecoscale.estimators.parameters import EcoScaleParameters, OmniScaleParameters

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

_CHECKED = {"dtype": (np.float64, np.float32), "allow_nd": True}


class _ScikitLearnClassifier(ClassifierMixin, SeriesClassifier, BaseEstimator):
    """scikit-learn's side: what is given is checked, and the rest is `SeriesClassifier`'s."""

    def fit(self, X: Any, y: ArrayLike) -> Self:  # noqa: N803
        """Train a new network on series X and their classes y, any labels; what an earlier fit learnt is forgotten."""
        if y is None:
            raise SeriesError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        series = self._checked(X, reset=True)
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
        check_consistent_length(series, y)
        check_classification_targets(y)
        self._fit(series, y)
        return self

    def predict(self, X: Any) -> NDArray:  # noqa: N803
        """The most probable class of each series, `(cases,)`."""
        check_is_fitted(self)
        return self._predict(self._checked(X, reset=False))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probability of each class, `(cases, classes)` in the order of `classes_`."""
        check_is_fitted(self)
        return self._predict_proba(self._checked(X, reset=False))

    def _checked(self, X: Any, *, reset: bool) -> Any:  # noqa: N803
        """`(cases, channels, samples)`, or a list of `(channels, samples)` where an array for each case is given."""
        if isinstance(X, list | tuple) and any(isinstance(case, np.ndarray) for case in X):
            if reset and hasattr(self, "n_features_in_"):
                del self.n_features_in_
            return [check_array(case[None] if np.ndim(case) == 1 else case, **_CHECKED) for case in X]
        if (X if hasattr(X, "ndim") else np.asarray(X)).ndim == 3:
            if reset and hasattr(self, "n_features_in_"):
                del self.n_features_in_
            return check_array(X, **_CHECKED)
        if reset or hasattr(self, "n_features_in_"):
            return validate_data(self, X, reset=reset, **_CHECKED)[:, None, :]
        return check_array(X, **_CHECKED)[:, None, :]

    def __sklearn_tags__(self) -> Tags:
        """Series of several channels are taken, too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class EcoScaleClassifier(EcoScaleParameters, _ScikitLearnClassifier):
    """EcoScale."""


class OmniScaleClassifier(OmniScaleParameters, _ScikitLearnClassifier):
    """OS-CNN."""
