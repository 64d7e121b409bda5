"""The service as processes: the socket, uvicorn, its workers, and where their figures meet."""

from __future__ import annotations

import logging.config
import os
import socket
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ecoscale.errors import EcoscaleError, MissingExtraError
from ecoscale.service.logs import event, log_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.service.settings import Settings

_BACKLOG = 2048
_KEEP_ALIVE = 30
_HEALTH = 60
"""Seconds in which a worker must answer its parent, who kills it if not: a busy machine may keep it waiting long."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted is finished first. Port 0: one that is free, which the log says.

    Raises `MissingExtraError` without the extra `serve`, and `EcoscaleError` where the port cannot be had.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError("the service", error.name or "fastapi", "serve") from error
    from uvicorn.supervisors import Multiprocess

    settings.to_environment()
    logging.config.dictConfig(log_config(settings.log_format))
    config = uvicorn.Config(
        "ecoscale.service.app:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=settings.workers,
        http="ecoscale.service.protocol:LingeringProtocol",
        ws="none",
        lifespan="on",
        log_config=log_config(settings.log_format),
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_worker_healthcheck=_HEALTH,
        timeout_graceful_shutdown=int(settings.body_timeout + settings.timeout) + 1,
    )
    try:
        listening = _listening(host, port, shared=settings.workers > 1)
    except OSError as error:
        raise EcoscaleError(
            f"{host}:{port}: cannot listen there ({error.strerror}); is it taken? --port 0 takes one that is free"
        ) from error
    address, number = listening.getsockname()[:2]
    url = f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"
    event("listening", url=url, workers=settings.workers, key=settings.api_key is not None)
    if settings.workers == 1:
        uvicorn.Server(config).run(sockets=[listening])
    else:
        with _shared_figures():
            Multiprocess(config, sockets=[listening]).run()
    listening.close()


class _Shared(socket.socket):
    """A port of which every worker process makes a socket of its own when it is handed this one.

    Linux then deals connections out among them. From one common socket, the worker that wakes first takes all.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_worker, (self.family, self.getsockname())


def _of_worker(family: int, address: tuple[Any, ...]) -> socket.socket:
    """Listening from the start: who connects while the bundles are loaded waits, and is not refused."""
    bound = _bound(family, address)
    bound.listen(_BACKLOG)
    return bound


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    bound = _Shared(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound


def _listening(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if shared and sys.platform == "linux":
        return _bound(family, (host, port))
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.set_inheritable(True)
    return listening


@contextmanager
def _shared_figures() -> Iterator[None]:
    """A folder in which worker processes keep their figures, so that each can tell those of all."""
    with tempfile.TemporaryDirectory(prefix="ecoscale-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield
