"""The Ray engine: parts classified by an autoscaling pool of actors, through Ray Data.

A dataset of parts, each a block of its own, goes through `map` by actors that hold the bundle. An actor reads the
records, classifies them and writes the part's files itself, and only what there is to say of a part comes back: no
signal goes through Ray's object store, and what is in memory does not grow with the archive. Ray gives a part to
another actor when one dies.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from ecoscale.cluster.part import PartOutcome
from ecoscale.cluster.run import Part
from ecoscale.errors import ClusterError, EcoscaleError, MissingExtraError
from ecoscale.workers import available_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecoscale.cluster.part import PartClassifier
    from ecoscale.cluster.worker import WorkerOrders

PARTS_AHEAD = 2
"""Parts that an actor is given at a time: the next waits there, and no actor sits on more when the end is near."""

STARTS = 3
"""Actors that may die one after the other while they start."""

_OBJECT_STORE_BYTES = 128 << 20
"""Of a Ray that is started here: nothing but small rows and the bundle goes through it."""


@dataclass(frozen=True)
class Pool:
    """How many actors there may be: `smallest` from the start, up to `largest` while parts wait."""

    smallest: int
    largest: int

    def __str__(self) -> str:
        return str(self.largest) if self.smallest == self.largest else f"{self.smallest} to {self.largest}"


@dataclass(frozen=True)
class Cluster:
    """A Ray that is connected to: where its dashboard is, if it has one, its processors, and whether it is ours."""

    dashboard: str | None
    processors: int
    is_own: bool

    def pool(self, threads: int, asked: Pool | None = None) -> Pool:
        """The actors asked for, of so many threads each; else what there is room for, from one on where it may grow.

        Raises `ClusterError` for more actors from the start than a Ray of this machine has processors for.
        """
        room = max(1, self.processors // threads)
        if asked is None:
            return Pool(room if self.is_own else 1, room)
        if self.is_own and asked.smallest > room:
            raise ClusterError(
                f"{asked.smallest} actors of {threads} threads: this machine has {self.processors} processors, which "
                f"is room for {room}; ask for fewer actors, or give --address of a cluster"
            )
        return asked


@contextmanager
def connected(address: str | None = None) -> Iterator[Cluster]:
    """Ray while the block lasts: the one at `address` or in `RAY_ADDRESS`, else one started on this machine.

    Where this process is connected already, it stays so. Raises `MissingExtraError` without Ray, `ClusterError` where
    there is none at the address.
    """
    # What a hospital classifies is nobody's business: off, unless somebody has said otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its C++ side writes warnings on what Ray Data does into the terminal.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("the engine 'ray'", "ray", "ray") from error
    _quieten()
    if ray.is_initialized():
        yield _described(ray.init(ignore_reinit_error=True, logging_level=logging.ERROR), is_own=False)
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise ClusterError(
            f"{address}: Ray Client is not supported; run the command on the cluster: ray job submit --address "
            "http://HEAD:8265 -- ecoscale predict ... (docs/cluster.md)"
        )
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": available_cores(), "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        context = ray.init(**options)
    except Exception as error:  # Ray's have no common parent
        if address == "local":
            raise ClusterError(f"Ray does not start on this machine ({error}); --engine local needs none") from error
        raise ClusterError(
            f"{address}: no Ray cluster can be reached there ({error}); start one with 'ray start --head', or leave "
            "out --address for one on this machine"
        ) from error
    try:
        yield _described(context, is_own=address == "local")
    finally:
        ray.shutdown()


def classify_on_ray(parts: Sequence[Part], orders: WorkerOrders, pool: Pool) -> Iterator[PartOutcome]:
    """What came of each part, as they are done. A part whose actor dies is given to another (`MOST_ATTEMPTS`).

    Raises `ClusterError` where the actors do not start.
    """
    import ray.data
    import ray.exceptions

    with _settings(
        enable_progress_bars=False,
        max_errored_blocks=-1,  # what goes wrong with one part in Ray itself does not end the others
        max_consecutive_actor_init_deaths=STARTS,
        execution_no_progress_timeout_s=-1,  # machines of a cluster that grows may take longer than any part
    ):
        rows = ray.data.from_items([asdict(part) for part in parts], override_num_blocks=len(parts)).map(
            cast("Any", _Actor),
            fn_constructor_args=(ray.put(orders),),
            compute=ray.data.ActorPoolStrategy(
                min_size=pool.smallest, max_size=pool.largest, max_tasks_in_flight_per_actor=PARTS_AHEAD
            ),
            num_cpus=orders.threads,
        )
        try:
            for row in rows.iter_rows():
                if row.pop("setup"):
                    raise ClusterError(row["error"])
                yield PartOutcome(**row)
        except ray.exceptions.RayError as error:
            raise ClusterError(f"Ray ended the run ({error}); its logs say more, --resume goes on") from error


class _Actor:
    """A worker process: the bundle is loaded when it begins."""

    def __init__(self, sent: Any) -> None:
        import ray

        orders = cast("WorkerOrders", ray.get(sent))
        self._parts: PartClassifier | None = None
        self._error = ""
        try:
            self._parts = orders.begin()
        except EcoscaleError as error:  # said by the first part: what a constructor raises, Ray wraps in its own words
            self._error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = Part(**row)
        if self._parts is None:
            outcome = PartOutcome(part.listing, part.number, part.records, error=self._error)
        else:
            outcome = self._parts.classify(part)
        return asdict(outcome) | {"setup": self._parts is None}


def _described(context: Any, *, is_own: bool) -> Cluster:
    import ray

    url = context.dashboard_url
    return Cluster(f"http://{url}" if url else None, int(ray.cluster_resources().get("CPU", 0)), is_own)


@contextmanager
def _settings(**settings: Any) -> Iterator[None]:
    """Ray Data's settings of this process while the block lasts."""
    import ray.data

    context = ray.data.DataContext.get_current()
    before = {name: getattr(context, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(context, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


def _quieten() -> None:
    """Leave Ray's remarks to its log files; what concerns a user comes as an error, or from us."""
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
