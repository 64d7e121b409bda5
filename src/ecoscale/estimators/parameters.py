"""The parameters of the two classifiers, and the networks that these make; shared by scikit-learn's and aeon's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecoscale.estimators.core import SeriesClassifier
from ecoscale.models import create_model, series_config

if TYPE_CHECKING:
    from ecoscale.estimators.series import SeriesSet
    from ecoscale.models import Network


class EcoScaleParameters(SeriesClassifier):
    """Those of `EcoScaleClassifier`."""

    def __init__(
        self,
        *,
        receptive_field: int | None = None,
        kernels: str = "lean",
        width: int = 16,
        network_options: dict[str, Any] | None = None,
        n_epochs: int | None = None,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        standardise: str | None = "training",
        device: str = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.receptive_field = receptive_field
        self.kernels = kernels
        self.width = width
        self.network_options = network_options
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.standardise = standardise
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _network(self, series: SeriesSet, n_classes: int) -> Network:
        config = series_config(
            series.longest,
            series.n_channels,
            receptive_field=self.receptive_field,
            shortest=series.shortest,
            kernels=self.kernels,  # type: ignore[arg-type] - checked there
            width=self.width,
            **(self.network_options or {}),
        )
        return create_model("ecoscalenet", series.n_channels, n_classes, **config)


class OmniScaleParameters(SeriesClassifier):
    """Those of `OmniScaleClassifier`."""

    def __init__(
        self,
        *,
        largest_kernel: int | None = None,
        network_options: dict[str, Any] | None = None,
        n_epochs: int | None = None,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        standardise: str | None = "training",
        device: str = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.largest_kernel = largest_kernel
        self.network_options = network_options
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.standardise = standardise
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def _network(self, series: SeriesSet, n_classes: int) -> Network:
        largest = self.largest_kernel
        if largest is None:
            largest = max(1, min(series.longest // 4, 89))
        return create_model(
            "oscnn", series.n_channels, n_classes, **{"largest_kernel": largest, **(self.network_options or {})}
        )
