"""Figures of a benchmark are those of scikit-learn, seeds together, on the same resamples for every model."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecoscale.benchmarking import BENCHMARKS, BenchmarkReport, Folds, Protocol, Scores, measure_scores
from ecoscale.benchmarking.scoring import record_probabilities
from ecoscale.errors import DatasetError
from ecoscale.training import load_recipe
from ecoscale.training.recipe import packaged_recipe

NAMES = ("CD", "HYP", "MI", "NORM", "STTC")
CLASSES = {"superdiagnostic": NAMES, "statements": (*NAMES, "SR")}


def made(model, seed, *, skill=2.0, names=NAMES, task="superdiagnostic", n=300, others=None, records=None):
    """Scores of a network that knows as much as `skill` says; one in six records has no class of the task."""
    random = np.random.default_rng([seed, len(model)])
    labels = (np.random.default_rng(7).random((n, len(names))) < 0.3).astype(np.int8)
    scores = 1 / (1 + np.exp(-(random.normal(size=labels.shape) + skill * labels - 2)))
    ids = np.array([str(i) for i in range(n)]) if records is None else records
    return Scores(
        task=task,
        model=model,
        seed=seed,
        names=names,
        records=ids,
        patients=np.array([f"ptbxl:{i // 2}" for i in range(n)]),
        labels=labels,
        probabilities=scores,
        validation_labels=labels,
        validation_probabilities=scores,
        others=others or {},
        parameters=1000,
        macs=2_000_000,
        epochs=3,
        seconds=90.0,
    )


def test_macro_auroc_is_scikit_learns_and_of_several_seeds_the_mean():
    seeds = [made("net", 0), made("net", 1), made("net", 2)]
    (found,) = measure_scores(seeds, CLASSES, n_resamples=50)
    expected = [roc_auc_score(one.labels, one.probabilities, average="macro") for one in seeds]
    assert found.by_seed == pytest.approx(expected)
    assert found.auroc.estimate == pytest.approx(np.mean(expected))
    assert found.spread == pytest.approx(np.std(expected, ddof=1))
    assert found.auroc.low < found.auroc.estimate < found.auroc.high
    by_class = [own.auroc.estimate for own in found.classes]
    assert np.mean(by_class) == pytest.approx(np.mean(expected))
    assert measure_scores(seeds[:1], CLASSES, n_resamples=2)[0].spread is None


def test_a_model_differs_from_itself_by_nothing_and_from_a_worse_one_beyond_the_interval():
    better, same, worse = measure_scores(
        [made("good", 0), made("same", 0), made("poor", 0, skill=0.5)], CLASSES, n_resamples=50
    )
    assert better.difference is None
    assert (same.difference.low, same.difference.high) == (0, 0) or same.difference.low < 0 < same.difference.high
    assert worse.difference.high < 0


def test_a_class_without_positives_is_in_no_mean_and_is_named():
    one = made("net", 0)
    one.labels[:, 2] = 0
    (found,) = measure_scores([one], CLASSES, n_resamples=5)
    kept = [0, 1, 3, 4]
    assert found.undefined == ("MI",)
    assert found.auroc.estimate == pytest.approx(roc_auc_score(one.labels[:, kept], one.probabilities[:, kept]))


def test_models_scored_on_other_records_cannot_stand_side_by_side():
    other = made("b", 0, records=np.array([f"x{i}" for i in range(300)]))
    with pytest.raises(DatasetError, match="superdiagnostic: b, seed 0, was scored on other records"):
        measure_scores([made("a", 0), other], CLASSES, n_resamples=5)


def test_a_network_for_more_is_measured_on_the_records_and_classes_of_each_published_task():
    names = CLASSES["statements"]
    plain = made("net", 0, names=names, task="statements")
    labels = plain.labels[:, :5].copy()
    labels[::6] = -1
    wide = made("net", 0, names=names, task="statements", others={"superdiagnostic": labels})
    whole, part = measure_scores([wide], CLASSES, n_resamples=5)
    assert (whole.task, part.task, part.trained_on) == ("statements", "superdiagnostic", "statements")
    assert (whole.n_records, part.n_records) == (300, 250)
    known = (labels >= 0).all(axis=1)
    expected = roc_auc_score(labels[known], wide.probabilities[known][:, :5])
    assert part.auroc.estimate == pytest.approx(expected)


def test_the_report_tells_measured_and_published_apart_in_every_form(tmp_path):
    figures = measure_scores([made("a|b", 0), made("fcn", 0), made("fcn", 1)], CLASSES, n_resamples=20)
    protocol = Protocol(BENCHMARKS["ptbxl"], Folds(tuple(range(1, 9)), 9, 9))
    path = BenchmarkReport(protocol, tuple(figures), ("no patients",), "ecoscale benchmark ptbxl").write(tmp_path)
    text = path.read_text()
    assert "The epoch was chosen on this same fold" in text
    assert "- no patients." in text
    assert "| superdiagnostic | xresnet1d101 | fold 10 (published) |  |  |  |  |  | 0.928 (0.005) |" in text
    assert "| MI | myocardial infarction |" in text
    with (tmp_path / "benchmark.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["published"] for row in rows] == ["0", "0"] + ["1"] * 7
    assert float(rows[1]["macro_auroc"]) == figures[1].auroc.estimate
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["folds"] == {"train": list(range(1, 9)), "validation": 9, "test": 9}
    assert content["figures"][1]["spread"] == figures[1].spread
    with (tmp_path / "benchmark-classes.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 2 * len(NAMES)
    assert "<svg" in (tmp_path / "benchmark.svg").read_text()


class Loudest(torch.nn.Module):
    """Says of each lead its mean over the signal that it is given."""

    def forward(self, signal):
        return signal.mean(dim=2)


def test_windows_are_the_published_ones_and_their_probabilities_the_mean_or_the_largest():
    """Seven windows of 2.5 s, each beginning 1.25 s after the one before; 1 mV in the last one alone."""
    recipe = load_recipe(packaged_recipe("ptbxl/benchmark"))
    signal = np.zeros((1, 12, 1000), dtype=np.float32)
    signal[:, 0, 750:875] = 1
    by = {
        how: record_probabilities(Loudest(), recipe.preparation, signal, how, recipe)[0, 0]
        for how in ("whole", "mean", "max")
    }
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    assert by["whole"] == pytest.approx(sigmoid(0.125))
    assert by["max"] == pytest.approx(sigmoid(0.5))
    assert by["mean"] == pytest.approx((5 * sigmoid(0) + 2 * sigmoid(0.5)) / 7)
