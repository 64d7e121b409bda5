"""`EcoScaleClassifier` and `OmniScaleClassifier`: scikit-learn's interface, for series of one or of several lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from ecoscale.errors import SeriesError
from ecoscale.estimators.core import SeriesClassifier
from ecoscale.estimators.parameters import EcoScaleParameters, OmniScaleParameters

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ecoscale.estimators.core import Series


class _ScikitLearnClassifier(ClassifierMixin, SeriesClassifier, BaseEstimator):
    """scikit-learn's side: what is given is checked, and the rest is `SeriesClassifier`'s."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new network; what an earlier fit learnt is forgotten.

        Parameters
        ----------
        X
            Series: `(cases, channels, timepoints)`; `(cases, timepoints)` of one channel; or, where their lengths
            differ, a list with a `(channels, timepoints)` for each case.
        y
            Their classes, `(cases,)`: any labels, of two classes at least.

        Raises
        ------
        SeriesError
            For series of different numbers of channels, one class, or a parameter out of its range. A `ValueError`, as
            is what scikit-learn raises of values that are missing, infinite or no numbers.
        """
        if y is None:
            raise SeriesError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        series = self._checked(X, reset=True)
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)  # type: ignore[arg-type]
        check_consistent_length(series, y)
        check_classification_targets(y)
        self._fit(series, y)
        return self

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each series, `(cases,)`; X as in `fit`."""
        check_is_fitted(self)
        return self._predict(self._checked(X, reset=False))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, `(cases, classes)` in the order of `classes_`; X as in `fit`.

        Series may be longer or shorter than those that the network was fitted to; but in two dimensions X has as many
        columns as then, as scikit-learn asks.
        """
        check_is_fitted(self)
        return self._predict_proba(self._checked(X, reset=False))

    def _checked(self, X: Any, *, reset: bool) -> Series:
        """`(cases, channels, samples)`, or a list of `(channels, samples)` where an array for each case is given."""
        fitted = vars(self)
        listed = isinstance(X, list | tuple) and any(isinstance(case, np.ndarray) for case in X)
        if listed or _dimensions(X) == 3:
            if reset:
                # Columns are what scikit-learn calls features; here there are none.
                for name in ("n_features_in_", "feature_names_in_"):
                    fitted.pop(name, None)
            if listed:
                return [_array(case[None] if np.ndim(case) == 1 else case) for case in X]
            return _array(X)
        if reset or "n_features_in_" in fitted:
            # scikit-learn names a text as what X is by default.
            columns: Any = validate_data(self, cast("Any", X), reset=reset, dtype=_TYPES)
            return columns[:, None, :]
        return _array(X)[:, None, :]

    def __sklearn_tags__(self) -> Tags:
        """Series of several channels are taken, too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


_TYPES: Any = (np.float64, np.float32)


def _dimensions(values: Any) -> int:
    return values.ndim if hasattr(values, "ndim") else np.asarray(values).ndim


def _array(values: Any) -> NDArray[np.floating]:
    """A finite array of two or three dimensions."""
    return np.asarray(check_array(values, dtype=_TYPES, allow_nd=True))


class EcoScaleClassifier(EcoScaleParameters, _ScikitLearnClassifier):
    """EcoScale-Net for series of any field: its kernels, strides and stages follow from the length of the series.

    The network is `ecoscale.models.series_config`'s for the longest series fitted to. Series of different lengths are
    computed as if each were alone (`ecoscale.models.padding`): what one is told does not depend on the others. One that
    is shorter than the stride of the network is filled up to it, by the mean of the training series.

    Training is AdamW with one cycle of the learning rate (`ecoscale.training.optimised`) on the cross entropy, for a
    number of passes that is set beforehand; no part of the series is kept aside. It leaves nothing on disk.

    Parameters
    ----------
    receptive_field
        Timepoints that every stage covers without a gap; half of the longest series without.
    kernels
        "lean", "radix" or "prime"; see `series_config`.
    width
        Channels of the first stage, an even number of at least 4; each later stage doubles them.
    network_options
        Further options of `ecoscale.models.EcoScaleNet`, such as `{"dropout": 0.2}`.
    n_epochs
        Passes over the series; as many as make 300 batches without.
    batch_size
        Series of a batch; at least two are taken together.
    learning_rate
        At its peak.
    weight_decay
        Of AdamW, on all weights but those of batch norms and biases.
    standardise
        "training": each channel by the mean and deviation of the training series. "series": each channel of each series
        by its own, where size and offset say nothing. None: not at all.
    device
        "auto", "cpu", or another device of torch's. A fitted classifier lies on the CPU.
    random_state
        None, a number or numpy's `RandomState`. The same number gives the same results on one machine.
    verbose
        Show the progress of `fit`.

    Attributes
    ----------
    classes_
        The labels, in order.
    network_
        The trained network, a `torch.nn.Module`.
    n_channels_, mean_, scale_
        Channels of a series, and what they are standardised by.

    Examples
    --------
    >>> import numpy as np
    >>> from ecoscale import EcoScaleClassifier
    >>> time = np.linspace(0, 1, 60)
    >>> X = np.stack([np.sin(2 * np.pi * (3 + case % 2) * time + case) for case in range(20)])
    >>> y = np.array(["slow", "fast"] * 10)
    >>> classifier = EcoScaleClassifier(width=8, n_epochs=40, random_state=0, device="cpu").fit(X[:16], y[:16])
    >>> classifier.predict(X[16:])
    array(['slow', 'fast', 'slow', 'fast'], dtype='<U4')
    """


class OmniScaleClassifier(OmniScaleParameters, _ScikitLearnClassifier):
    """Omni-Scale CNN (Tang et al. 2022, arXiv 2002.10061) with its authors' budget, trained as `EcoScaleClassifier` is.

    The network is `ecoscale.models.OSCNN`: two layers of kernels of 1 and the primes up to a quarter of the longest
    series, at most 89, and one of 1 and 2. Its authors train it otherwise (docs/series.md). Series of different lengths
    are computed as if each were alone.

    Parameters
    ----------
    largest_kernel
        In timepoints; a quarter of the longest series, at most 89, without.
    network_options
        Further options of `ecoscale.models.OSCNN`, such as `{"method": "masked"}`, which is quick on a graphics card.
    n_epochs
        Passes over the series; as many as make 300 batches without.
    batch_size
        Series of a batch; at least two are taken together.
    learning_rate
        At its peak.
    weight_decay
        Of AdamW, on all weights but those of batch norms and biases.
    standardise
        "training": each channel by the mean and deviation of the training series. "series": each channel of each series
        by its own, where size and offset say nothing. None: not at all.
    device
        "auto", "cpu", or another device of torch's. A fitted classifier lies on the CPU.
    random_state
        None, a number or numpy's `RandomState`. The same number gives the same results on one machine.
    verbose
        Show the progress of `fit`.

    Attributes
    ----------
    classes_
        The labels, in order.
    network_
        The trained network, a `torch.nn.Module`.
    n_channels_, mean_, scale_
        Channels of a series, and what they are standardised by.
    """
