"""Requests gathered into batches: of readers, and of the network. Whatever waits is taken, and nothing more waited for.

A reader's thread takes the files that wait, reads and prepares all, and hands them on together; the network's thread
takes what was handed on. Meanwhile others arrive and become the next batch. So a single request never waits for
another, and under load batches grow by themselves, which takes less time for each than one after the other does.
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ecoscale.errors import EcoscaleError
from ecoscale.reading import READ_AT_ONCE, prepare_signal
from ecoscale.service.answers import refusal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from ecoscale.ecg import ECG
    from ecoscale.inference import Classifier, Prediction
    from ecoscale.reading import PreparedSignal

    Outcome = tuple[asyncio.Future, Any]


class Reading(NamedTuple):
    """An ECG to be read and classified: `future`, of the event loop, gets `answer(ecg, prediction)`."""

    read: Callable[[], ECG]
    answer: Callable[[ECG, Prediction], Any]
    future: asyncio.Future


class Prepared(NamedTuple):
    """One that is read: `future` gets `answer(ecg, prediction)`."""

    prepared: PreparedSignal
    answer: Callable[[ECG, Prediction], Any]
    future: asyncio.Future


class Batches:
    """A classifier, its two queues and the threads that empty them. `seen` is told the size of every batch."""

    def __init__(
        self,
        classifier: Classifier,
        loop: asyncio.AbstractEventLoop,
        *,
        largest: int,
        readers: int,
        seen: Callable[[int], None],
    ) -> None:
        self.classifier, self._loop, self._largest, self._seen = classifier, loop, largest, seen
        self._unread: SimpleQueue[Reading | None] = SimpleQueue()
        self._ready: SimpleQueue[Sequence[Prepared] | None] = SimpleQueue()
        self._readers = [
            Thread(target=self._keep_reading, name=f"ecoscale-reader-{number}", daemon=True)
            for number in range(readers)
        ]
        self._network = Thread(target=self._keep_classifying, name="ecoscale-network", daemon=True)
        for thread in (*self._readers, self._network):
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait to be read."""
        return self._unread.qsize()

    def put(self, reading: Reading) -> None:
        """Have an ECG read and classified."""
        self._unread.put(reading)

    def put_prepared(self, prepared: Sequence[Prepared]) -> None:
        """Have ECGs classified that are read already. From any thread."""
        self._ready.put(prepared)

    def close(self) -> None:
        """Finish what waits, and end the threads."""
        for _ in self._readers:
            self._unread.put(None)
        for thread in self._readers:
            thread.join()
        self._ready.put(None)
        self._network.join()

    def _keep_reading(self) -> None:
        while (first := self._unread.get()) is not None:
            chunk: list[Reading] = [first]
            ends = False
            with suppress(Empty):
                while len(chunk) < READ_AT_ONCE:
                    if (further := self._unread.get_nowait()) is None:
                        ends = True
                        break
                    chunk.append(further)
            prepared, failed = self._prepared(chunk)
            if prepared:
                self._ready.put(prepared)
            if failed:
                settle(self._loop, failed)
            if ends:
                return

    def _prepared(self, chunk: Sequence[Reading]) -> tuple[list[Prepared], list[Outcome]]:
        """Those that can be read and prepared; and the futures of the others, with what they raised."""
        ecgs: list[tuple[Reading, ECG]] = []
        prepared: list[Prepared] = []
        failed: list[Outcome] = []
        # Each step of all of them before the next step: as in `ecoscale.reading`.
        for reading in chunk:
            try:
                ecgs.append((reading, reading.read()))
            except Exception as error:  # whatever it is, who waits must hear of it
                failed.append((reading.future, error))
        for reading, ecg in ecgs:
            try:
                item = prepare_signal(ecg, self.classifier.preparation)
                prepared.append(Prepared(item, reading.answer, reading.future))
            except EcoscaleError as error:
                failed.append((reading.future, refusal(error)))
            except Exception as error:
                failed.append((reading.future, error))
        return prepared, failed

    def _keep_classifying(self) -> None:
        while (first := self._ready.get()) is not None:
            batch = list(first)
            ends = False
            with suppress(Empty):
                while len(batch) < self._largest:
                    if (further := self._ready.get_nowait()) is None:
                        ends = True
                        break
                    batch += further
            for start in range(0, len(batch), self._largest):
                part = batch[start : start + self._largest]
                self._seen(len(part))
                settle(self._loop, list(self._answers(part)))
            if ends:
                return

    def _answers(self, batch: list[Prepared]) -> Iterator[Outcome]:
        try:
            predictions = self.classifier.predict_prepared([item.prepared for item in batch])
        except Exception as error:
            yield from ((item.future, error) for item in batch)
            return
        for item, prediction in zip(batch, predictions, strict=True):
            try:
                yield item.future, item.answer(cast("ECG", item.prepared.signal), prediction)
            except Exception as error:  # of one request, not of its neighbours
                yield item.future, error


def settle(loop: asyncio.AbstractEventLoop, outcomes: Sequence[Outcome]) -> None:
    """Give futures of the event loop their results, or the exceptions they are, from another thread in one call."""
    loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: Sequence[Outcome]) -> None:
    for future, outcome in outcomes:
        if future.done():  # nobody waits any more
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
