"""What is counted, for Prometheus. With several worker processes their counts lie in shared files and are added up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._own = own
        self.requests = Counter(
            "ecoscale_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=own,
        )
        self.seconds = Histogram(
            "ecoscale_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self.received = Counter("ecoscale_received_bytes", "Bytes of the bodies received.", registry=own)
        self.batches = Histogram(
            "ecoscale_batch_size", "ECGs in one call of the network.", ("bundle",), buckets=_BATCHES, registry=own
        )
        self.refused = Counter("ecoscale_refusals", "Requests refused, by the error's code.", ("code",), registry=own)
        self.faults = Counter(
            "ecoscale_faults",
            "Exceptions that nobody foresaw, each a bug, by where: 'reader' or 'route'.",
            ("where",),
            registry=own,
        )
        self.under_way = Gauge(
            "ecoscale_requests_under_way",
            "Requests accepted and not yet answered.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self.queue = Gauge(
            "ecoscale_queue_length",
            "Prepared ECGs that wait for the network.",
            registry=own,
            multiprocess_mode="livesum",
        )

    def exposition(self) -> bytes:
        """All figures in Prometheus' text format; those of all worker processes where there are several."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._own)
        from prometheus_client.multiprocess import MultiProcessCollector

        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)
        return generate_latest(everyone)

    def queue_is(self, length: Callable[[], int]) -> None:
        """Where the length of the queue is looked up when it is asked for."""
        if MULTIPROCESS not in os.environ:
            self.queue.set_function(length)
