"""`ecoscale train` and `ecoscale pack`: a wrong line is answered before hours pass, and a run says what comes next."""

import pytest
import yaml

from ecoscale.bundle import Bundle
from ecoscale.calibration import METHODS
from ecoscale.training import Recipe, Run


@pytest.fixture
def recipe(tmp_path, tiny_recipe):
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_recipe.to_yaml())
    return path


def message(result):
    """What it said, out of typer's box."""
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "code15"], "Invalid value for --data: 'code15'; expected NAME=FOLDER"),
        (["--data", "=folder"], "Invalid value for --data: '=folder'; expected NAME=FOLDER"),
        (["--data", "code15="], "Invalid value for --data: 'code15='; expected NAME=FOLDER"),
        (["--data", "code15=a", "--data", "code15=b"], "Invalid value for --data: code15 is given twice"),
        (["--data", "code15=a", "--set", "seed"], "Invalid value for --set: 'seed'; expected KEY=VALUE"),
        (["--data", "code15=a", "--set", "seed=[1"], "Invalid value for --set: seed=[1; expected a value as YAML"),
    ],
)
def test_an_option_of_the_wrong_form_is_refused(run, recipe, arguments, said):
    result = run("train", recipe, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in message(result)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "optimisation.epochs=-1"], "optimisation.epochs: Input should be greater than or equal to 1"),
        (["--set", "optimisation.epoch=3"], "optimisation.epoch: Extra inputs are not permitted"),
        (["--set", "model.name=resnet"], "no model 'resnet'"),
        (["--resume"], "no run to resume here"),
    ],
)
def test_what_is_wrong_with_the_recipe_is_one_message(run, recipe, code15, tmp_path, arguments, said):
    result = run("train", recipe, "--data", f"code15={code15}", "--out", tmp_path / "run", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("error: ") == 1
    assert said in result.stderr


def test_a_collection_without_a_folder_is_named(run, recipe, tmp_path):
    result = run("train", recipe, "--data", f"ptbxl={tmp_path}", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "error: recipe tiny reads code15; say where it lies" in result.stderr


def test_a_recipe_that_is_not_there_is_named(run, tmp_path):
    result = run("train", tmp_path / "no.yaml", "--data", "code15=a")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'no.yaml'}: cannot be read")


def test_a_run_shows_the_whole_recipe_and_what_comes_next(run, recipe, code15, stores, tmp_path):
    folder = tmp_path / "runs" / "try"
    result = run(
        *("train", recipe, "--data", f"code15={code15}", "--stores", stores, "--out", folder, "--quiet"),
        *("--set", "optimisation.epochs=1", "--set", "optimisation.batch_size=32"),
    )
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    shown, _, ending = result.stderr.partition("\n\n")
    done = Run(folder)
    assert Recipe.model_validate(yaml.safe_load(shown)) == done.recipe
    assert (done.recipe.optimisation.epochs, done.recipe.optimisation.batch_size) == (1, 32)
    assert "of it waiting for the loader; at most" in ending
    assert "1 epochs; best validation macro AUROC" in ending
    assert f"Next: ecoscale pack {folder} --out bundles/tiny" in ending


def test_pack_says_what_it_made_and_what_comes_next(run, bundle, tmp_path, monkeypatch):
    given = {}

    def packed(run, folder, **options):
        given.update(options, run=run.folder, folder=folder)
        return Bundle.load(bundle)

    monkeypatch.setattr("ecoscale.packing.pack", packed)
    options = (
        "--name",
        "mine",
        "--version",
        "3",
        "--sensitivity",
        0.9,
        "--calibration",
        "isotonic",
        "--fewest-positives",
        5,
        "--beside",
        tmp_path / "other",
    )
    result = run("pack", tmp_path / "run", "--out", tmp_path / "bundle", *options)
    assert result.exit_code == 0
    assert [other.folder for other in given.pop("beside")] == [tmp_path / "other"]
    assert (given.pop("run"), given.pop("folder")) == (tmp_path / "run", tmp_path / "bundle")
    expected = {"name": "mine", "version": "3", "sensitivity": 0.9, "calibration": "isotonic", "fewest_positives": 5}
    assert given == expected
    assert f"{bundle}: cheap 1, 72 parameters" in result.stdout
    assert f"Next: ecoscale evaluate {bundle}" in " ".join(result.stdout.split())


def test_pack_shows_every_method_of_calibration(run, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("ecoscale.packing.pack", lambda *_, **__: tiny_bundle)
    shown = run("pack", tmp_path / "run", "--out", tmp_path / "bundle").stdout
    for method, figures in tiny_bundle.manifest.calibrations_compared.items():
        (row,) = [line for line in shown.splitlines() if line.startswith(METHODS[method] + " ")]
        assert row.split()[-3:] == [f"{figures[name]:.4f}" for name in ("ece", "brier", "log_loss")]


def test_pack_refuses_a_folder_without_a_run(run, tmp_path):
    result = run("pack", tmp_path, "--out", tmp_path / "bundle")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not the folder of a training run" in result.stderr
