"""Probabilities and thresholds where a finding is rarer or commoner than where the bundle was calibrated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from cli.conftest import made_bundle
from ecoscale.bundle import Bundle, write_bundle
from ecoscale.errors import BundleError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.prevalence import (
    correct_probabilities,
    estimate_prevalence,
    estimate_prevalences,
    prevalence_corrections,
)

PROBABILITY = st.floats(0, 1, allow_subnormal=False)  # a subnormal has too few digits to be moved
SHARE = st.floats(0.001, 0.999)


@given(PROBABILITY, SHARE)
def test_the_same_prevalence_changes_nothing(probability, share):
    assert correct_probabilities(probability, share, share) == probability


@given(PROBABILITY, SHARE, SHARE)
def test_corrected_probabilities_are_probabilities_and_go_back(probability, calibrated, wanted):
    corrected = correct_probabilities(probability, calibrated, wanted)
    assert 0 <= corrected <= 1
    # Near 1 a probability has few digits left; odds of a million to one either way lose as many.
    assert correct_probabilities(corrected, wanted, calibrated) == pytest.approx(probability, abs=1e-9)
    assert probability in (0, 1) or wanted == calibrated or (corrected >= probability) == (wanted > calibrated)


@given(st.floats(0.001, 0.999), SHARE, SHARE)
def test_the_log_odds_move_by_the_difference_of_the_prevalences(probability, calibrated, wanted):
    corrected = correct_probabilities(probability, calibrated, wanted)
    assert logit(corrected) == pytest.approx(logit(probability) + logit(wanted) - logit(calibrated), abs=1e-6)


@given(st.lists(PROBABILITY, min_size=2, max_size=20, unique=True), SHARE, SHARE)
def test_the_order_of_records_stays(probabilities, calibrated, wanted):
    corrected = correct_probabilities(np.sort(probabilities), calibrated, wanted)
    assert (np.diff(corrected) >= -1e-15).all()


def test_a_sign_with_known_sensitivity_and_specificity_gets_the_predictive_value_of_bayes():
    def predictive_value(share):
        return 0.9 * share / (0.9 * share + 0.05 * (1 - share))

    assert correct_probabilities(predictive_value(0.2), 0.2, 0.01) == pytest.approx(predictive_value(0.01))


def drawn(n_records, share, calibrated, seed=0):
    """Probabilities calibrated at one prevalence, of records at another, and which have the finding."""
    generator = np.random.default_rng(seed)
    present = np.arange(n_records) < share * n_records
    # Two normal densities of variance 4 whose log likelihood ratio is the score itself.
    score = generator.normal(np.where(present, 2, -2), 2)
    return expit(score + logit(calibrated)), present


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_corrected_probabilities_are_calibrated_at_the_other_prevalence(share):
    probabilities, present = drawn(200_000, share, 0.1)
    corrected = correct_probabilities(probabilities, 0.1, share)
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 1)):
        inside = (corrected >= low) & (corrected < high)
        assert corrected[inside].mean() == pytest.approx(present[inside].mean(), abs=0.01)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_prevalence_is_estimated_without_labels(share):
    probabilities, _ = drawn(50_000, share, 0.1)
    found = estimate_prevalence(probabilities, 0.1)
    assert found == pytest.approx(share, rel=0.1)
    # Where it has settled, the corrected probabilities say the same.
    assert correct_probabilities(probabilities, 0.1, found).mean() == pytest.approx(found, abs=1e-7)


def test_an_estimate_denies_no_finding_altogether():
    assert estimate_prevalence(np.full(200, 1e-6), 0.1) == 0.5 / 200
    assert estimate_prevalence(np.full(200, 1 - 1e-9), 0.1) == 1 - 0.5 / 200


def test_too_few_records_are_refused_for_an_estimate():
    with pytest.raises(BundleError, match=r"estimated from 99 records; at least 100 .* as NAME=SHARE"):
        estimate_prevalence(np.full(99, 0.1), 0.1)


@pytest.fixture
def bundle(tmp_path):
    """A bundle of which AF was calibrated at a prevalence of 0.1, LBBB too but for a sensitivity, ST nowhere."""
    made = Bundle.load(made_bundle(tmp_path / "made"))
    points = ((0.9, 0.3, 0.999), (0.6, 0.7, 0.98), (0.3, 0.9, 0.9), (0.0, 1.0, 0.0))
    changes = {"AF": {"operating_points": points, "threshold": 0.6, "prevalence": 0.1}, "LBBB": {"prevalence": 0.1}}
    labels = tuple(label.model_copy(update=changes.get(label.name, {})) for label in made.manifest.labels)
    manifest = made.manifest.model_copy(update={"labels": labels})
    signal, logits = made.self_test()
    return write_bundle(
        tmp_path / "known", manifest, made.model.read_bytes(), {"signal": signal, "logits": logits}, "card"
    )


def f1(share, sensitivity, specificity):
    hits, alarms = share * sensitivity, (1 - share) * (1 - specificity)
    return 2 * hits / (hits + alarms + share)


@pytest.mark.parametrize("share", [0.0001, 0.005, 0.1, 0.4, 0.9, 0.99])
def test_an_f1_optimal_threshold_becomes_that_of_the_other_prevalence(bundle, share):
    correction = prevalence_corrections(bundle, {"AF": share})["AF"]
    points = bundle.manifest.labels[-1].operating_points
    threshold = max(points, key=lambda point: f1(share, *point[1:]))[0]
    assert correction.threshold == pytest.approx(correct_probabilities(threshold, 0.1, share))
    assert "F1-optimal there" in str(correction)


def test_at_the_bundles_own_prevalence_everything_is_as_it_was(bundle):
    correction = prevalence_corrections(bundle, {"AF": 0.1})["AF"]
    assert correction.threshold == 0.6
    assert correction.probabilities([0.2, 0.7]).tolist() == [0.2, 0.7]


def test_any_other_threshold_moves_with_the_probabilities_so_that_decisions_stay(bundle):
    correction = prevalence_corrections(bundle, {"LBBB": 0.01})["LBBB"]
    probabilities = np.linspace(0, 1, 101)
    np.testing.assert_array_equal(
        correction.probabilities(probabilities) >= correction.threshold,
        probabilities >= bundle.manifest.labels[2].threshold,
    )
    assert correction.threshold < 0.1
    assert "the decisions stay" in str(correction)


@pytest.mark.parametrize(
    ("prevalence", "message"),
    [
        ({"VT": 0.1}, "prevalence of 'VT': cheap 1 knows no such finding; it knows 1dAVb"),
        ({"AF": 0.0}, "prevalence of AF: 0; expected a share of the records between 0 and 1"),
        ({"AF": 2.0}, "prevalence of AF: 2; expected"),
        ({"ST": 0.1}, "prevalence of ST: cheap 1 does not say how common it was .* pack the bundle again"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(bundle, prevalence, message):
    with pytest.raises(BundleError, match=message):
        prevalence_corrections(bundle, prevalence)


def test_findings_whose_prevalence_at_calibration_is_not_known_are_not_estimated(bundle):
    probabilities = np.random.default_rng(0).random((150, 6))
    found = estimate_prevalences(bundle, probabilities)
    assert list(found) == ["LBBB", "AF"]
    assert found["AF"] == estimate_prevalence(probabilities[:, 5], 0.1)
    with pytest.raises(BundleError, match="from 0 records"):
        estimate_prevalences(bundle, [])


def test_a_bundle_that_states_no_prevalence_has_the_counts_of_its_metrics(tmp_path):
    made = Bundle.load(made_bundle(tmp_path / "made"))
    counts = [{"name": finding.name, "positives": 20, "negatives": 80} for finding in CODE_FINDINGS]
    counts[0]["positives"] = 0
    manifest = made.manifest.model_copy(update={"metrics": {"metrics": {"classes": counts}}})
    assert manifest.prevalences == {finding.name: 0.2 for finding in CODE_FINDINGS[1:]}
