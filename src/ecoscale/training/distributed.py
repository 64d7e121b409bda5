"""One run by several processes: who takes part, who goes first, what they add up, and how they end together.

torchrun and SLURM start the processes of a run themselves; otherwise `launch` does, with what torchrun is made of.
All of them then take the same way: Lightning's environment says which process this is.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.rendezvous import rendezvous

from ecoscale.errors import RecipeError, RunError
from ecoscale.workers import available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from torch.distributed.distributed_c10d import Store

Accelerator = Literal["auto", "cpu", "gpu"]

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another that is silent; one that has ended is noticed at once."""

BEAT = timedelta(minutes=1)
"""How often a process says that it lives, while it does what others wait for before the training."""

_LAUNCHED = "ecoscale-"
_PREPARED = "ecoscale/prepared"


@dataclass(frozen=True)
class Processes:
    """Which process of a run this is. `environment` is Lightning's, none where one process trains alone."""

    rank: int = 0
    number: int = 1
    on_this_machine: int = 1
    environment: ClusterEnvironment | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def strategy(self) -> DDPStrategy | Literal["auto"]:
        """Lightning's strategy."""
        if self.environment is None:
            return "auto"
        return DDPStrategy(cluster_environment=self.environment, timeout=TIMEOUT)

    @contextmanager
    def first_before_others(self, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
        """The first process goes through the block, then the others do; where it fails, `RunError` ends them.

        While it does, the first process of every other machine does what is to be done on each machine (`meanwhile`).
        Each takes as long as it needs, and is waited for as long as it lives.
        """
        if self.environment is None:
            yield
            return
        _end_with_parent()
        os.environ["MASTER_ADDR"] = self.environment.main_address
        os.environ["MASTER_PORT"] = str(self.environment.main_port)
        address = f"env://?rank={self.rank}&world_size={self.number}"
        store, _, _ = next(iter(rendezvous(address, timeout=TIMEOUT)))
        if self.first:
            others = {rank: _heard_by(rank) for rank in range(1, self.number)}
            try:
                with _beating(store, self.rank):
                    yield
            except BaseException:
                store.set(_PREPARED, "no")
                with suppress(RuntimeError):
                    store.wait([*others.values()], timedelta(seconds=10))
                raise
            # The store may be this process's own, and end with this block.
            store.set(_PREPARED, "yes")
            for rank, heard in others.items():
                if not _yes(store, heard, rank):
                    raise RunError(f"process {rank} of {self.number} ended before the training began")
            return
        try:
            if meanwhile is not None and self.environment.local_rank() == 0:
                with _beating(store, self.rank):
                    meanwhile()
        except BaseException:
            with suppress(RuntimeError):
                store.set(_heard_by(self.rank), "no")
            raise
        try:
            prepared = _yes(store, _PREPARED, 0)
            store.set(_heard_by(self.rank), "yes")
        except RuntimeError:  # the first process has ended, and its store with it
            prepared = False
        if not prepared:
            raise RunError(f"process {self.rank} of {self.number}: the first process ended before the training began")
        yield

    @contextmanager
    def ended_together(self) -> Iterator[None]:
        """Raise `RunError` where the block fails since another process has ended."""
        try:
            yield
        except (RuntimeError, torch.distributed.DistError) as error:
            if self.environment is None or not _is_loss_of_another(error):
                raise
            raise RunError(
                f"process {self.rank} of {self.number}: another process of this run has ended, and so the run ends; "
                "what was trained up to the last whole epoch is kept: go on with --resume"
            ) from error


@contextmanager
def _beating(store: Store, rank: int) -> Iterator[None]:
    """In the block, tell the others again and again that this process lives."""
    ended = threading.Event()

    def beat() -> None:
        with suppress(RuntimeError):  # the store has ended: who waits for this process learns it too
            while not ended.wait(BEAT.total_seconds()):
                store.add(_beats_of(rank), 1)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _yes(store: Store, key: str, rank: int) -> bool:
    """What a process says under a key, waited for as long as it lives.

    Raises `RunError` once it has been silent for `TIMEOUT`, `RuntimeError` when the store has ended.
    """
    beats = store.add(_beats_of(rank), 0)
    while True:
        try:
            store.wait([key], TIMEOUT)
        except torch.distributed.DistStoreError as error:
            before, beats = beats, store.add(_beats_of(rank), 0)
            if beats == before:
                raise RunError(f"process {rank} has been silent for {TIMEOUT.total_seconds():.0f} s") from error
        else:
            return store.get(key) == b"yes"


def _beats_of(rank: int) -> str:
    return f"ecoscale/beats of {rank}"


def _heard_by(rank: int) -> str:
    return f"ecoscale/heard by {rank}"


def this_process(devices: int, nodes: int) -> Processes | None:
    """The process that this is; none where the processes of the run are yet to be launched.

    Raises `RecipeError` where torchrun or SLURM started another number of processes, or none on several machines.
    """
    number = devices * nodes
    environment, starter = None, ""
    if TorchElasticEnvironment.detect():
        environment, starter = TorchElasticEnvironment(), "torchrun"
    elif int(os.environ.get("SLURM_NTASKS", "1")) > 1 and SLURMEnvironment.detect():
        try:
            # A run that is queued anew goes on from its own last epoch (--resume).
            environment, starter = SLURMEnvironment(auto_requeue=False), "SLURM"
            environment.validate_settings(devices, nodes)
        except (ValueError, RuntimeError) as error:
            raise RecipeError(f"--devices {devices} --nodes {nodes}: {error}") from error
    if environment is None:
        if nodes > 1:
            raise RecipeError(
                f"--nodes {nodes}: several machines need torchrun or srun on each of them to start the processes; "
                "see docs/scale.md"
            )
        return Processes() if number == 1 else None
    if environment.world_size() != number:
        raise RecipeError(
            f"{starter} started {environment.world_size()} processes; --devices {devices} --nodes {nodes} asks for "
            f"{number}: devices are those of one machine, one process each"
        )
    if number == 1:
        return Processes()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // devices))
    return Processes(environment.global_rank(), number, devices, environment)


def is_first_process(devices: int, nodes: int) -> bool:
    """Whether this process is the one that speaks to the user: not one beside it, nor one that only launches others."""
    process = this_process(devices, nodes)
    return process is not None and process.first


def launch(devices: int) -> None:
    """Run this very command in as many processes, and wait for them. When one ends early, all do.

    Raises `RunError` naming the processes that failed, and `RecipeError` where the command cannot be run again.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if hasattr(sys, "ps1") or sys.orig_argv[1:] in ([], ["-"]):
        raise RecipeError(
            f"devices={devices}: each process runs the command that this one was started with, and an interactive "
            "session has none; call train() in a script, or use ecoscale train"
        )
    # Its reports of what it does and of a process that failed; the error that is raised here says it shorter.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=f"{_LAUNCHED}{uuid.uuid4().hex}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
    except SignalException as error:
        # Asked to end, it has ended the others: it ends as the signal would have it.
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        # The others are then ended by SIGTERM: they are not why.
        failures = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        causes = {rank: status for rank, status in failures.items() if status != -signal.SIGTERM} or failures
        ends = ", ".join(f"process {rank} {_how_it_ended(status)}" for rank, status in causes.items())
        raise RunError(f"the run has ended early: {ends}; what was trained is kept: go on with --resume") from error


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status} (what it said stands above)"
    return f"was ended by {signal.Signals(-status).name}"


def _end_with_parent() -> None:
    """End this process when the one that started it is no more: a launcher that is killed takes nobody along."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_loss_of_another(error: BaseException) -> bool:
    # What gloo raises is a RuntimeError like any other; its text begins with the file of gloo that noticed.
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def total(counts: torch.Tensor) -> torch.Tensor:
    """The sum of the processes' tensors."""
    if not _several():
        return counts
    counts = counts.clone()
    torch.distributed.all_reduce(counts)
    return counts


def mean(value: torch.Tensor) -> torch.Tensor:
    """The mean of the processes' tensors."""
    return total(value) / torch.distributed.get_world_size() if _several() else value


def gathered(own: Any) -> list[Any]:
    """What each process has, by rank."""
    if not _several():
        return [own]
    everyones: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyones, own)
    return everyones


def weight_of_share(known: torch.Tensor) -> torch.Tensor | float:
    """What a process's mean over its `known` labels is multiplied by, so that the processes' mean is that over all.

    DistributedDataParallel averages gradients over processes, whatever the share of the labels that each has.
    """
    if not _several():
        return 1.0
    count = known.sum().float()
    return count * torch.distributed.get_world_size() / total(count).clamp(min=1)


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
