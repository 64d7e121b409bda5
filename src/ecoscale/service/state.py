"""What one process of the service holds: its bundles, its threads, and the requests that it has accepted."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, MissingExtraError
from ecoscale.inference import Classifier
from ecoscale.measurements import load_neurokit
from ecoscale.service.answers import RefusedError, refusal
from ecoscale.service.batching import Batches, Prepared, Reading, settle
from ecoscale.service.logs import event, passed
from ecoscale.service.metrics import Metrics
from ecoscale.service.uploads import Uploads
from ecoscale.workers import available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ecoscale.ecg import ECG
    from ecoscale.inference import Prediction
    from ecoscale.reading import PreparedSignal
    from ecoscale.service.settings import Settings
    from ecoscale.service.uploads import Upload

FULL_RETRY = 60
"""Seconds after which a client is told to come back, at most."""


class Service:
    """The state behind the routes. `start` and `stop` belong to the event loop that serves."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.draining = False
        self.n_accepted = 0
        self.drawing = Lock()
        self.bundles: dict[str, Batches] = {}
        self._mean_seconds = 1.0
        self._warm = False

    async def start(self) -> None:
        """Load the bundles, which runs their self-tests, and start the threads. Raises `BundleError`."""
        self._loop = asyncio.get_running_loop()
        self.uploads = Uploads(self.settings.temporary)
        try:
            loaded = await asyncio.to_thread(self._load)
        except BaseException:
            self.uploads.close()
            raise
        cores = max(1, available_cores() // self.settings.workers)
        self.slow = ThreadPoolExecutor(cores, "ecoscale-slow")
        for classifier in loaded:
            name = classifier.bundle.manifest.name
            self.bundles[name] = Batches(
                classifier,
                self._loop,
                largest=self.settings.batch_size,
                readers=self.settings.readers or cores,
                seen=partial(self._batch_seen, name),
            )

    def _load(self) -> list[Classifier]:
        settings = self.settings
        threads = settings.threads or max(1, available_cores() // settings.workers)
        loaded = [
            Classifier.load(path, threads=threads, precision=settings.precision) for path in settings.bundles or (None,)
        ]
        for classifier in loaded:
            classifier.bundle.require_ecg("the service")
            # What is made at the first call for several windows is made now, before threads ask for it at once.
            preparation = classifier.preparation
            classifier.logits(np.zeros((2, preparation.n_channels, preparation.window), np.float32))
        return loaded

    async def stop(self) -> None:
        """Finish what was accepted, and remove every file."""
        self.draining = True
        await asyncio.to_thread(self._stop)
        await asyncio.sleep(0)  # what the threads have handed to the loop

    def _stop(self) -> None:
        for batches in self.bundles.values():
            batches.close()
        self.slow.shutdown(wait=True)
        self.uploads.close()

    def warm_up(self) -> None:
        """Load what measurements need, in the background and once; nothing where it is not installed."""
        if not self._warm:
            self._warm = True
            self.slow.submit(_load_neurokit)

    @property
    def ready(self) -> bool:
        """Whether it classifies, and will for a while."""
        return bool(self.bundles) and not self.draining

    def bundle(self, name: str | None) -> Batches:
        """The bundle of that name, the first without one. Raises `RefusedError`."""
        if name is None:
            return next(iter(self.bundles.values()))
        if name not in self.bundles:
            raise RefusedError(
                404, "unknown_bundle", f"bundle {name[:80]!r} is not served here; choose of {', '.join(self.bundles)}"
            )
        return self.bundles[name]

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """A place among the requests under way. Raises `RefusedError` (429) where all are taken."""
        if self.n_accepted >= self.settings.queue:
            retry = min(FULL_RETRY, max(1, math.ceil(self._mean_seconds)))
            raise RefusedError(
                429,
                "busy",
                f"{self.n_accepted} requests are under way, as many as this service takes; try again in {retry} s",
                {"Retry-After": str(retry)},
            )
        self._count(1)
        began = self._loop.time()
        try:
            yield
        finally:
            self._count(-1)
            self._mean_seconds += 0.05 * (self._loop.time() - began - self._mean_seconds)

    def _count(self, change: int) -> None:
        self.n_accepted += change
        self.metrics.under_way.set(self.n_accepted)

    async def classify(
        self, batches: Batches, upload: Upload, read: Callable[[], ECG], answer: Callable[[ECG, Prediction], Any]
    ) -> Any:
        """`answer(ecg, prediction)` of the ECG that `read` gives in a reader's thread; then the upload is removed."""
        future = self._loop.create_future()

        def from_upload() -> ECG:
            with self._reading(upload):
                return read()

        batches.put(Reading(from_upload, answer, future))
        return await self._in_time(future)

    async def classify_all(
        self, batches: Batches, ecgs: Sequence[PreparedSignal], answer: Callable[[ECG, Prediction], Any]
    ) -> list[Any]:
        """`answer(ecg, prediction)` of each, classified together with what else waits."""
        items = [Prepared(ecg, answer, self._loop.create_future()) for ecg in ecgs]
        batches.put_prepared(items)
        return [await self._in_time(item.future) for item in items]

    async def work(self, upload: Upload | None, job: Callable[[], Any]) -> Any:
        """What `job` returns in a thread; the upload is removed after it."""
        future = self._loop.create_future()

        def work() -> None:
            try:
                with self._reading(upload):
                    outcome = job()
            except Exception as error:
                outcome = error
            settle(self._loop, [(future, outcome)])

        self.slow.submit(work)
        return await self._in_time(future)

    @contextmanager
    def _reading(self, upload: Upload | None) -> Iterator[None]:
        """Errors become answers that name no path of this machine, and the upload is removed at the end."""
        try:
            yield
        except EcoscaleError as error:
            raise refusal(error, upload.cleaned(str(error)) if upload else None) from None
        except RefusedError:
            raise
        except Exception as error:
            # A reader that fails so is a bug; that a file cannot be read is still the answer.
            self.metrics.faults.labels("reader").inc()
            event("fault", 40, **passed(error))
            names = ", ".join(upload.names[:3]) if upload else "the ECG"
            raise RefusedError(
                422,
                "unreadable_file",
                f"{names}: cannot be read; the reader failed in a way that was not foreseen ({type(error).__name__}), "
                "which is a bug of ecoscale: please report it",
            ) from None
        finally:
            if upload is not None:
                upload.close()

    async def _in_time(self, future: asyncio.Future) -> Any:
        """A thread's result. Raises `RefusedError` (503) if it takes too long; its place is taken until it is done."""
        done, _ = await asyncio.wait({future}, timeout=self.settings.timeout)
        if done:
            return future.result()
        self._count(1)

        def end(future: asyncio.Future) -> None:
            self._count(-1)
            future.exception()  # nobody else will ask for it

        future.add_done_callback(end)
        raise RefusedError(
            503,
            "timed_out",
            f"the answer took longer than {self.settings.timeout:g} s, the limit of this service",
            {"Retry-After": str(FULL_RETRY)},
        )

    def _batch_seen(self, name: str, size: int) -> None:
        self.metrics.batches.labels(name).observe(size)
        self.metrics.queue.set(sum(batches.waiting for batches in self.bundles.values()))


def _load_neurokit() -> None:
    with suppress(MissingExtraError):
        load_neurokit()
