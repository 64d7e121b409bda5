"""`ecoscale reproduce`: a wrong line is answered before hours pass, and the tables say what was found."""

import json

import pytest

TINY = (
    *("--set", "preparation.rate=100", "--set", "preparation.window=800", "--set", "optimisation.epochs=1"),
    *("--set", "ecoscalenet:model.config.width=8", "--set", "optimisation.batch_size=32", "--quiet"),
)


def message(result):
    """What it said, out of typer's box."""
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["code15"], "Invalid value for DIR: give the folder of the collection"),
        (["code15", "--estimate", "--report"], "--estimate and --report exclude each other"),
        (["code15", "--report", "--seeds", "2"], "--report is of the runs that are there, as they are; leave --seeds"),
        (["code15", "--estimate", "--set", "seed"], "Invalid value for --set: 'seed'; expected KEY=VALUE"),
        (["code15", "--estimate", "--models", "resnet"], "error: code15 has no network resnet; it has ecoscalenet"),
        (["code16", "--estimate"], "error: code16/protocol.yaml: not found; give one of code15, or a folder"),
        (["code15", "--report", "--out", "nothing"], "error: nothing: no finished run of code15; train first"),
    ],
)
def test_what_is_wrong_with_the_line_is_one_message(run, arguments, said):
    result = run("reproduce", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in message(result)


def test_it_trains_and_prints_the_comparison_and_prints_it_again_without_training(run, code15, tmp_path):
    out = ("--out", tmp_path / "out", "--models", "ecoscalenet", "--resamples", 20)
    result = run("reproduce", "code15", code15, *out, "--seeds", 1, *TINY)
    assert result.exit_code == 0, result.output
    assert "1 of 1: ecoscalenet, seed 0: training" in result.stderr
    assert "EcoScale-Net as published" in result.stdout
    assert "So to a point, only OS-CNN, un-budgeted fits." in " ".join(result.stdout.split())
    assert f"comparison: {tmp_path / 'out' / 'comparison.md'}" in result.stdout
    again = run("reproduce", "code15", "--report", *out)
    assert again.exit_code == 0, again.output
    assert again.stdout == result.stdout
    assert again.stderr == ""


def test_the_estimate_trains_nothing_and_is_kept_where_it_is_asked_for(run, tmp_path):
    result = run("reproduce", "code15", "--estimate", "--models", "ecoscalenet", "--out", tmp_path / "out", *TINY)
    assert result.exit_code == 0, result.output
    assert "Records: train 242,045, validation 34,578, test 69,156. Epochs: 1." in result.stdout
    assert "68 GB of files, 6.6 GB of prepared signals" in result.stdout
    (path,) = (tmp_path / "out").iterdir()
    assert json.loads(path.read_text())["seeds"] == 5
