"""Packing: what a bundle says of its network is what its run measured."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ecoscale.bundle import Manifest
from ecoscale.calibration import METHODS
from ecoscale.complexity import measure_complexity
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection
from ecoscale.errors import RecipeError
from ecoscale.evaluation import (
    choose_thresholds,
    compare_calibrations,
    fit_calibration,
    fit_platt,
    macro_auroc,
    measure,
)
from ecoscale.findings import CODE_FINDINGS, DISCLAIMER
from ecoscale.inference import Classifier
from ecoscale.packing import describe_parts, measure_run, model_card, pack
from ecoscale.prevalence import prevalence_corrections
from ecoscale.training import Recipe, Run, train
from ecoscale.training.recipe import Part


def test_a_bundle_holds_its_runs_preparation_findings_and_provenance(tiny_bundle, trained_run, tiny_recipe):
    manifest = tiny_bundle.manifest
    assert tiny_bundle.title == "tiny 7"
    assert manifest.preparation == trained_run.preparation
    assert [(label.name, label.title, label.snomed) for label in manifest.labels] == [
        (finding.name, finding.title, finding.snomed) for finding in CODE_FINDINGS
    ]
    assert manifest.provenance["recipe"] == tiny_recipe.model_dump(mode="json")
    # All but the command, which names folders of the machine that it ran on.
    assert manifest.provenance["environment"] | {"command": trained_run.environment["command"]} == (
        trained_run.environment
    )
    assert "command" not in manifest.provenance["environment"]
    assert manifest.provenance["epochs"] == 4
    cost = measure_complexity(trained_run.load_network(), 12, 800)
    assert (manifest.network["parameters"], manifest.network["macs"]) == (cost.parameters, cost.macs)


def test_thresholds_and_calibration_are_chosen_on_the_validation_part(tiny_bundle, trained_run):
    labels, logits = trained_run.validation["labels"], trained_run.validation["logits"]
    calibration = fit_platt(labels, logits)
    thresholds = choose_thresholds(labels, calibration.probabilities(logits)).values
    found = tiny_bundle.manifest.labels
    np.testing.assert_allclose([label.slope for label in found], calibration.slope)
    np.testing.assert_allclose([label.intercept for label in found], calibration.intercept)
    np.testing.assert_allclose([label.threshold for label in found], thresholds)
    assert all(0 < label.threshold < 1 for label in found)
    for said in (tiny_bundle.manifest.thresholds_chosen, tiny_bundle.manifest.calibration_chosen):
        assert "validation part (code15 patients 0.7-1)" in said


def test_the_metrics_are_those_of_the_validation_part(tiny_bundle, trained_run):
    labels, logits = trained_run.validation["labels"], trained_run.validation["logits"]
    metrics = tiny_bundle.manifest.metrics
    assert metrics["metrics"]["macro"]["auroc"] == pytest.approx(macro_auroc(labels, logits), abs=1e-6)
    probabilities = Classifier(tiny_bundle, threads=1).probabilities(logits)
    thresholds = [label.threshold for label in tiny_bundle.manifest.labels]
    expected = measure(labels, probabilities, thresholds).macro["f1"]
    assert metrics["metrics"]["macro"]["f1"] == pytest.approx(expected, abs=1e-6)


def test_the_manifest_is_strict_json_and_goes_round_through_it(tiny_bundle):
    text = (tiny_bundle.path / "bundle.json").read_text(encoding="utf-8")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(text, parse_constant=refuse)["schema_version"] == 1
    assert Manifest.model_validate_json(text) == tiny_bundle.manifest
    assert Manifest.model_validate_json(tiny_bundle.manifest.model_dump_json()) == tiny_bundle.manifest
    assert tiny_bundle.manifest.digest() == tiny_bundle.manifest.checksum


def test_the_self_test_covers_several_findings_and_is_what_the_network_gives(tiny_bundle):
    signal, logits = tiny_bundle.self_test()
    assert signal.shape[1:] == (12, 800)
    assert len(signal) == len(logits) >= 4
    assert np.ptp(logits, axis=0).min() > 0
    np.testing.assert_allclose(Classifier(tiny_bundle, threads=1).logits(signal), logits, atol=1e-5)


def test_the_model_card_states_each_finding_its_figures_and_the_limits(tiny_bundle):
    card = (tiny_bundle.path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tiny 7\n")
    assert DISCLAIMER in card
    assert "F1 cross-fitted" in card
    assert "optimistic" in card
    assert "code15 patients 0-0.7 (seed 1, 4 epochs" in card
    reached = card.split("## What it reached")[1].split("\n## ")[0]
    rows = [line for line in reached.splitlines() if line.startswith("| ")]
    width = rows[0].count("|")
    assert all(row.count("|") == width for row in rows)
    classes = tiny_bundle.manifest.metrics["metrics"]["classes"]
    for label, measured in zip(tiny_bundle.manifest.labels, classes, strict=True):
        (row,) = [row for row in rows if row.startswith(f"| {label.name} |")]
        assert label.snomed in row
        assert f"{label.threshold:.3f}" in row
        assert measured["name"] == label.name
        assert f"{measured['auroc']:.3f} [" in row


def test_the_card_compares_the_calibrations_on_other_patients_and_shows_the_reliability_plot(tiny_bundle, trained_run):
    validation, manifest = trained_run.validation, tiny_bundle.manifest
    compared = compare_calibrations(validation["labels"], validation["logits"], validation["patients"])
    assert manifest.calibrations_compared == compared.figures
    assert manifest.calibration == "platt"
    card = (tiny_bundle.path / "README.md").read_text(encoding="utf-8")
    table = card.split("## Calibration")[1].split("\n## ")[0]
    for method, figures in compared.figures.items():
        title = f"**{METHODS[method]}**" if method == "platt" else METHODS[method]
        assert f"| {title} | {figures['ece']:.4f} | {figures['brier']:.4f} | {figures['log_loss']:.4f} |" in table
    assert "](reliability.png)" in table
    assert (tiny_bundle.path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_a_bundle_may_be_calibrated_by_another_method(trained_run, tmp_path):
    bundle = pack(trained_run, tmp_path / "bundle", calibration="isotonic")
    labels, logits = trained_run.validation["labels"], trained_run.validation["logits"]
    fitted = fit_calibration(labels, logits, "isotonic")
    assert bundle.calibration == replace(fitted, warnings=())
    assert METHODS["isotonic"] in bundle.manifest.calibration_chosen
    probabilities = Classifier(bundle, threads=1).probabilities(logits)
    np.testing.assert_array_equal(probabilities, fitted.probabilities(logits))
    thresholds = choose_thresholds(labels, probabilities).values
    np.testing.assert_array_equal([label.threshold for label in bundle.manifest.labels], thresholds)
    assert f"**{METHODS['isotonic']}**" in (bundle.path / "README.md").read_text(encoding="utf-8")


def test_a_bundle_knows_how_common_findings_were_and_its_thresholds_are_f1_optimal_there(tiny_bundle, trained_run):
    labels = trained_run.validation["labels"]
    shares = {label.name: label.prevalence for label in tiny_bundle.manifest.labels}
    for column, (name, share) in enumerate(shares.items()):
        known = labels[:, column] >= 0
        assert share == pytest.approx((labels[known, column] == 1).mean()), name
    corrections = prevalence_corrections(tiny_bundle, shares)
    for label in tiny_bundle.manifest.labels:
        assert corrections[label.name].threshold == label.threshold


def test_a_run_without_a_finished_epoch_is_not_packed(trained_run, tmp_path):
    for name in ("recipe.yaml", "preparation.json", "environment.json"):
        (tmp_path / name).write_bytes((trained_run.folder / name).read_bytes())
    with pytest.raises(RecipeError, match=r"validation.npz: not there yet; no epoch of this run has ended"):
        pack(Run(tmp_path), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_card_shows_other_runs_beside_the_bundles_own(tiny_bundle, trained_run):
    measured = measure_run(trained_run)
    alone = model_card(tiny_bundle.manifest, measured)
    assert "Beside other networks" not in alone
    table = (
        model_card(tiny_bundle.manifest, measured, [measured]).split("## Beside other networks")[1].split("\n## ")[0]
    )
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert f"{measured.cost.parameters:,}" in rows[0]
    assert f"{measured.evaluation.metrics.macro['auroc']:.3f} [" in rows[0]


def test_thresholds_may_be_those_of_a_wanted_sensitivity(trained_run, tiny_bundle, tmp_path):
    bundle = pack(trained_run, tmp_path / "bundle", sensitivity=0.9)
    assert "the highest with a sensitivity of 0.9 for each finding" in bundle.manifest.thresholds_chosen
    labels, calibrated = trained_run.validation["labels"], measure_run(trained_run).calibration
    probabilities = calibrated.probabilities(trained_run.validation["logits"])
    for column, label in enumerate(bundle.manifest.labels):
        positives = probabilities[labels[:, column] == 1, column]
        assert (positives >= label.threshold).mean() >= 0.9
    assert all(label.operating_points == () for label in bundle.manifest.labels)
    # The network and its calibration are the same.
    assert [label.slope for label in bundle.manifest.labels] == [label.slope for label in tiny_bundle.manifest.labels]


def test_a_run_validated_on_other_records_is_refused_beside(trained_run, tmp_path):
    other = shutil.copytree(trained_run.folder, tmp_path / "other")
    arrays = trained_run.validation
    np.savez(other / "validation.npz", **arrays | {"records": arrays["records"][::-1]})
    with pytest.raises(RecipeError, match="validated on other records or findings"):
        pack(trained_run, tmp_path / "bundle", beside=[Run(other)])
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"folds": (1, 2, 3, 5, 8, 7)}, "ptbxl folds 1-3, 5, 7-8"),
        ({"folds": (9,)}, "ptbxl fold 9"),
        ({"share": (0.0, 0.75)}, "ptbxl patients 0-0.75"),
    ],
)
def test_parts_are_put_in_words(part, words):
    assert describe_parts([Part(collection="ptbxl", **part)]) == words
    assert describe_parts([Part(collection="ptbxl", **part)] * 2) == f"{words}, {words}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")
def test_a_label_of_a_users_own_goes_from_his_table_into_the_bundle(tmp_path, tiny_recipe):
    own = tmp_path / "own"
    write_wfdb(own, synthetic_collection(60, seed=2, rate=100, prevalence=EVEN_PREVALENCE))
    table = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(table.replace("RBBB", "slurred_s", 1))
    parts = {
        "train": [{"collection": "folder", "share": [0, 0.5]}],
        "validation": [{"collection": "folder", "share": [0.5, 1]}],
    }
    changes = {"findings": ["AF", "slurred_s"], "data": parts, "optimisation": {"epochs": 1, "batch_size": 8}}
    recipe = Recipe.model_validate(tiny_recipe.model_dump(mode="json") | changes)
    run = train(recipe, {"folder": own}, tmp_path / "run", stores=tmp_path / "stores", show_progress=False)
    labels = pack(run, tmp_path / "bundle").manifest.labels
    assert [(label.name, label.title, label.snomed) for label in labels] == [
        ("AF", "atrial fibrillation", "164889003"),
        ("slurred_s", "slurred_s", None),
    ]
