"""Training by several machines, by the scripts in deploy/: two machines on this one, the store on an S3 server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from ecoscale.datasets import open_collection
from ecoscale.datasets.preparing import prepare_store
from ecoscale.training import Run

ROOT = Path(__file__).parents[2]
TORCHRUN, SLURM = ROOT / "deploy" / "torchrun" / "train.sh", ROOT / "deploy" / "slurm" / "train.sbatch"


@pytest.fixture
def url(bucket, shared_recipe, code15, stores) -> str:
    """The store of `shared_recipe`."""
    store = prepare_store(open_collection(code15, "code15"), shared_recipe.preparation, stores)
    return bucket.put_folder("stores/code15", store.path)


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Path:
    """What a cluster's machine finds on its path, `srun` among them; a command more is a file here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    add(folder / "srun", f"#!{sys.executable}\n" + (ROOT / "tests" / "fake_srun.py").read_text())
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return folder


def add(path, content):
    path.write_text(content)
    path.chmod(0o755)


@pytest.fixture
def recipe(tmp_path, shared_recipe) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(shared_recipe.to_yaml())
    return path


@pytest.fixture
def submitted(commands, monkeypatch, tmp_path):
    """Run the batch script as sbatch does on the first of two machines, with the variables that it documents."""
    ports = {"SLURM_JOB_ID": str(10_000 + free_port() % 10_000)}  # Lightning makes a port of a job's last digits
    job = {"SLURM_JOB_NAME": "ecoscale-train", "SLURM_JOB_NODELIST": "localhost", "SLURM_NODELIST": "localhost"}
    sizes = {"SLURM_JOB_NUM_NODES": "2", "SLURM_NNODES": "2", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1"}
    own = {"SLURM_TMPDIR": str(tmp_path / "node-local"), "SLURM_CPUS_PER_TASK": "1"}
    for name, value in (ports | job | sizes | own).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ECOSCALE_CACHE", raising=False)

    def begin(*arguments):
        return subprocess.Popen(["bash", SLURM, *map(str, arguments)], stderr=subprocess.PIPE, text=True)

    return begin


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def scores(run):
    return np.array([[row[name] for name in ("train_loss", "val_loss", "val_macro_auroc")] for row in run.history])


def test_a_run_that_lost_a_machine_under_torchrun_goes_on_under_slurm_as_if_undisturbed(
    url, recipe, commands, submitted, shared, tmp_path
):
    run, first = Run(tmp_path / "run"), f"127.0.0.1:{free_port()}"

    def machine(number):
        own = {"NODES": "2", "DEVICES": "1", "FIRST": first, "ADDRESS": "127.0.0.1"}
        own["ECOSCALE_CACHE"] = str(tmp_path / f"machine {number}")
        command = [TORCHRUN, recipe, run.folder, f"code15={url}"]
        return subprocess.Popen(command, env=os.environ | own, stderr=subprocess.PIPE, text=True)

    with machine(1) as one, machine(2) as two:
        while run.last_checkpoint is None:
            try:
                one.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"training ended before a machine could be lost: {one.stderr.read()}")
        processes = [child for machine in (one, two) for child in psutil.Process(machine.pid).children(recursive=True)]
        (second,) = (process for process in processes if process.environ().get("RANK") == "1")
        second.send_signal(signal.SIGTERM)
        said = [machine.communicate(timeout=120)[1] for machine in (one, two)]
    assert one.returncode != 0, said
    assert two.returncode != 0, said
    assert not psutil.wait_procs(processes, timeout=10)[1]
    assert 0 < len(run.history) < 3
    for number in (1, 2):
        assert len(list((tmp_path / f"machine {number}").glob("code15-*"))) == 1

    with submitted(recipe, run.folder, f"code15={url}") as job:
        said = job.communicate(timeout=600)[1]
    assert job.returncode == 0, said
    np.testing.assert_array_equal(scores(run), scores(shared))
    np.testing.assert_array_equal(run.validation["logits"], shared.validation["logits"])
    assert len(list((tmp_path / "node-local" / "ecoscale").glob("code15-*"))) == 1


def test_a_slurm_job_that_is_out_of_time_asks_to_be_queued_anew_and_goes_on_meanwhile(
    commands, submitted, monkeypatch, tmp_path
):
    # In place of the training, something that waits for the test.
    add(commands / "training", f'#!/bin/bash\necho "$@" > {tmp_path}/task-$SLURM_PROCID\nread < {tmp_path}/go\n')
    add(commands / "scontrol", f'#!/bin/bash\necho "$@" > {tmp_path}/asked\n')
    monkeypatch.setenv("ECOSCALE", str(commands / "training"))
    os.mkfifo(tmp_path / "go")
    with submitted("recipe.yaml", tmp_path / "run", "a=s3://b/a", "c=/shared/c") as job:
        with (tmp_path / "go").open("w") as go:  # opens when a task reads
            while not all((tmp_path / f"task-{rank}").exists() for rank in (0, 1)):
                assert job.poll() is None
            job.send_signal(signal.SIGUSR1)
            while not (tmp_path / "asked").exists():
                assert job.poll() is None
            go.write("on\non\n")
        said = job.communicate(timeout=60)[1]
    assert job.returncode == 0, said
    assert (tmp_path / "asked").read_text() == f"requeue {os.environ['SLURM_JOB_ID']}\n"
    expected = (
        f"train recipe.yaml --data a=s3://b/a --data c=/shared/c --out {tmp_path}/run --nodes 2 --devices 1 --quiet"
    )
    assert (tmp_path / "task-1").read_text().strip() == expected


@pytest.mark.parametrize("script", [TORCHRUN, SLURM])
def test_scripts_say_what_they_need_and_hold_no_trap_of_the_shell(script, commands):
    done = subprocess.run(["bash", script, "recipe.yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "RECIPE RUN NAME=STORE..." in done.stderr
    found = subprocess.run([shutil.which("shellcheck"), script], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
