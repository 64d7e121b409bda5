"""A bundle in integers: as accurate as is asked for, with thresholds of its own, or not written."""

import re
import shutil

import numpy as np
import pytest

from ecoscale import quantising
from ecoscale.bundle import Bundle
from ecoscale.datasets import open_collection
from ecoscale.errors import BundleError, RecipeError
from ecoscale.inference import Classifier
from ecoscale.quantising import quantise


def options(code15, stores, fall=1.0):
    """Of `quantise`: few records, and whatever integers cost up to `fall`."""
    sources = {"directories": {"code15": code15}, "stores": stores, "records": 16}
    return sources | {"auroc_fall": fall, "f1_fall": fall, "even_if_slower": True}


def test_the_bundle_holds_both_networks_and_what_the_second_costs(integer_bundle, tiny_bundle, trained_run):
    integers = integer_bundle.manifest.integers
    assert integer_bundle.model.read_bytes() == tiny_bundle.model.read_bytes()
    assert integer_bundle.in_integers().model.stat().st_size < tiny_bundle.model.stat().st_size
    assert [figure.name for figure in integers.figures] == ["macro AUROC", "macro F1", "macro F1, cross-fitted"]
    assert integers.records == len(trained_run.validation["records"])
    assert integers.ranges_from.startswith("32 records of code15")
    assert integers.figures[0].fp32 == pytest.approx(
        tiny_bundle.manifest.metrics["metrics"]["macro"]["auroc"], abs=0.01
    )


def test_integers_have_a_calibration_and_thresholds_of_their_own_for_the_same_findings(integer_bundle):
    before, after = integer_bundle.manifest.labels, integer_bundle.in_integers().manifest.labels
    assert [label.name for label in after] == [label.name for label in before]
    assert [label.prevalence for label in after] == [label.prevalence for label in before]
    assert any(one.slope != other.slope for one, other in zip(before, after, strict=True))
    assert any(one.threshold != other.threshold for one, other in zip(before, after, strict=True))


def test_the_figures_are_those_that_a_classifier_in_integers_reaches(integer_bundle, trained_run, code15):
    from ecoscale.evaluation import measure

    classifier, collection = Classifier(integer_bundle, threads=1), open_collection(code15)
    validation = trained_run.validation
    kept = [at for at, name in enumerate(validation["records"]) if collection.read(name).duration <= 8]
    windows = np.concatenate(
        [classifier.preparation.windows(collection.read(validation["records"][at])) for at in kept]
    )
    logits, expected = classifier.logits(windows), validation["logits"][kept]
    assert np.sqrt(np.mean((logits - expected) ** 2)) < 0.1 * np.std(expected)
    thresholds = [label.threshold for label in classifier.labels]
    reached = measure(validation["labels"][kept], classifier.probabilities(logits), thresholds).macro
    assert reached["f1"] > 0


def test_the_card_says_what_integers_cost_once(integer_bundle, code15, stores, tmp_path):
    again = quantise(
        integer_bundle,
        folder=tmp_path / "again",
        **options(code15, stores),
    )
    card = (again.path / "README.md").read_text()
    assert card.count("## In 8-bit integers") == 1
    assert "ranges of the activations from 16 records of code15" in card
    assert card.index("## In 8-bit integers") < card.index("## Limits")
    assert re.search(r"\| macro AUROC \| 0\.\d{4} \| 0\.\d{4} \| 1 \|", card)


def test_a_bundle_that_would_lose_more_than_is_accepted_is_not_written(
    tiny_bundle, code15, stores, tmp_path, monkeypatch
):
    monkeypatch.setattr(quantising, "TRIED_IN_FLOAT", (1, 3))
    # Not even equal figures would do.
    with pytest.raises(BundleError, match=r"loses more .* macro F1 0\.\d+ in fp32.*Nothing was written") as raised:
        quantise(
            tiny_bundle,
            folder=tmp_path / "out",
            **options(code15, stores, fall=-1),
        )
    assert "even with 3 layers in float" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_bundle_whose_collection_is_not_given_says_which(tiny_bundle, stores, tmp_path):
    with pytest.raises(RecipeError, match="reads code15; say where it lies"):
        quantise(tiny_bundle, {}, tmp_path / "out", stores=stores)


def test_a_threshold_of_a_wanted_sensitivity_keeps_it_in_integers(trained_run, code15, stores, tmp_path):
    from ecoscale.packing import pack

    screening = pack(trained_run, tmp_path / "screening", sensitivity=0.9)
    made = quantise(screening, folder=tmp_path / "out", **options(code15, stores))
    assert not any(label.operating_points for label in made.in_integers().manifest.labels)
    labels, classifier = trained_run.validation["labels"], Classifier(made, threads=1)
    collection = open_collection(code15)
    rows = [at for at, name in enumerate(trained_run.validation["records"]) if collection.read(name).duration <= 8]
    found = classifier.predict_batch([collection.read(trained_run.validation["records"][at]) for at in rows])
    for column, label in enumerate(classifier.labels):
        positive = [at for at, row in enumerate(rows) if labels[row, column] == 1]
        if len(positive) == (labels[:, column] == 1).sum():  # all of those that it was chosen on are here
            hit = np.mean([found[at].findings[label.name].present for at in positive])
            assert hit >= 0.9 - 1e-9, label.name


def test_integers_are_refused_of_a_bundle_without_them(tiny_bundle):
    with pytest.raises(BundleError, match="holds no network in 8-bit integers; make one with ecoscale quantise"):
        Classifier(tiny_bundle, precision="int8")


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_bundle_whose_integers_are_missing_or_changed_is_refused(integer_bundle, tmp_path, change):
    copy = shutil.copytree(integer_bundle.path, tmp_path / "copy")
    change(copy / "model.int8.onnx")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
        Bundle.load(copy)
