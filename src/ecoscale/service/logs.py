"""Log lines, as JSON or text, that say what was done and never of whom.

A request's line has its id, route, method, status, bytes and milliseconds. File names, record names, query values,
signals and messages of errors, which may hold such, are in no line; an unforeseen exception is logged by its type and
the lines of code that it passed.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger("ecoscale.service")


class JSONLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        return json.dumps(_fields(record))


class Text(logging.Formatter):
    """`key=value` after the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of text."""
        fields = _fields(record)
        head = f"{fields.pop('time')} {fields.pop('level'):7} {fields.pop('event')}"
        return " ".join([head, *(f"{name}={value}" for name, value in fields.items())])


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        "process": record.process,
        **getattr(record, "fields", {}),
        **({} if record.exc_info is None or record.exc_info[1] is None else passed(record.exc_info[1])),
    }


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log that something happened."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})


def passed(error: BaseException) -> dict[str, Any]:
    """An exception's type and the code that it passed, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": type(error).__name__,
        "passed": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def log_config(form: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: this service's lines and uvicorn's, to standard error."""
    formatter = f"{__name__}.{'JSONLines' if form == 'json' else 'Text'}"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": formatter}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
        "loggers": {
            name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in (LOGGER.name, "uvicorn")
        },
    }
