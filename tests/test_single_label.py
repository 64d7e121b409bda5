"""Classes that exclude each other, from a run to what its bundle says: softmax, one answer, no thresholds."""

import numpy as np
import pytest
from scipy.special import softmax

from ecoscale.datasets import open_collection
from ecoscale.evaluation import fit_calibration
from ecoscale.inference import Classifier
from ecoscale.packing import pack


@pytest.fixture(scope="module")
def bundle(block_run, tmp_path_factory):
    return pack(block_run, tmp_path_factory.mktemp("bundles") / "blocks")


@pytest.fixture(scope="module")
def classifier(bundle):
    return Classifier(bundle, threads=1)


@pytest.fixture(scope="module")
def ecgs(blocks):
    collection = open_collection(blocks, "folder")
    return [collection.read(record) for record in collection.records.index[:9]]


def test_probabilities_are_the_softmax_of_the_logits_over_one_temperature(block_run, bundle, classifier, ecgs):
    labels, logits = block_run.validation["labels"], block_run.validation["logits"]
    fitted = fit_calibration(labels, logits, "temperature", single_label=True)
    (slope,) = {label.slope for label in bundle.manifest.labels}
    assert slope == pytest.approx(fitted.slope[0])
    for ecg, prediction in zip(ecgs, classifier.predict_batch(ecgs), strict=True):
        own = classifier.logits(classifier.preparation.windows(ecg)).astype(np.float64)
        found = [finding.probability for finding in prediction.findings.values()]
        np.testing.assert_allclose(found, softmax(own * slope, axis=1)[0], rtol=1e-6)
        before = [finding.uncalibrated for finding in prediction.findings.values()]
        np.testing.assert_allclose(before, softmax(own, axis=1)[0], rtol=1e-6)


def test_exactly_one_class_is_present_the_most_probable(classifier, ecgs):
    for prediction in classifier.predict_batch(ecgs):
        probabilities = {name: finding.probability for name, finding in prediction.findings.items()}
        assert sum(probabilities.values()) == pytest.approx(1)
        assert prediction.present == (max(probabilities, key=probabilities.__getitem__),)
        assert prediction.single_label
        assert {finding.threshold for finding in prediction.findings.values()} == {None}


def test_it_tells_the_blocks_that_it_was_trained_to_tell(classifier, ecgs):
    wanted = ["narrow", "RBBB", "LBBB"] * 3
    assert (
        sum(found.present == (name,) for found, name in zip(classifier.predict_batch(ecgs), wanted, strict=True)) >= 7
    )
