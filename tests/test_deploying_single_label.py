"""What else is made of a bundle of exclusive classes: its integers, a fine-tuned one, the service's answers."""

import numpy as np
import pytest

from cli.conftest import made_bundle
from ecoscale.ecg import LEADS
from ecoscale.evaluation import fit_calibration
from ecoscale.finetuning import ANSWERS, finetune
from ecoscale.inference import Classifier
from ecoscale.quantising import quantise

NAMES = ("narrow", "RBBB", "LBBB")


def test_integers_have_a_temperature_of_their_own_and_are_measured_by_accuracy(block_bundle, blocks, stores, tmp_path):
    made = quantise(
        block_bundle,
        {"folder": blocks},
        tmp_path / "int8",
        stores=stores,
        records=16,
        auroc_fall=1.0,
        f1_fall=1.0,
        even_if_slower=True,
    )
    integers = made.manifest.integers
    assert [figure.name for figure in integers.figures] == ["macro AUROC", "accuracy", "macro F1"]
    assert integers.figures[1].fp32 == pytest.approx(block_bundle.manifest.metrics["overall"]["accuracy"]["estimate"])
    assert integers.figures[1].accepted_fall == 1.0
    (slope,) = {label.slope for label in integers.labels}
    assert slope != block_bundle.manifest.labels[0].slope
    assert {label.threshold for label in integers.labels} == {None}
    assert "Its calibration is its own" in (made.path / "README.md").read_text()
    classifier = Classifier(made, threads=1)
    found = classifier.probabilities(np.zeros((1, 3)))
    np.testing.assert_allclose(found, 1 / 3)


@pytest.fixture(scope="module")
def tuned(block_bundle, blocks, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "again"
    return finetune(block_bundle.path, blocks, out, parts=3, changes={"optimisation.epochs": 1})


def test_what_is_tuned_from_exclusive_classes_is_of_exclusive_classes(tuned):
    manifest = tuned.bundle.manifest
    assert manifest.single_label
    assert tuned.kept == NAMES == tuple(label.name for label in manifest.labels)
    assert manifest.calibration == "temperature"
    assert manifest.provenance["recipe"]["single_label"]


def test_its_figures_are_of_records_that_its_networks_had_not_seen(tuned):
    with np.load(tuned.bundle.path.parent / ANSWERS) as answers:
        labels, logits = answers["labels"], answers["logits"]
    assert len(labels) == 93
    known = (labels == 1).any(axis=1)
    assert known.sum() == 90
    right = logits[known].argmax(axis=1) == labels[known].argmax(axis=1)
    assert tuned.evaluation.overall["accuracy"].estimate == pytest.approx(right.mean())
    fitted = fit_calibration(labels, logits, "temperature", single_label=True)
    assert tuned.bundle.manifest.labels[0].slope == pytest.approx(fitted.slope[0])


def test_the_service_answers_without_thresholds(tmp_path):
    pytest.importorskip("fastapi")
    from ecoscale.service.app import create_app
    from ecoscale.service.settings import Settings
    from service.conftest import TestClient

    folder = made_bundle(tmp_path / "exclusive", name="exclusive", single_label=True)
    random = np.random.default_rng(0)
    content = {"signal": random.normal(size=(12, 1000)).tolist(), "rate": 100, "unit": "mV", "leads": LEADS}
    with TestClient(create_app(Settings(temporary=str(tmp_path), threads=1, bundles=(str(folder),)))) as client:
        about = client.get("/v1/bundle").json()
        assert about["single_label"]
        assert {label["threshold"] for label in about["labels"]} == {None}
        answer = client.post("/v1/predict", json=content)
        assert answer.status_code == 200, answer.text
        findings = answer.json()["findings"]
        assert {said["threshold"] for said in findings.values()} == {None}
        assert sum(said["present"] for said in findings.values()) == 1
