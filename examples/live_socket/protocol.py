"""What goes over the socket: a line of JSON that says what follows, then packets of samples.

The line has `rate` (Hz), `leads` and `unit`. A packet is its time in seconds (float64), the number of samples of each
lead (uint32), and those samples (float32, one lead after the other), all little-endian.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

import numpy as np

HEAD = struct.Struct("<dI")
LONGEST_PACKET = 100_000


def write_description(stream: IO[bytes], rate: float, leads: tuple[str, ...], unit: str) -> None:
    """Say what follows."""
    stream.write(json.dumps({"rate": rate, "leads": leads, "unit": unit}).encode() + b"\n")
    stream.flush()


def read_description(stream: IO[bytes]) -> dict[str, Any]:
    """What follows. Raises `ValueError` for a line that is not such a description."""
    line = stream.readline(10_000)
    try:
        said = json.loads(line)
        return {"rate": float(said["rate"]), "leads": [str(lead) for lead in said["leads"]], "unit": str(said["unit"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{line[:80]!r}; expected a line of JSON with rate, leads and unit") from None


def write_packet(stream: IO[bytes], time: float, samples: np.ndarray) -> None:
    """Send samples `(leads, n)`, the first of them taken at `time`."""
    stream.write(HEAD.pack(time, samples.shape[1]) + np.ascontiguousarray(samples, "<f4").tobytes())
    stream.flush()


def read_packet(stream: IO[bytes], n_leads: int) -> tuple[float, np.ndarray] | None:
    """A packet's time and samples; None where the connection ended, also in the middle of a packet."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    time, n = HEAD.unpack(head)
    if n > LONGEST_PACKET:
        raise ValueError(f"a packet of {n} samples; expected at most {LONGEST_PACKET}")
    data = stream.read(4 * n * n_leads)
    if len(data) < 4 * n * n_leads:
        return None
    return time, np.frombuffer(data, "<f4").reshape(n_leads, n)
