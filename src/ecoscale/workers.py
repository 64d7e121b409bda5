"""Work by several workers at once: results in the order of the jobs, and few jobs under way, however many there are.

And work that one process does while others wait.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ecoscale.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future
    from pathlib import Path

Result = TypeVar("Result")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    pool: Executor, function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], ahead: int
) -> Iterator[Result]:
    """`function(*job)` of each job by the pool's workers, in order; `ahead` jobs at most are begun and not yet taken.

    What a job raises is raised here. However it ends, also before its end, the jobs that are not begun are dropped,
    those that are have ended, and the pool is closed.
    """
    waiting = iter(jobs)
    under_way: deque[Future[Result]] = deque()
    try:
        while True:
            while len(under_way) < ahead and (job := next(waiting, None)) is not None:
                under_way.append(pool.submit(function, *job))
            if not under_way:
                return
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_threads(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int, ahead: int
) -> Iterator[Result]:
    """The same by so many threads of this process."""
    from concurrent.futures import ThreadPoolExecutor

    yield from in_order(ThreadPoolExecutor(workers, "ecoscale-worker"), function, jobs, ahead)


@contextmanager
def one_process_at_a_time(path: Path, what: str, extra: str) -> Iterator[None]:
    """Wait until no other process is in such a block with this file.

    The system lets go of it when a process ends, however it does; the empty file stays.
    Raises `MissingExtraError` saying that `what` needs filelock, of an `extra`.
    """
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError(what, "filelock", extra) from error
    with FileLock(path):
        yield
