"""A line for each thing that happened: text, or JSON. File names are in it; nothing that a file says is."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import IO

LogFormat = Literal["text", "json"]


class Log:
    """Writes lines to standard error, or another stream."""

    def __init__(self, form: LogFormat = "text", stream: IO[str] | None = None) -> None:
        self.form = form
        self._stream = stream

    def __call__(self, event: str, said: str = "", *, level: str = "info", **fields: object) -> None:
        """`event` is one word; `said` is for people, `fields` for programs."""
        stream = self._stream or sys.stderr
        at = datetime.now().astimezone()
        if self.form == "json":
            line = json.dumps(
                {"time": at.isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
                | ({"message": said} if said else {})
            )
        else:
            about = " ".join(filter(None, (event, str(fields.get("file", "")))))
            line = f"{at.isoformat(sep=' ', timespec='seconds')} {about}{f': {said}' if said else ''}"
        # A name may hold a newline, which would be a line of its own.
        print(line.replace("\n", "\\n"), file=stream, flush=True)
