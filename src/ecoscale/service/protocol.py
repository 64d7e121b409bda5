"""The HTTP protocol of uvicorn, with one difference: at the end, connections that wait are closed a moment later.

A request that is on its way when the service stops has then been received, and is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol
else:
    Protocol = import_from_string(HTTP_PROTOCOLS["auto"])

MOMENT = 0.25
"""Seconds for which a connection stays open to what its client has sent already."""


class LingeringProtocol(Protocol):
    """uvicorn's protocol: httptools where that is installed, else h11."""

    def shutdown(self) -> None:
        """Close the connection in a moment, or after the answer under way."""
        self.loop.call_later(MOMENT, super().shutdown)
