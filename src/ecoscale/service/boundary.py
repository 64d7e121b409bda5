"""Around every request: its id, the key, security headers, figures and a log line; and what escapes becomes a 500."""

from __future__ import annotations

import hmac
import secrets
from time import perf_counter
from typing import TYPE_CHECKING

from ecoscale.service.answers import RefusedError, error_answer
from ecoscale.service.logs import event, passed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ecoscale.service.state import Service

OPEN = ("/healthz", "/readyz", "/", "/page")
"""What needs no key: whether it lives, and the page, which holds no data."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Boundary:
    """The outermost application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        key = service.settings.api_key
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, n_received, n_sent = perf_counter(), 0, 0, 0
        request_id = secrets.token_hex(8)

        async def counted() -> Message:
            nonlocal n_received
            message = await receive()
            n_received += len(message.get("body", b""))
            return message

        async def headed(message: Message) -> None:
            nonlocal status, n_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *_HEADERS, (b"x-request-id", request_id.encode())]
                if scope["path"].startswith("/v1/"):
                    headers.append((b"cache-control", b"no-store"))
                if self.service.draining and not any(name == b"connection" for name, _ in headers):
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            else:
                n_sent += len(message.get("body", b""))
            await send(message)

        try:
            if self._admits(scope):
                await self.app(scope, counted, headed)
            else:
                refused = RefusedError(
                    401,
                    "unauthorised",
                    "this service asks for a key; send it as the header X-API-Key, or as Authorization: Bearer KEY",
                    {"WWW-Authenticate": "Bearer"},
                )
                await error_answer(refused)(scope, counted, headed)
        except Exception as error:
            self.service.metrics.faults.labels("route").inc()
            event("fault", 40, id=request_id, **passed(error))
            if not status:
                await error_answer(internal_error())(scope, counted, headed)
        finally:
            self._told(scope, request_id, status, n_received, n_sent, perf_counter() - began)

    def _admits(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._key is None or path in OPEN or path.startswith("/page/"):
            return True
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                value = value[7:].strip()
            elif name != b"x-api-key":
                continue
            if hmac.compare_digest(value, self._key):
                return True
        return False

    def _told(self, scope: Scope, request_id: str, status: int, received: int, sent: int, seconds: float) -> None:
        # The route's pattern, never the path: a client may put anything there.
        route = getattr(scope.get("route"), "path", None) or "none"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        metrics = self.service.metrics
        metrics.requests.labels(route, method, status or "none").inc()
        metrics.seconds.labels(route).observe(seconds)
        metrics.received.inc(received)
        event(
            "request",
            id=request_id,
            route=route,
            method=method,
            status=status or None,
            received=received,
            sent=sent,
            ms=round(1000 * seconds, 2),
        )


def internal_error() -> RefusedError:
    """What a client hears of a bug."""
    return RefusedError(500, "internal_error", "something went wrong here that was not foreseen; see the service's log")
