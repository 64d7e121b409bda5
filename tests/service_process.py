"""The service as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).with_name("ecoscale")


@contextmanager
def serve(*options: str) -> Iterator[str]:
    """`ecoscale serve` on a port that is free; yields its address once it is ready, and ends it afterwards."""
    command = [str(COMMAND), "serve", "--port", "0", "--log-format", "json", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            address, lines = "", []
            for line in process.stderr:
                lines.append(line)
                said = json.loads(line) if line.startswith("{") else {}
                address = said.get("url", address)
                if "startup complete" in said.get("event", ""):
                    break
            assert address, "".join(lines)
            # Read on, or the pipe fills and the service waits for room in it.
            Thread(target=process.stderr.read, daemon=True).start()
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)
