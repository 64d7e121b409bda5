"""`ecoscale finetune`: from a folder to a bundle that `predict` takes, and what is wrong in one message."""

import re

import pytest

from ecoscale.bundle import Bundle


def test_one_command_goes_from_a_folder_to_a_bundle_that_predicts(run, tiny_bundle, watch, tmp_path):
    out = tmp_path / "tuned"
    result = run(
        *("finetune", tiny_bundle.path, watch, "--out", out, "--findings", "AF", "--once", "--beside-scratch"),
        *("--parts", "3", "--set", "optimisation.epochs=1", "--name", "watch-AF", "--quiet"),
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"^ *AF +\d", result.stdout, re.MULTILINE)
    assert "From scratch:" in result.stdout
    assert re.search(r"Fine-tuned minus from scratch, macro AUROC: [+-]0\.\d+ \[", result.stdout)
    assert "the network reads I, 11 fewer leads than tiny 7 does" in " ".join(result.stdout.split())
    bundle = out / "bundle"
    assert Bundle.load(bundle).title == "watch-AF 1"
    assert f"{bundle}: watch-AF 1; it knew AF already." in result.stderr
    assert f"ecoscale train {out / 'recipe.yaml'} --data folder={watch}" in result.stderr
    # With --once the figures are of the part that chose the epoch, and the card says so.
    assert {path.name for path in (out / "runs").iterdir()} == {"final", "scratch-final"}
    assert "and so was the epoch" in (bundle / "README.md").read_text()
    read = ("--rate", 250, "--unit", "mV", "--leads", "I", "--format", "json")
    predicted = run("predict", watch / "0.npy", "--bundle", bundle, *read)
    assert predicted.exit_code == 0, predicted.output
    assert '"AF"' in predicted.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--labels", "no.csv"], "no.csv: no such folder"),
        (["--findings", "fever"], "the table has no labels fever; it has AF, wide_qrs"),
        (["--once"], "3 patients to measure on; expected at least 5: add records, cross-validate (without --once)"),
        (["--parts", "18"], "patients with it among 36 records; expected at least 18"),
        (["--set", "preparation.rate=250"], "preparation.rate is 250"),
        (["--leads", "I,MLII"], "unknown lead 'MLII' in the leads given"),
        (["--resume"], "nothing to resume here"),
    ],
)
def test_what_is_wrong_is_one_message(run, tiny_bundle, watch, tmp_path, arguments, said):
    result = run("finetune", tiny_bundle.path, watch, "--out", tmp_path / "out", "--quiet", *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("error: ") == 1
    assert said in result.stderr


def test_a_bundle_without_weights_says_what_to_do(run, bundle, watch, tmp_path):
    result = run("finetune", bundle, watch, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "this bundle holds no weights to train on; pack its run again" in result.stderr
