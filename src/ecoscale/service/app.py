"""The application: routes, errors, the page, and what begins and ends with it."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from ecoscale import __version__
from ecoscale.findings import DISCLAIMER
from ecoscale.service import about, routes
from ecoscale.service.answers import RefusedError, error_answer
from ecoscale.service.boundary import Boundary, internal_error
from ecoscale.service.schemas import Samples
from ecoscale.service.settings import Settings
from ecoscale.service.state import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def from_environment() -> Boundary:
    """The application with the settings that the command left, for a worker process."""
    return create_app(Settings.from_environment())


def create_app(settings: Settings) -> Boundary:
    """The application, an ASGI callable. Bundles are loaded when it starts, by its lifespan."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        _drain_on_signals(service)
        yield
        await service.stop()

    app = FastAPI(
        title="ecoscale",
        version=__version__,
        description=f"Reads 12-lead ECGs and says what they show.\n\n{DISCLAIMER}",
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(routes.router)
    app.include_router(about.router)
    app.mount("/page", StaticFiles(directory=about.PAGE), name="page")
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
    if settings.allowed_hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts))
    app.openapi = lambda: _openapi(app)
    return Boundary(app, service)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    request.app.state.service.metrics.refused.labels(error.code).inc()
    return error_answer(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return await _refused(request, RefusedError(422, "invalid_parameter", f"{name}: {first['msg']}"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "bad_request")
    refused = RefusedError(error.status_code, code, str(error.detail), dict(error.headers or {}))
    return await _refused(request, refused)


async def _unforeseen(_: Request, __: Exception) -> Response:
    return error_answer(internal_error())


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of the API, with the schema of samples, which no parameter names."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema["components"]["schemas"]["Samples"] = Samples.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema


def _drain_on_signals(service: Service) -> None:
    """At SIGTERM and SIGINT: not ready any more, still answering; after a while what the server had set for them.

    Meanwhile a load balancer learns that it should send no more, and answers tell clients to connect anew.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before):
            continue

        def drain(received: int, frame: Any, before: Any = before) -> None:
            if service.draining or not service.settings.drain:
                service.draining = True
                before(received, frame)
                return
            service.draining = True
            loop.call_soon_threadsafe(loop.call_later, service.settings.drain, before, received, None)

        signal.signal(number, drain)
