"""Work on many records by processes: results in order, little in memory, nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeAlias

from ecoscale.workers import available_cores, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ecoscale.workers import Result

Progress: TypeAlias = "Callable[[Iterable[Any], str, int], Iterable[Any]]"
"""What may wrap the items that are worked on, to show how far it is: `progress(items, description, total)`."""


def silent(items: Iterable[Any], _description: str, _total: int) -> Iterable[Any]:
    """No progress bar."""
    return items


WorkerLost = BrokenProcessPool
"""A worker was ended from outside."""

ALONE = 2000
"""Up to so many records one process is quicker than starting others."""


def in_processes(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int | None = None
) -> Iterator[Result]:
    """`function(*job)` of each job, in order, by so many processes (default: all cores); one works in this one.

    A few jobs at a time are under way. What a job raises is raised here, and ends the others. Raises `WorkerLost` when
    a worker was ended from outside.
    """
    workers = workers or available_cores()
    if workers == 1:
        for job in jobs:
            yield function(*job)
        return
    # Spawned: a fork of a process that has threads (training, a notebook) may hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
    yield from in_order(pool, function, jobs, 2 * workers)


def _begin() -> None:
    """In each worker: leave Ctrl-C to the parent, end with it, and use one thread."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A pool's workers outlive a parent that was killed: they would wait for its next word for ever.
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
