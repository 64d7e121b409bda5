"""The comparison: figures from the arrays alone, thresholds from validation alone, and what was claimed beside them."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ecoscale.errors import RecipeError
from ecoscale.reproduction import compare, load_protocol, write_comparison
from ecoscale.reproduction.pages import reading, tables
from ecoscale.reproduction.stages import predictions


@pytest.fixture(scope="module")
def comparison(done):
    return compare(done.protocol, done.folder, n_resamples=100, command="ecoscale reproduce code15 CODE-15")


@pytest.fixture
def copy(done, tmp_path):
    """The folder of the reproduction, to be changed."""
    return shutil.copytree(done.folder, tmp_path / "copy")


def decided(logits, thresholds):
    return 1 / (1 + np.exp(-logits.astype(np.float64))) >= thresholds


def test_the_f1_is_that_of_sklearn_at_thresholds_chosen_on_validation(comparison, done):
    network = comparison.networks["oscnn"]
    for position, seed in enumerate(network.seeds):
        run, thresholds = done.run("oscnn", seed), network.thresholds[position]
        validation = run.validation
        # No other cut of the validation probabilities has a better F1 there.
        for column, threshold in enumerate(thresholds):
            truth, logits = validation["labels"][:, column], validation["logits"][:, column]
            if truth.any():
                best = max(f1_score(truth, logits >= cut) for cut in logits)
                assert f1_score(truth, decided(logits, threshold)) == pytest.approx(best)
        with np.load(predictions(run, "test")) as test:
            for column, name in enumerate(run.recipe.findings):
                expected = f1_score(
                    test["labels"][:, column], decided(test["logits"][:, column], thresholds[column]), zero_division=0
                )
                assert comparison.test.networks["oscnn"]["f1"][name].by_seed[position] == pytest.approx(expected)


def test_what_was_changed_and_what_is_missing_is_said(comparison):
    said = "\n".join(comparison.remarks)
    assert "ecoscalenet was not trained by the protocol's recipe: model.config.width=8" in said
    assert "oscnn was not trained by the protocol's recipe" in said
    assert "not trained here: radix_small, oscnn_uncapped, oscnn_unbudgeted" in said
    assert "CODE-test: 30 records measured; 827 are published" in said
    assert "the store holds 119 records; CODE-15% as published has 345,779" in said


def test_the_published_reductions_fit_the_un_budgeted_reading_alone(comparison):
    assert {name: reduction.fits for name, reduction in comparison.reductions.items()} == {
        "oscnn": False,
        "oscnn_uncapped": False,
        "oscnn_unbudgeted": True,
    }
    assert reading(comparison).endswith("So to a point, only OS-CNN, un-budgeted fits.")


def test_differences_are_of_what_is_compared_minus_each_baseline(comparison):
    assert {first: list(others) for first, others in comparison.test.differences.items()} == {"ecoscalenet": ["oscnn"]}
    difference = comparison.test.differences["ecoscalenet"]["oscnn"]["f1"]["macro"]
    figures = comparison.test.networks
    assert difference.mean == pytest.approx(
        figures["ecoscalenet"]["f1"]["macro"].mean - figures["oscnn"]["f1"]["macro"].mean
    )
    assert difference.patients_and_seeds is not None


def test_the_external_test_stands_beside_the_published_reader(comparison):
    external = comparison.external
    assert external.n_records == 30
    (table,) = (table for table in tables(comparison) if table.title.startswith("CODE-test"))
    assert table.rows[-1][0].startswith("network of Ribeiro et al. 2020")
    assert table.rows[-1][1:-1] == (".897", ".944", "1.000", ".882", ".960", ".870")
    assert float(table.rows[-1][-1]) == pytest.approx(0.9255, abs=0.0006)


def test_the_page_the_csv_the_json_and_the_plot_say_the_same(comparison, tmp_path):
    page = write_comparison(comparison, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"comparison.{kind}" for kind in ("md", "csv", "json", "png")}
    text = page.read_text()
    assert "ecoscale reproduce code15 CODE-15" in text
    assert all(table.markdown in text for table in tables(comparison))
    assert "not a diagnosis" in text
    macro = comparison.test.networks["ecoscalenet"]["f1"]["macro"]
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert stored["test"]["networks"]["ecoscalenet"]["f1"]["macro"]["patients"]["estimate"] == macro.mean
    with (tmp_path / "comparison.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (row,) = (
        row
        for row in rows
        if (row["set"], row["network"], row["other"], row["metric"], row["class"])
        == ("test", "ecoscalenet", "", "f1", "macro")
    )
    assert float(row["mean"]) == pytest.approx(macro.mean, abs=1e-6)
    assert float(row["low_patients_and_seeds"]) == pytest.approx(macro.patients_and_seeds.low, abs=1e-6)
    classes = 7
    assert len(rows) == 2 * (2 + 1) * 2 * classes


def test_it_is_made_again_from_the_arrays_alone(comparison, done, copy):
    shutil.rmtree(copy / "stores")
    for folder in (copy / "runs").iterdir():
        shutil.rmtree(folder / "checkpoints")
    again = compare(load_protocol("code15"), copy, n_resamples=100, command=comparison.command)
    assert again.to_dict() == comparison.to_dict()


def test_without_anything_to_compare_with_there_are_no_differences(done):
    shown = compare(done.protocol, done.folder, models=["oscnn"], n_resamples=20)
    assert shown.test.differences == {}
    assert [table.title[:8] for table in tables(shown)] == ["Networks", "Test par", "CODE-tes"]


def test_a_network_with_one_seed_is_compared_over_patients(copy, done):
    shutil.rmtree(copy / "runs" / "oscnn-seed1")
    shown = compare(done.protocol, copy, n_resamples=20)
    figure = shown.test.networks["oscnn"]["f1"]["macro"]
    assert figure.patients_and_seeds is None
    assert math.isnan(figure.deviation)
    assert shown.test.differences["ecoscalenet"]["oscnn"]["f1"]["macro"].patients_and_seeds is None
    assert "or the former for a network with one seed" in write_comparison(shown, copy).read_text()


def test_seeds_of_different_recipes_are_not_averaged(copy, done):
    path = copy / "runs" / "oscnn-seed1" / "recipe.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(
        RecipeError, match=r"oscnn-seed1: trained by another recipe than .*\(optimisation.epochs differ\)"
    ):
        compare(done.protocol, copy, n_resamples=20)


def test_runs_tested_on_other_records_are_not_compared(copy, done):
    path = copy / "runs" / "oscnn-seed1" / "test.npz"
    with np.load(path) as file:
        shorter = {name: values[1:] for name, values in file.items()}
    np.savez(path, **shorter)
    with pytest.raises(RecipeError, match=r"oscnn-seed1/test.npz: records differ from those of the first run"):
        compare(done.protocol, copy, n_resamples=20)


def test_without_a_finished_run_it_says_what_to_do(tmp_path):
    with pytest.raises(RecipeError, match="no finished run of code15; train first"):
        compare(load_protocol("code15"), tmp_path)
