"""Answers: JSON, and the one form of every error."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from ecoscale.errors import BundleError, EcoscaleError, FormatError, LeadError, MissingExtraError, SignalError

JSON = "application/json"

_CODES: tuple[tuple[type[EcoscaleError], int, str], ...] = (
    (MissingExtraError, 501, "not_installed"),
    (FormatError, 422, "unreadable_file"),
    (LeadError, 422, "missing_lead"),
    (SignalError, 422, "unfit_signal"),
    (BundleError, 404, "unknown_bundle"),
)


class RefusedError(Exception):
    """A request that is answered with an error: its status, code, message and, if it may be tried again, when."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def refusal(error: EcoscaleError, message: str | None = None) -> RefusedError:
    """What an error of ecoscale is to a client."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return RefusedError(status, code, message or str(error))
    return RefusedError(422, "refused", message or str(error))


def error_answer(refused: RefusedError) -> Response:
    """`{"error": {"code", "message"}}`."""
    content = encoded({"error": {"code": refused.code, "message": refused.message}})
    return Response(content, refused.status, refused.headers, JSON)


def encoded(content: dict[str, Any]) -> bytes:
    """As JSON, where what is not a number is null: NaN is not JSON."""
    try:
        return json.dumps(content, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(content), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
