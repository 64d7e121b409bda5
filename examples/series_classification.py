"""GunPoint classified: a pipeline, a grid search, series of different lengths, and what the network is.

    pip install 'ecoscale[train]' aeon      # aeon carries the set
    python examples/series_classification.py

150 samples of the hand's height: does an actor draw a gun, or point a finger?
"""

from __future__ import annotations

import argparse

import numpy as np
from aeon.datasets import load_gunpoint
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ecoscale import EcoScaleClassifier
from ecoscale.complexity import measure_complexity


def with_differences(series: np.ndarray) -> np.ndarray:
    """A second channel: how each sample differs from the one before."""
    return np.concatenate((series, np.diff(series, axis=-1, prepend=series[..., :1])), axis=1)


def main() -> None:
    """Search on the training part, score on the test part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    epochs = parser.parse_args().epochs

    train, classes = load_gunpoint(split="train")
    test, truth = load_gunpoint(split="test")
    pipeline = Pipeline(
        [
            ("channels", FunctionTransformer(with_differences)),
            ("classifier", EcoScaleClassifier(n_epochs=epochs, random_state=0)),
        ]
    )
    search = GridSearchCV(pipeline, {"classifier__receptive_field": [40, 75]}, cv=2)
    search.fit(train, classes)
    print(f"searched: {search.best_params_}, accuracy {search.best_score_:.2f} on the training part's folds")
    print(f"tested:   accuracy {search.score(test, truth):.2f}")

    network = search.best_estimator_["classifier"].network_
    cost = measure_complexity(network, 2, train.shape[-1])
    print(f"network:  {cost.parameters:,} parameters, {cost.macs / 1e6:.1f} million MACs a series")

    # Series of different lengths are a list; each is computed as if it were alone.
    shortened = [case[:, : 150 - number % 30] for number, case in enumerate(train)]
    uneven = EcoScaleClassifier(n_epochs=epochs, random_state=0).fit(shortened, classes)
    print(f"uneven:   accuracy {uneven.score(list(test), truth):.2f}, trained on series of 121 to 150 samples")


if __name__ == "__main__":
    main()
