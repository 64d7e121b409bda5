"""What it costs to have a prepared store from object storage: `python benchmarks/storage.py STORE`.

STORE, a prepared store's folder, is put on an S3 server on this machine (moto's, over HTTP, its objects in memory) and
copied from there: by Amazon's own client, and as training does. Beside the seconds stands the processor time of the
client, which is what is left where the network is quick; the server takes its share of the same cores.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from measurement import RESULTS, command_line, describe_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def main(
    store: Annotated[Path, typer.Argument(help="A prepared store.", exists=True, file_okay=False)],
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 3,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "clusters" / "storage.json",
) -> None:
    """Measure, print, and write the figures."""
    size = sum(path.stat().st_size for path in store.iterdir())
    machine = describe_machine()
    with s3_server(), TemporaryDirectory(dir=store.parent) as scratch:
        steps = measured(store, Path(scratch), rounds)
    rows = [
        {
            "name": name,
            "seconds": round(median(wall for wall, _ in times), 3),
            "processor_seconds": round(median(own for _, own in times), 3),
            "mb_per_s": round(size / 1e6 / median(wall for wall, _ in times)),
            "processor_seconds_per_gb": round(median(own for _, own in times) / size * 1e9, 2),
        }
        for name, times in steps.items()
    ]
    content = {"command": command_line(), "bytes": size, "rounds": rounds, "machine": machine, "rows": rows}
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        typer.echo(f"{row['name']:<50} {row['seconds']:8.2f} s  {row['processor_seconds']:8.2f} s of processor")


@contextmanager
def s3_server() -> Iterator[None]:
    """An S3 server with an empty bucket `store`, which this process is signed in to."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket="store")
        yield
    finally:
        server.terminate()
        server.wait()


def measured(store: Path, scratch: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds, and seconds of this process's processor time, of each step in each round."""
    steps: dict[str, list[tuple[float, float]]] = {}
    for turn in range(rounds):
        here = scratch / str(turn)
        here.mkdir()
        for name, work in steps_of_a_turn(store, here).items():
            wall, own = time.perf_counter(), time.process_time()
            work()
            steps.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - own))
        shutil.rmtree(here)
    return steps


def steps_of_a_turn(store: Path, here: Path) -> dict[str, Callable[[], Any]]:
    """What is done one after the other, by name."""
    import boto3

    from ecoscale.datasets.remote import local_folder
    from ecoscale.datasets.store import open_store
    from ecoscale.storage import local_copy, upload

    url, client = "s3://store/a", boto3.client("s3")

    def by_boto3() -> None:
        (here / "boto3").mkdir()
        for path in store.iterdir():
            client.download_file("store", f"a/{path.name}", str(here / "boto3" / path.name))

    return {
        "copied on this disk": lambda: shutil.copytree(store, here / "cp"),
        "uploaded": lambda: upload(here / "cp", url, last="manifest.json", cache=here / "own"),
        "copied by boto3": by_boto3,
        "copied": lambda: local_copy(url, here / "unchecked"),
        "copied and verified": lambda: local_folder(url, here / "verified"),
        "found again and opened by the next run": lambda: open_store(local_folder(url, here / "verified")),
    }


if __name__ == "__main__":
    typer.run(main)
