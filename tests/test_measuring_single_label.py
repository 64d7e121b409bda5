"""Measuring a bundle of classes that exclude each other, from the run's own figures to the command's."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss
from typer.testing import CliRunner

from ecoscale.cli import app
from ecoscale.datasets import UNKNOWN, open_collection
from ecoscale.errors import DatasetError
from ecoscale.measuring import check_comparable, choose_records, classify_records, compare, evaluate_classified


@pytest.fixture(scope="module")
def classified(block_bundle, blocks):
    collection = open_collection(blocks)
    return classify_records(block_bundle, collection, choose_records(collection, share=(0.7, 1)))


@pytest.fixture(scope="module")
def evaluation(classified):
    return evaluate_classified(classified, n_resamples=20)


@pytest.fixture(scope="module")
def double(blocks, tmp_path_factory):
    """The blocks, two of whose records have two classes, and one none."""
    folder = tmp_path_factory.mktemp("double")
    for file in blocks.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    table = pd.read_csv(folder / "labels.csv")
    table.loc[[0, 3], "RBBB"] = 1
    table.loc[6, "narrow"] = 0
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def test_the_validation_part_gives_the_figures_that_the_run_and_its_bundle_have(
    block_run, block_bundle, classified, evaluation
):
    packed = block_bundle.manifest.metrics["overall"]
    assert list(classified.records) == list(block_run.validation["records"])
    for metric, interval in evaluation.overall.items():
        # The store holds samples in steps of 0.001 mV, and the bundle is read as a user's file.
        assert interval.estimate == pytest.approx(packed[metric]["estimate"], abs=2e-3), metric
    best = max(block_run.history, key=lambda row: row["val_macro_auroc"])
    assert evaluation.overall["accuracy"].estimate == pytest.approx(best["val_accuracy"])


def test_the_figures_are_those_of_the_most_probable_class(classified, evaluation):
    rows = (classified.labels != UNKNOWN).all(axis=1)
    truth, scores = classified.labels[rows].argmax(axis=1), classified.probabilities[rows]
    assert classified.thresholds is None
    assert evaluation.overall["accuracy"].estimate == accuracy_score(truth, scores.argmax(axis=1))
    assert evaluation.overall["log_loss"].estimate == pytest.approx(log_loss(truth, scores))
    assert evaluation.cross_fitted is None


def test_remarks_speak_of_no_thresholds(classified):
    (remark,) = classified.exposure
    assert remark.startswith("calibration and epoch were chosen on")
    assert remark.endswith("the figures are optimistic")


def test_another_prevalence_moves_all_classes_together(classified):
    moved = classified.at_prevalence({"narrow": 0.9})
    np.testing.assert_allclose(moved.probabilities.sum(axis=1), 1)
    odds = classified.probabilities[:, 1] / classified.probabilities[:, 2]
    shares = block_shares(classified)
    np.testing.assert_allclose(moved.probabilities[:, 1] / moved.probabilities[:, 2], odds, rtol=1e-9)
    expected = classified.probabilities * [0.9, *(0.1 * shares[1:] / shares[1:].sum())] / shares
    np.testing.assert_allclose(moved.probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)
    assert moved.thresholds is None


def block_shares(classified):
    return np.array([label.prevalence for label in classified.bundle.manifest.labels])


def test_records_of_several_classes_or_none_are_left_out_and_counted(block_bundle, double):
    collection = open_collection(double)
    found = classify_records(block_bundle, collection, choose_records(collection))
    assert found.contradicting == 3
    assert any(
        "3 of 93 records have several of narrow, RBBB, LBBB, or none, and are left out" in remark
        for remark in found.remarks
    )
    assert (found.labels == UNKNOWN).all(axis=1).sum() == 6
    assert evaluate_classified(found, n_resamples=3).metrics.classes[0].unknown == 6


def test_the_difference_of_two_bundles_is_told_with_accuracy_and_log_loss(classified):
    blunt = replace(classified, probabilities=np.full_like(classified.probabilities, 1 / 3))
    said = compare(classified, blunt, n_resamples=10)
    for figure in ("macro AUROC: +0.5", "macro F1: +", "accuracy: +", "log loss: -"):
        assert figure in said
    assert "accuracy" not in compare(classified, classified, n_resamples=3).splitlines()[0]


def test_a_bundle_of_separate_findings_is_no_rival(block_bundle):
    manifest = block_bundle.manifest
    labels = tuple(label.model_copy(update={"threshold": 0.5}) for label in manifest.labels)
    other = replace(block_bundle, manifest=manifest.model_copy(update={"labels": labels, "single_label": False}))
    with pytest.raises(DatasetError, match=r"is of classes that exclude each other, .* their decisions mean different"):
        check_comparable(other, block_bundle)


def test_the_command_reports_what_all_classes_are_worth(block_bundle, blocks, tmp_path):
    asked = ["evaluate", str(block_bundle.path), str(blocks), "--share", "0.7-1", "--resamples", "5"]
    result = CliRunner().invoke(app, [*asked, "--against", str(block_bundle.path), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for figure in ("balanced accuracy", "log loss", "calibration and epoch were chosen", "accuracy: +0.0000"):
        assert figure in " ".join(result.output.split())
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert set(written["overall"]) == {"accuracy", "balanced_accuracy", "log_loss", "brier", "ece"}
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            assert sum(float(row[f"{name}_probability"]) for name in ("narrow", "RBBB", "LBBB")) == pytest.approx(
                1, abs=2e-6
            )
