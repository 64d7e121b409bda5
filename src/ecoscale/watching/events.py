"""Waiting until something may have arrived: told by the system, or after a time."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ecoscale.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESCAN_SECONDS = 60.0
"""How long is waited at most: the system may fail to tell, as of changes on a network drive by another machine."""

EARLY_LOOKS = 5

FALLBACK_SECONDS = 5.0
"""The same where the system cannot tell at all."""


class Waker:
    """Waits for changes of a folder, by `watchfiles`; or, given `poll`, for so many seconds.

    `report` is told when the system cannot watch the folder, which is then looked at every `FALLBACK_SECONDS`.
    Raises `MissingExtraError` without watchfiles, unless `poll` is given.
    """

    def __init__(self, folder: Path, poll: float | None, report: Callable[[str], None]) -> None:
        self.longest = RESCAN_SECONDS if poll is None else poll
        # What arrives before the system has begun to tell is found by looking again.
        self._looks_early = 0 if poll is not None else EARLY_LOOKS
        # Of what may be called from a signal's handler, an Event's lock may be held by the very thread that it stopped.
        self._changes: SimpleQueue[None] = SimpleQueue()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if poll is None:
            try:
                import watchfiles
            except ImportError:
                raise MissingExtraError("ecoscale watch without --poll", "watchfiles", "watch") from None

            def listen() -> None:
                try:
                    for _ in watchfiles.watch(
                        folder, watch_filter=None, debounce=200, stop_event=self._ended, raise_interrupt=False
                    ):
                        self.wake()
                except Exception as error:  # of the system, through a library that does not say which
                    self.longest = FALLBACK_SECONDS
                    report(f"changes are not told ({error}); the folder is looked at every {FALLBACK_SECONDS:g} s")
                    self.wake()

            self._thread = threading.Thread(target=listen, name="ecoscale-watching", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None) -> None:
        """Until something changed, `wake` was called, or so many seconds passed; never longer than `longest`."""
        longest = self.longest
        if self._looks_early:
            self._looks_early -= 1
            longest = min(longest, 1.0)
        with suppress(Empty):
            self._changes.get(timeout=longest if seconds is None else min(seconds, longest))
            while True:
                self._changes.get_nowait()

    def wake(self) -> None:
        """End the waiting; may be called from a signal's handler."""
        self._changes.put(None)

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
