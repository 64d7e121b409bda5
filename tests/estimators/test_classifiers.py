"""Classifiers of series: what they take, that they learn, and that they leave nothing behind."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ecoscale
from ecoscale import EcoScaleClassifier, EcoscaleError, OmniScaleClassifier
from ecoscale.errors import SeriesError
from ecoscale.estimators import aeon, core
from ecoscale.models import EcoScaleNet, series_config

QUICK = {"n_epochs": 3, "learning_rate": 0.02, "random_state": 0, "device": "cpu"}
CLASSIFIERS = [
    EcoScaleClassifier(width=4, **QUICK),
    OmniScaleClassifier(network_options={"width": 0.05, "minimum_channels": 1}, **QUICK),
]
each_classifier = pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda own: type(own).__name__)


def waves(n_cases=24, lengths=(40,), n_channels=2):
    """Slow and fast waves in noise, and their classes."""
    generator = np.random.default_rng(0)
    series = []
    for case in range(n_cases):
        time = np.arange(lengths[case % len(lengths)])
        wave = np.sin(time * (0.3 if case % 2 else 0.9) + generator.uniform(0, 6))
        series.append(3 + 2 * wave + 0.2 * generator.normal(size=(n_channels, len(time))))
    return series if len(lengths) > 1 else np.stack(series), np.where(np.arange(n_cases) % 2, "slow", "fast")


@each_classifier
def test_it_learns_and_gives_the_labels_that_it_was_given(classifier):
    X, y = waves()
    fitted = clone(classifier).set_params(n_epochs=30).fit(X, y)
    assert fitted.score(X, y) == 1.0
    assert fitted.classes_.tolist() == ["fast", "slow"]
    assert set(fitted.predict(X)) == {"fast", "slow"}
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (24, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@each_classifier
def test_series_of_one_channel_may_have_two_dimensions(classifier):
    X, y = waves(n_channels=1)
    flat, deep = clone(classifier).fit(X[:, 0], y), clone(classifier).fit(X, y)
    np.testing.assert_array_equal(flat.predict_proba(X[:, 0]), deep.predict_proba(X))
    np.testing.assert_array_equal(flat.predict_proba(X[:, 0]), flat.predict_proba(X))
    np.testing.assert_array_equal(flat.predict_proba(X[:, 0]), flat.predict_proba(list(X[:, 0])))
    assert flat.n_features_in_ == 40
    assert not hasattr(deep, "n_features_in_")
    # Columns are features to scikit-learn; a longer series comes as one.
    with pytest.raises(ValueError, match="X has 30 features"):
        flat.predict(X[:, 0, :30])
    assert flat.predict(X[:, :, :30]).shape == (24,)


@each_classifier
def test_what_is_said_of_a_series_does_not_depend_on_the_lengths_beside_it(classifier):
    X, y = waves(lengths=(40, 25, 33))
    fitted = clone(classifier).set_params(n_epochs=30).fit(X, y)
    together = fitted.predict_proba(X)
    alone = np.concatenate([fitted.predict_proba([case]) for case in X])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert fitted.score(X, y) == 1.0
    backwards = fitted.predict_proba(X[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-5)


@each_classifier
def test_a_series_shorter_than_any_fitted_to_is_classified(classifier):
    X, y = waves(lengths=(200,))
    fitted = clone(classifier).set_params(n_epochs=1).fit(X, y)
    short = [X[0][:, :3], X[1][:, :150]]
    probabilities = fitted.predict_proba(short)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[:1], fitted.predict_proba(short[:1]), atol=1e-5)


@pytest.mark.parametrize("lengths", [(40,), (40, 25)])
def test_the_seed_decides_and_what_others_draw_does_not_change(lengths):
    X, y = waves(lengths=lengths)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - that it is left alone is what is tested
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    classifier = clone(CLASSIFIERS[0])
    first = classifier.fit(X, y).predict_proba(X)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002
    np.testing.assert_array_equal(clone(classifier).fit(X, y).predict_proba(X), first)
    assert (clone(classifier).set_params(random_state=1).fit(X, y).predict_proba(X) != first).any()
    same = clone(classifier).set_params(random_state=np.random.RandomState(5)).fit(X, y).predict_proba(X)
    again = clone(classifier).set_params(random_state=np.random.RandomState(5)).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(same, again)


@each_classifier
def test_a_pickled_classifier_says_the_same(classifier):
    X, y = waves()
    fitted = clone(classifier).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


def test_it_takes_part_in_a_pipeline_and_a_grid_search():
    X, y = waves()
    differences = FunctionTransformer(np.diff)
    search = GridSearchCV(
        make_pipeline(differences, clone(CLASSIFIERS[0])),
        {"ecoscaleclassifier__receptive_field": [8, 16], "ecoscaleclassifier__width": np.array([4])},
        cv=2,
    ).fit(X, y)
    best = search.best_estimator_[-1]
    expected = series_config(39, 2, receptive_field=search.best_params_["ecoscaleclassifier__receptive_field"], width=4)
    shapes = {name: tensor.shape for name, tensor in EcoScaleNet(2, 2, **expected).state_dict().items()}
    assert {name: tensor.shape for name, tensor in best.network_.state_dict().items()} == shapes
    assert search.predict(X).shape == (24,)


def test_fit_leaves_no_file_and_says_nothing(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    X, y = waves()
    clone(CLASSIFIERS[0]).fit(X, y).predict(X)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_progress_is_shown_where_it_is_asked_for(capsys):
    X, y = waves()
    clone(CLASSIFIERS[0]).set_params(verbose=True, n_epochs=2).fit(X, y)
    assert "4/4" in capsys.readouterr().out


def test_training_is_300_batches_unless_passes_are_asked_for(monkeypatch):
    X, y = waves(n_cases=20, lengths=(4,))
    trained = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *a, **k: (trained.append(1), step(self, *a, **k))[1])
    assert core.STEPS == 300
    monkeypatch.setattr(core, "STEPS", 7)
    clone(CLASSIFIERS[0]).set_params(n_epochs=None, batch_size=10).fit(X, y)
    assert len(trained) == 8  # whole passes, of two batches
    trained.clear()
    clone(CLASSIFIERS[0]).set_params(n_epochs=3, batch_size=8).fit(X, y)
    assert len(trained) == 9


def test_scale_and_offset_say_nothing_where_each_series_is_standardised():
    X, y = waves()
    each = clone(CLASSIFIERS[0]).set_params(standardise="series").fit(X, y)
    np.testing.assert_allclose(each.predict_proba(X), each.predict_proba(10 * X - 5), atol=1e-4)
    training = clone(CLASSIFIERS[0]).fit(X, y)
    assert np.abs(training.predict_proba(X) - training.predict_proba(10 * X - 5)).max() > 0.01
    np.testing.assert_allclose(training.mean_[:, 0], X.mean(axis=(0, 2)))
    np.testing.assert_allclose(training.scale_[:, 0], X.std(axis=(0, 2)))
    # The scale of what it is fitted to does not matter either way.
    np.testing.assert_allclose(
        clone(training).fit(10 * X - 5, y).predict_proba(10 * X - 5), training.predict_proba(X), atol=1e-3
    )


def test_moments_are_those_of_the_series_and_not_of_what_fills_them_up():
    X, y = waves(lengths=(40, 10))
    fitted = clone(CLASSIFIERS[0]).set_params(n_epochs=1).fit(X, y)
    every = np.concatenate(X, axis=1)
    np.testing.assert_allclose(fitted.mean_[:, 0], every.mean(axis=1))
    np.testing.assert_allclose(fitted.scale_[:, 0], every.std(axis=1))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_epochs": 0}, "n_epochs=0: Input should be greater than or equal to 1"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"width": 5}, "width 5: expected an even number"),
        ({"receptive_field": 0}, "receptive field 0"),
        ({"kernels": "even"}, "kernels 'even'; expected one of"),
        ({"network_options": {"depth": 3}}, "ecoscalenet has no option depth"),
        ({"standardise": "each"}, "standardise='each'; expected one of 'training', 'series', None"),
        ({"device": "abacus"}, "device 'abacus'"),
    ],
)
def test_a_parameter_out_of_its_range_is_named(parameters, message):
    X, y = waves()
    with pytest.raises(SeriesError, match=message) as caught:
        clone(CLASSIFIERS[0]).set_params(**parameters).fit(X, y)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, EcoscaleError)


@each_classifier
def test_series_that_cannot_be_used_are_refused(classifier):
    X, y = waves(lengths=(40, 25))
    with pytest.raises(SeriesError, match="series of 1 and 2 channels"):
        clone(classifier).fit([X[0][:1], *X[1:]], y)
    with pytest.raises(SeriesError, match="y holds one class"):
        clone(classifier).fit(X, ["a"] * len(X))
    with pytest.raises(ValueError, match="NaN"):
        clone(classifier).fit([np.full((2, 5), np.nan), *X[1:]], y)
    fitted = clone(classifier).set_params(n_epochs=1).fit(X, y)
    with pytest.raises(SeriesError, match="series of 1 channels; expected 2"):
        fitted.predict([case[:1] for case in X])


def test_aeons_classes_say_what_scikit_learns_do():
    X, y = waves(lengths=(40, 25))
    for ours, own in ((EcoScaleClassifier, aeon.EcoScaleClassifier), (OmniScaleClassifier, aeon.OmniScaleClassifier)):
        expected = ours(**QUICK).fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(own(**QUICK).fit(X, y).predict_proba(X), expected)
        assert own().get_params() == ours().get_params()


def test_they_are_found_at_the_top():
    assert {"EcoScaleClassifier", "OmniScaleClassifier"} <= set(dir(ecoscale))
