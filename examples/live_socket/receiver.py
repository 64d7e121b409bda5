"""Listens for a live ECG and prints what it shows: `python receiver.py --port 5555`.

One sender at a time, each time it connects for as long as it stays. Where it was cut off and connects again, its
timestamps tell how long it was away: `Stream` takes that for a gap. Nothing here is fit for a hospital's network: no
one is asked who they are, and nothing is encrypted.
"""

from __future__ import annotations

import argparse
import socketserver

from protocol import read_description, read_packet

from ecoscale import Classifier, EcoscaleError, Stream
from ecoscale.findings import DISCLAIMER


class Receiver(socketserver.TCPServer):
    """Keeps the stream between connections."""

    allow_reuse_address = True
    stream: Stream | None = None
    described: dict | None = None

    def __init__(self, port: int, bundle: str | None, hop: float, connections: int | None) -> None:
        self.classifier = Classifier.load(bundle, threads=1)
        self.hop, self.connections = hop, connections
        super().__init__(("127.0.0.1", port), Connection)

    def stream_of(self, described: dict) -> Stream:
        """The stream that goes on, or a new one where the sender is another."""
        if self.stream is None or described != self.described:
            self.stream = Stream(self.classifier, **described, hop=self.hop, persistence=(2, 3))
            self.described = described
        return self.stream


class Connection(socketserver.StreamRequestHandler):
    """One connection, from the description to its end."""

    server: Receiver

    def handle(self) -> None:
        """Push packets into the stream and print each window."""
        try:
            described = read_description(self.rfile)
            stream = self.server.stream_of(described)
            print(f"connected: {len(stream.leads)} leads at {stream.rate:g} Hz", flush=True)
            while packet := read_packet(self.rfile, len(stream.leads)):
                time, samples = packet
                for window in stream.push(samples, time):
                    show(window)
        except (EcoscaleError, ValueError, ConnectionError) as error:
            print(f"refused: {error}", flush=True)
        print("disconnected", flush=True)


def show(window) -> None:
    """One line a window."""
    if window.prediction is None:
        said = f"not classified, {window.reason}"
    else:
        said = ", ".join(f"{name} {window.prediction.findings[name].probability:.3f}" for name in window.present)
    confirmed = f"  confirmed: {', '.join(window.confirmed)}" if window.confirmed else ""
    codes = ", ".join(warning.partition(":")[0] for warning in window.warnings)
    doubts = f"  ({codes})" if window.prediction and codes else ""
    print(f"{window.start:8.1f} to {window.stop:.1f} s  {said or 'none of these'}{confirmed}{doubts}", flush=True)


def main() -> None:
    """Listen until interrupted, or for so many connections."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=5555, help="0: any that is free")
    options.add_argument("--bundle", help="a bundle's folder or name; default: the bundle in the package")
    options.add_argument("--hop", type=float, default=5.0, help="seconds from result to result")
    options.add_argument("--connections", type=int, help="stop after so many")
    chosen = options.parse_args()
    with Receiver(chosen.port, chosen.bundle, chosen.hop, chosen.connections) as receiver:
        print(f"listening on port {receiver.server_address[1]}; {receiver.classifier.bundle.title}", flush=True)
        print(DISCLAIMER, flush=True)
        try:
            if chosen.connections is None:
                receiver.serve_forever()
            for _ in range(chosen.connections or 0):
                receiver.handle_request()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
