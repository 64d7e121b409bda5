"""scikit-learn's and aeon's own checks of an estimator, all of them, on networks that are quick to train."""

import warnings

from sklearn.utils.estimator_checks import parametrize_with_checks

from ecoscale import EcoScaleClassifier, OmniScaleClassifier

with warnings.catch_warnings():
    # What aeon's own imports warn of.
    warnings.simplefilter("ignore")
    from aeon.testing.estimator_checking import parametrize_with_checks as parametrize_with_aeons_checks

from ecoscale.estimators import aeon

# scikit-learn's checks ask for four blobs to be told apart.
QUICK = {"n_epochs": 8, "batch_size": 64, "learning_rate": 0.03, "random_state": 0, "device": "cpu"}


@parametrize_with_checks(
    [
        EcoScaleClassifier(width=4, **QUICK),
        OmniScaleClassifier(network_options={"width": 0.05, "minimum_channels": 1}, **QUICK),
    ]
)
def test_scikit_learns_checks_hold(estimator, check):
    check(estimator)


@parametrize_with_aeons_checks([aeon.EcoScaleClassifier, aeon.OmniScaleClassifier])
def test_aeons_checks_hold(check):
    check()
