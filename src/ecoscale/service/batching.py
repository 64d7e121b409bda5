"""Requests gathered into batches for the network: one thread a bundle takes what waits, and waits for nothing more.

While the network computes a batch, requests that arrive meanwhile become the next one. So a single request never
waits for others, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecoscale.inference import Classifier, Prediction
    from ecoscale.reading import PreparedECG


class _Waiting(NamedTuple):
    prepared: PreparedECG
    answer: Callable[[Prediction], Any]
    future: asyncio.Future


class Batches:
    """A classifier's queue and the thread that empties it."""

    def __init__(
        self, classifier: Classifier, largest: int, loop: asyncio.AbstractEventLoop, seen: Callable[[int], None]
    ) -> None:
        self.classifier, self.largest, self._loop, self._seen = classifier, largest, loop, seen
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="ecoscale-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many prepared ECGs wait for the network."""
        return self._queue.qsize()

    def put(self, prepared: PreparedECG, answer: Callable[[Prediction], Any], future: asyncio.Future) -> None:
        """Have an ECG classified; `future`, of the event loop, gets `answer(prediction)`. From any thread."""
        self._queue.put(_Waiting(prepared, answer, future))

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < self.largest:
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
                if item is None:
                    ended = True
                    break
                batch.append(item)
            self._seen(len(batch))
            settle(self._loop, self._answers(batch))
            if ended:
                return

    def _answers(self, batch: list[_Waiting]) -> list[tuple[asyncio.Future, Any]]:
        try:
            predictions = self.classifier.predict_prepared([item.prepared for item in batch])
        except Exception as error:  # whatever it is, those who wait must hear of it
            return [(item.future, error) for item in batch]
        found = []
        for item, prediction in zip(batch, predictions, strict=True):
            try:
                found.append((item.future, item.answer(prediction)))
            except Exception as error:  # of one request, not of its neighbours
                found.append((item.future, error))
        return found


def settle(loop: asyncio.AbstractEventLoop, outcomes: list[tuple[asyncio.Future, Any]]) -> None:
    """Give futures of the event loop their results, or the exceptions they are, from another thread in one call."""
    loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: list[tuple[asyncio.Future, Any]]) -> None:
    for future, outcome in outcomes:
        if future.done():  # nobody waits any more
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
