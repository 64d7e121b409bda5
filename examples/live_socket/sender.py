"""Plays a record as a device would send it: `python sender.py record.hea --port 5555 --speed 1`.

With `--cut 40:60` the connection is cut at 40 s of the record and made again at 60 s: what lies between is lost.
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from protocol import write_description, write_packet

from ecoscale import EcoscaleError
from ecoscale.formats.long_records import open_long_record

PACKET_SECONDS = 0.1


def play(path: Path, host: str, port: int, speed: float, cut: tuple[float, float] | None) -> None:
    """Send packets of a tenth of a second at the time when each is complete, `speed` times as fast as recorded."""
    record = open_long_record(path)
    n = round(PACKET_SECONDS * record.rate)
    connection, began, sent = None, time.monotonic(), 0
    try:
        for piece in record.pieces():
            for first in range(0, piece.shape[1], n):
                samples = piece[:, first : first + n]
                at = sent / record.rate
                sent += samples.shape[1]
                time.sleep(max(0.0, began + sent / record.rate / speed - time.monotonic()))
                if cut and cut[0] <= at < cut[1]:
                    if connection:
                        connection = hang_up(connection)
                    continue
                connection = connection or call(record, host, port)
                write_packet(connection[1], at, samples)
    finally:
        if connection:
            hang_up(connection)


def call(record, host: str, port: int):
    """Connect, and say what follows."""
    peer = socket.create_connection((host, port), timeout=30)
    stream = peer.makefile("wb")
    write_description(stream, record.rate, record.leads, "mV")
    return peer, stream


def hang_up(connection) -> None:
    """End a connection."""
    peer, stream = connection
    stream.close()
    peer.close()


def stretch(text: str) -> tuple[float, float]:
    """`40:60` as numbers."""
    begin, end = text.split(":")
    return float(begin), float(end)


def main() -> None:
    """Play one record once."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("record", type=Path)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=5555)
    options.add_argument("--speed", type=float, default=1.0, help="times as fast as it was recorded")
    options.add_argument(
        "--cut", type=stretch, help="FROM:TO in seconds: cut the connection, and lose what lies between"
    )
    chosen = options.parse_args()
    try:
        play(chosen.record, chosen.host, chosen.port, chosen.speed, chosen.cut)
    except EcoscaleError as error:
        options.exit(1, f"{error}\n")
    except ConnectionError as error:
        options.exit(1, f"{error}: is the receiver running on {chosen.host}:{chosen.port}?\n")


if __name__ == "__main__":
    main()
