"""What the classifiers of series have in common, whether scikit-learn's or aeon's class leads to it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic import ValidationError
from sklearn.utils import check_random_state

from ecoscale.errors import ModelError, SeriesError
from ecoscale.estimators.fitting import batches_of_a_pass, fit_network, probabilities, seeded
from ecoscale.estimators.series import SeriesSet, Standardise
from ecoscale.training.recipe import Optimisation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ecoscale.models import Network

    Series = NDArray[np.floating] | Sequence[NDArray[np.floating]]


STEPS = 300
"""Batches that a network is trained on where nothing else is asked for: sets of 30 and of 300 series take as long."""


class SeriesClassifier:
    """Fits a network to series that were checked: `(cases, channels, samples)`, or a `(channels, samples)` a case.

    A subclass holds the parameters under their names and says which network they make.
    """

    n_epochs: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    standardise: str | None
    device: str
    random_state: Any
    verbose: bool

    classes_: NDArray
    network_: Network
    n_channels_: int

    @abstractmethod
    def _network(self, series: SeriesSet, n_classes: int) -> Network:
        """The network for these series."""

    def _fit(self, X: Series, y: ArrayLike) -> None:
        """Train a new network. Raises `SeriesError` for what cannot be learnt from, or a parameter out of range."""
        series = SeriesSet.of(X)
        options = self._optimisation(len(series))
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise SeriesError(f"y holds one class, {self.classes_[0]!r}; expected at least two to be told apart")
        self.n_channels_ = series.n_channels
        self.mean_, self.scale_ = self._moments(series)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed):
            try:
                network = self._network(series, len(self.classes_))
            except ModelError as error:
                raise SeriesError(str(error)) from error
            self.network_ = fit_network(
                network,
                self._standardised(series),
                labels,
                options,
                device=self.device,
                seed=seed,
                progress=bool(self.verbose),
            )

    def _predict_proba(self, X: Series) -> NDArray[np.float64]:
        """`(cases, classes)`, in the order of `classes_`."""
        series = SeriesSet.of(X)
        if series.n_channels != self.n_channels_:
            raise SeriesError(
                f"series of {series.n_channels} channels; expected {self.n_channels_}, as in those fitted to"
            )
        series = self._standardised(series).at_least(self.network_.minimum_samples)
        return probabilities(self.network_, series, device=self.device)

    def _predict(self, X: Series) -> NDArray:
        return self.classes_[self._predict_proba(X).argmax(axis=1)]

    def _optimisation(self, n_cases: int) -> Optimisation:
        asked = {
            "epochs": 1 if self.n_epochs is None else self.n_epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
        }
        # A grid gives numpy's numbers.
        asked = {name: value.item() if isinstance(value, np.generic) else value for name, value in asked.items()}
        try:
            options = Optimisation(**asked)
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0])
            parameter = "n_epochs" if name == "epochs" else name
            raise SeriesError(f"{parameter}={problem['input']!r}: {problem['msg']}") from error
        if self.n_epochs is not None:
            return options
        return options.model_copy(update={"epochs": -(-STEPS // batches_of_a_pass(n_cases, options.batch_size))})

    def _moments(self, series: SeriesSet) -> tuple[Any, Any]:
        if self.standardise not in (None, *get_args(Standardise)):
            expected = ", ".join(map(repr, get_args(Standardise)))
            raise SeriesError(f"standardise={self.standardise!r}; expected one of {expected}, None")
        return series.moments() if self.standardise == "training" else (0.0, 1.0)

    def _standardised(self, series: SeriesSet) -> SeriesSet:
        if self.standardise == "series":
            return series.standardised(*series.moments(each=True))
        return series.standardised(self.mean_, self.scale_)
