"""Several processes train one run: the batches, gradients and scores of a process alone, and an end together."""

import itertools
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from ecoscale.errors import RecipeError, RunError, StorageError
from ecoscale.training import Run, distributed
from ecoscale.training.batch_norm import ShareBatchNorm
from ecoscale.training.data import EpochBatches
from ecoscale.training.distributed import Processes, launch, this_process, weight_of_share
from ecoscale.training.module import masked_loss


def scores(run):
    return np.array([[row[name] for name in ("train_loss", "val_loss", "val_macro_auroc")] for row in run.history])


def test_two_processes_have_the_loss_curve_of_one(alone, shared):
    # Sums in another order differ by a few parts in 10 million, and Adam lets that grow from step to step; the more
    # before batch norm, where a bias has no gradient but rounding. Only validation, by running means, sees the bias.
    np.testing.assert_allclose(scores(shared)[:, 0], scores(alone)[:, 0], rtol=5e-6)
    np.testing.assert_allclose(scores(shared)[:, 1], scores(alone)[:, 1], rtol=1e-3)


def test_two_processes_validate_every_record_once_and_in_order(alone, shared):
    ours, theirs = shared.validation, alone.validation
    for name in ("records", "patients", "labels"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert len(ours["logits"]) == len(ours["records"]) == 32
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=1e-2, atol=2e-3)


def test_what_two_processes_leave_behind_is_what_one_does(alone, shared):
    left = [{path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*")} for run in (alone, shared)]
    assert {name for name in left[0] if "tfevents" not in name} == {name for name in left[1] if "tfevents" not in name}
    assert sum("tfevents" in name for name in left[1]) == 1
    assert shared.environment["processes"] == shared.resources["processes"] == 2
    assert shared.load_network().state_dict().keys() == alone.load_network().state_dict().keys()


def test_when_one_process_is_killed_the_run_ends_and_goes_on_as_if_undisturbed(begin, shared, tmp_path):
    run = Run(tmp_path / "run")
    with begin(run.folder) as process:
        while run.last_checkpoint is None:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"training ended before it could be killed: {process.stderr.read()}")
        children = psutil.Process(process.pid).children(recursive=True)
        (second,) = (child for child in children if child.environ().get("RANK") == "1")
        second.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "process 1 was ended by SIGKILL; what was trained is kept: go on with --resume" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert len(run.history) < 3
    with begin(run.folder, "--resume") as process:
        said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    np.testing.assert_array_equal(scores(run), scores(shared))
    np.testing.assert_array_equal(run.validation["logits"], shared.validation["logits"])


@pytest.mark.parametrize(("n_examples", "batch_size", "processes"), [(103, 16, 2), (65, 7, 3), (8, 4, 4), (50, 50, 8)])
@pytest.mark.parametrize("seed", [5, None])
def test_processes_share_the_batches_of_one(n_examples, batch_size, processes, seed):
    whole = EpochBatches(n_examples, batch_size, seed)
    shares = [EpochBatches(n_examples, batch_size, seed, 1, rank, processes) for rank in range(processes)]
    for sampler in (whole, *shares):
        sampler.set_epoch(2)
    assert {len(sampler) for sampler in shares} == {len(whole)}
    together = [[*itertools.chain(*parts)] for parts in zip(*shares, strict=True)]
    assert together == list(whole)
    assert all(min(map(len, parts)) >= 1 for parts in zip(*shares, strict=True))


def test_a_batch_that_leaves_a_process_without_exams_is_refused():
    with pytest.raises(RecipeError, match=r"5 exams in 2 batches .* leave one of 4 processes without any"):
        EpochBatches(5, 4, 0, 1, 0, 4)


def in_two_processes(work, tmp_path):
    """What `work(rank)` returns in each of two processes that talk by gloo."""
    torch.multiprocessing.spawn(_worker, (work, tmp_path), nprocs=2)
    return [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]


def _worker(rank, work, tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=rank, world_size=2)
    torch.save(work(rank), tmp_path / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def gradients_of_a_share(rank=None):
    """Of a network with batch norm, on seven exams whose known labels are mostly in the first four."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    x, labels = torch.randn(7, 2, 20) + torch.arange(7.0)[:, None, None], torch.randint(0, 2, (7, 3))
    labels[4:, 1:] = -1
    norm = network[1]
    if rank is not None:
        network = ShareBatchNorm().apply(network)
        norm = network[1]
        network = nn.parallel.DistributedDataParallel(network)
        share = slice(0, 4) if rank == 0 else slice(4, 7)
        x, labels = x[share], labels[share]
    (masked_loss(network(x), labels) * weight_of_share(labels >= 0)).backward()
    return {name.removeprefix("module."): p.grad for name, p in network.named_parameters()} | dict(norm.named_buffers())


def test_shares_of_any_size_with_any_labels_known_have_the_gradient_and_batch_norm_of_the_whole(tmp_path):
    expected = gradients_of_a_share()
    for found in in_two_processes(gradients_of_a_share, tmp_path):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_batch_norms_are_put_back_with_all_they_learnt():
    network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Sequential(nn.BatchNorm1d(4, eps=1e-3, momentum=0.2)))
    network(torch.randn(5, 2, 20))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(3, 2, 20)
    expected = network.eval()(x)
    changed = ShareBatchNorm().apply(network)
    assert type(changed[1][0]) is not nn.BatchNorm1d
    assert torch.equal(changed(x), expected)
    back = ShareBatchNorm().revert(changed)
    assert type(back[1][0]) is nn.BatchNorm1d
    assert (back[1][0].eps, back[1][0].momentum) == (1e-3, 0.2)
    assert all(torch.equal(value, before[name]) for name, value in back.state_dict().items())


@pytest.fixture
def started_by(monkeypatch):
    """As torchrun or SLURM would have started this process."""

    def started(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return started


def test_torchrun_with_another_number_of_processes_is_refused(started_by):
    started_by(TORCHELASTIC_RUN_ID="1", RANK="0", LOCAL_RANK="0", WORLD_SIZE="4")
    with pytest.raises(RecipeError, match="torchrun started 4 processes; --devices 1 --nodes 2 asks for 2"):
        this_process(1, 2)
    assert this_process(2, 2).number == 4


def test_slurm_tasks_that_do_not_fit_are_refused(started_by):
    started_by(SLURM_NTASKS="4", SLURM_NTASKS_PER_NODE="2", SLURM_NNODES="2", SLURM_JOB_NAME="train")
    started_by(SLURM_PROCID="3", SLURM_LOCALID="1", SLURM_NODEID="1")
    with pytest.raises(RecipeError, match=r"--devices 4 --nodes 1: .*SLURM"):
        this_process(4, 1)
    process = this_process(2, 2)
    assert (process.rank, process.number, process.first) == (3, 4, False)


def test_several_machines_without_anything_that_starts_processes_are_refused():
    with pytest.raises(RecipeError, match="several machines need torchrun or srun on each of them"):
        this_process(1, 2)


def test_one_device_is_this_process_and_several_are_yet_to_be_launched():
    assert this_process(1, 1).first
    assert this_process(2, 1) is None


def test_an_interactive_session_cannot_be_run_again(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable])
    with pytest.raises(RecipeError, match=r"an interactive session has none; call train\(\) in a script, or use"):
        launch(2)


@dataclass
class Environment:
    """What tells a process where it is; a machine each."""

    main_port: int
    main_address: str = "127.0.0.1"

    def local_rank(self):
        return 0


@pytest.fixture
def before_training(monkeypatch):
    """What the first process and one of another machine come to before the training, given what each does there."""
    monkeypatch.setattr(distributed, "TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(distributed, "BEAT", timedelta(seconds=0.1))
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = Environment(free.getsockname()[1])

    def come(rank, work):
        process = Processes(rank, 2, 1, environment)
        with process.first_before_others(meanwhile=work):
            if process.first:
                work()
        return f"{rank} trains"

    def both(first, other):
        with ThreadPoolExecutor(2) as pool:
            ended = [pool.submit(come, rank, work) for rank, work in enumerate((first, other))]
            return [future.exception(60) or future.result() for future in ended]

    return both


def long():
    """Work for two and a half times as long as a silent process is waited for."""
    threading.Event().wait(2.5)


def nothing():
    pass


def fail():
    raise StorageError("s3://bucket/store: nothing is there")


@pytest.mark.parametrize(("first", "other"), [(long, nothing), (nothing, long)])
def test_a_machine_that_copies_or_prepares_for_long_is_waited_for(before_training, first, other):
    assert before_training(first, other) == ["0 trains", "1 trains"]


def test_a_machine_that_falls_silent_before_the_training_is_named(before_training, monkeypatch):
    monkeypatch.setattr(distributed, "BEAT", timedelta(hours=1))
    said = [str(outcome) for outcome in before_training(nothing, long)]
    assert said[0] == "process 1 has been silent for 1 s"
    said = [str(outcome) for outcome in before_training(long, nothing)]
    assert said[1] == "process 0 has been silent for 1 s"


@pytest.mark.parametrize(("first", "other"), [(fail, nothing), (nothing, fail)])
def test_a_machine_that_cannot_have_the_store_ends_the_run_on_all(before_training, first, other):
    outcomes = before_training(first, other)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RunError", "StorageError"]
    (told,) = (str(outcome) for outcome in outcomes if isinstance(outcome, RunError))
    assert "ended before the training began" in told
