"""The example of a pulse sensor, in small: from the script's CSVs by the command line alone to a new file's class."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecoscale.cli import app

ROOT = Path(__file__).parents[1]
CLASSES = ["regular", "irregular", "motion", "no_contact"]


@pytest.fixture(scope="module")
def wrists(tmp_path_factory):
    """Segments of ten subjects to train on, and of three others."""
    folder = tmp_path_factory.mktemp("ppg")
    for name, subjects, seed in (("ppg", 10, 0), ("new", 3, 1)):
        subprocess.run(
            [
                *(sys.executable, "-W", "ignore", ROOT / "examples" / "ppg" / "make_data.py", folder / name),
                *("--subjects", str(subjects), "--segments", "8", "--seed", str(seed)),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            check=True,
            capture_output=True,
        )
    return folder


@pytest.fixture
def command(wrists, monkeypatch):
    """The command line, where the folders are."""
    monkeypatch.chdir(wrists)
    runner = CliRunner()

    def run(*arguments):
        done = runner.invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.stderr
        return done

    return run


def test_simulated_wrists_become_a_bundle_that_tells_what_a_new_segment_shows(command):
    small = ("--set", "optimisation.epochs=8", "--set", "model.config.width=8")
    said = command("train", "ppg", *small, "--quiet").stderr
    assert "labels.csv: 4 classes in column label: regular, irregular, motion, no_contact" in said
    assert "80 records, 10 s at 64 Hz; channels ppg (a.u.), acc (g)" in said
    command("pack", "runs/ppg", "--out", "bundles/ppg")
    rows = command("predict", *sorted(Path("new").glob("s*.csv")), "--bundle", "bundles/ppg", "--format", "json").stdout
    told = [json.loads(row)["findings"] for row in rows.splitlines()]
    assert len(told) == 24
    assert all(list(findings) == CLASSES for findings in told)
    assert all(
        sum(finding["probability"] for finding in findings.values()) == pytest.approx(1, abs=1e-4) for findings in told
    )
    assert all(sum(finding["present"] for finding in findings.values()) == 1 for findings in told)
    measured = command("evaluate", "bundles/ppg", "new", "--resamples", 10, "--out", "evaluation")
    assert "trained on" not in measured.stderr
    figures = json.loads(Path("evaluation/evaluation.json").read_text())
    # Motion is in the accelerometer too, which a few epochs find.
    assert figures["metrics"]["classes"][CLASSES.index("motion")]["auroc"] > 0.8
