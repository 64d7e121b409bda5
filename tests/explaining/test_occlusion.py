"""On networks whose answer is known, and on shipped ones where the waves are."""

import numpy as np
import pytest

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG
from ecoscale.errors import BundleError, LeadError
from ecoscale.explaining import explain_ecg
from ecoscale.explaining.occlusion import occlusion_map
from ecoscale.inference import Classifier


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load()


def weighing(*weights):
    """A network whose one logit weighs each lead's mean square."""
    return lambda windows: np.square(windows).mean(axis=2) @ np.array(weights, dtype=np.float32)[:, None]


def noise(n_leads=3, n_samples=400, seed=0):
    return np.random.default_rng(seed).normal(size=(n_leads, n_samples)).astype(np.float32)


def test_a_lead_is_given_what_it_costs_and_one_that_is_not_read_nothing():
    found = occlusion_map(weighing(1, 0, 3), noise(1).repeat(3, axis=0), 0, 100)
    assert not found[1].any()
    assert np.allclose(found[2], 3 * found[0], rtol=1e-3, atol=1e-6)
    assert found[0].sum() > 0
    assert occlusion_map(weighing(1, 0, -3), noise(), 0, 100)[2].sum() < 0


def test_what_leads_cost_together_is_shared_in_full_also_where_either_would_do():
    def either(windows):
        return np.square(windows[:, :2]).mean(axis=2).max(axis=1, keepdims=True)

    # Twice the same lead: alone it costs nothing, since the other is still there.
    window = noise(1).repeat(3, axis=0)
    found = occlusion_map(either, window, 0, 100)
    alone = occlusion_map(lambda windows: np.square(windows).mean(axis=2), window[:1], 0, 100)
    assert np.allclose(found.sum(axis=0), alone[0], atol=1e-6)
    assert np.allclose(found[0], found[1], atol=1e-6)
    assert np.allclose(found[2], 0)


def test_a_moment_that_the_network_looks_at_is_found_to_a_stretch():
    window = noise(2, 1000)
    looked_at = slice(480, 520)
    found = occlusion_map(lambda windows: np.square(windows[:, 1:, looked_at]).mean(axis=2), window, 0, 100)
    assert np.argmax(found.sum(axis=0)) in range(480, 520)
    outside = np.ones(1000, dtype=bool)
    outside[468:532] = False
    assert not found[:, outside].any()
    assert not found[0].any()


def test_a_network_that_answers_always_the_same_has_an_empty_map():
    assert not occlusion_map(lambda windows: np.ones((len(windows), 1)), noise(), 0, 100).any()


def test_taking_out_a_level_line_changes_nothing():
    level = np.full((2, 300), 0.7, dtype=np.float32)
    assert np.allclose(occlusion_map(weighing(5, 5), level, 0, 100), 0, atol=1e-6)


def test_padding_is_not_taken_out():
    window = np.zeros((2, 1000), dtype=np.float32)
    window[:, 300:700] = noise(2)
    found = occlusion_map(weighing(1, 1), window, 0, 100, slice(300, 700))
    assert not found[:, :300].any()
    assert not found[:, 700:].any()
    assert np.allclose(found[:, 300:700], occlusion_map(weighing(0.4, 0.4), noise(2), 0, 100), rtol=1e-4, atol=1e-7)


def test_a_map_of_lbbb_lies_on_the_qrs_and_one_of_1davb_on_the_p_waves(classifier):
    for finding, part, elsewhere in (("LBBB", "QRS", "TQ"), ("1dAVb", "P", "T")):
        made = synthetic_ecg([finding], seed=7, duration=6)
        found = explain_ecg(classifier, made.ecg, finding)
        profile = np.abs(found.values).sum(axis=0)
        middles = found.step * (np.arange(len(profile)) + 0.5)
        assert profile[made.during(part, middles)].mean() > 1.5 * profile.mean(), finding
        assert profile[made.during(elsewhere, middles)].mean() < profile.mean(), finding


def test_an_explanation_tells_its_finding_and_the_classifiers_probability(classifier):
    ecg = synthetic_ecg(["LBBB"], seed=1, duration=7).ecg
    found = explain_ecg(classifier, ecg, "LBBB")
    assert (found.finding, found.method, found.start, found.step) == ("LBBB", "occlusion", 0.0, 0.04)
    assert found.leads == classifier.preparation.leads
    assert found.values.shape == (12, 175)
    assert found.probability == classifier.predict(ecg).findings["LBBB"].probability
    assert found.remainder is None


def test_integers_and_floats_are_explained_by_the_same_network(classifier):
    ecg = synthetic_ecg(["1dAVb"], seed=2, duration=5).ecg
    floats = Classifier.load(precision="fp32")
    assert (classifier.runtime.precision, floats.runtime.precision) == ("int8", "fp32")
    both = [explain_ecg(each, ecg, "1dAVb") for each in (classifier, floats)]
    assert np.allclose(both[0].values, both[1].values, atol=1e-4)


def test_a_bundle_of_fewer_leads_is_explained_in_those_and_a_long_record_from_a_start():
    classifier = Classifier.load("six-findings-holter")
    ecg = synthetic_ecg(["AF"], seed=1, duration=90, rate=250).ecg.select(["II", "V1", "V5"])
    found = explain_ecg(classifier, ecg, "AF", start=70)
    assert (found.leads, found.start, found.values.shape) == (("II", "V1", "V5"), 70, (3, 250))


def test_a_record_of_several_windows_has_one_map(classifier):
    ecg = synthetic_ecg(["AF"], seed=1, duration=12, rate=100).ecg
    classifier = Classifier.load("six-findings-holter")
    found = explain_ecg(classifier, ecg.select(["II", "V1", "V5"]), "AF")
    assert found.values.shape == (3, 300)
    assert found.values.any(axis=0).mean() > 0.9


def test_what_cannot_be_explained_is_refused_by_name(classifier):
    ecg = synthetic_ecg(seed=1).ecg
    with pytest.raises(BundleError, match=r"'VF'.*it knows 1dAVb, RBBB, LBBB, SB, ST, AF"):
        explain_ecg(classifier, ecg, "VF")
    with pytest.raises(LeadError, match="no lead V1"):
        explain_ecg(classifier, ECG(ecg.signal[:6], ecg.rate, ecg.leads[:6]), "AF")
