"""`ecoscale predict --engine ray`, as a process that is killed, and gone on with by the Ray of the tests."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.conftest import rows
from ecoscale.cli import app

SOURCE = Path(__file__).parents[2] / "src"
PATIENCE = 300
"""Seconds until a run that writes nothing is given up: a Ray takes ten to start, many times that on a busy machine."""


@pytest.mark.usefixtures("ray_of_two")
def test_a_driver_that_is_killed_is_gone_on_with_and_the_rows_are_those_of_one_process(
    archive, undisturbed, classifier, tmp_path
):
    source = shutil.copytree(archive, tmp_path / "source")
    samples = max(source.glob("*.dat"))  # of the last record
    content = samples.read_bytes()
    samples.unlink()
    os.mkfifo(samples)  # in which nothing comes, so that the run does not end before it is ended
    out = tmp_path / "out"
    options = ["--bundle", classifier.bundle.path, "--batch-size", 4, "--part-size", 8, "--out", out]
    command = [str(word) for word in ("predict", source, *options, "--engine", "ray", "--actors", 2)]
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(
            [sys.executable, "-m", "ecoscale", *command],
            stdout=said,
            stderr=said,
            env=os.environ | {"PYTHONPATH": str(SOURCE), "NO_COLOR": "1"},
        )
        begun = time.monotonic()
        while len(list((out / "findings").rglob("part-*.parquet"))) < 3:
            assert time.monotonic() - begun < PATIENCE, (tmp_path / "said").read_text()
            try:
                driver.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail((tmp_path / "said").read_text())
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert "2 actors of 1; dashboard: http://127.0.0.1:" in (tmp_path / "said").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (out / "findings").rglob("part-*.parquet")}
    samples.unlink()
    samples.write_bytes(content)
    resumed = CliRunner().invoke(app, [*command, "--resume"])
    assert resumed.exit_code == 1  # one is no recording
    assert "recordings were done before" in resumed.stderr
    assert "1 of 60 recordings could not be classified" in resumed.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    without_source = [{name: row[name] for name in row if name != "source"} for row in rows(out)]
    assert without_source == [{name: row[name] for name in row if name != "source"} for row in rows(undisturbed)]
