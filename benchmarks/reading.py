"""How fast recordings are read and prepared: `python benchmarks/reading.py`.

From a WFDB record to 1,000 samples at 100 Hz without baseline wander, one thread: by `ecoscale.read_ecg` and
`Preparation`, by wfdb and scipy, and by wfdb and torch_ecg's preprocessors (in their environment, where `make
bench-peers` has made it). Each in a process of its own, in turn, on the same records, which are in the page cache.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from measurement import RESULTS, command_line, describe_machine, progress_bar, significant, write_results
from path import recording_paths, write_synthetic
from peers.environments import python_of
from peers.peer import measure_in_turn, open_peers

OURS, BY_HAND = "ecoscale", "wfdb and scipy by hand"
HERE, THERE = Path(sys.executable), python_of("torch_ecg")
READERS = {
    BY_HAND: (HERE, "by hand"),
    OURS: (HERE, "ecoscale"),
    "wfdb and scipy by hand, with torch_ecg's pins": (THERE, "by hand"),
    "wfdb and torch_ecg's preprocessors": (THERE, "torch_ecg"),
}
"""By name: the interpreter and what its worker reads with. wfdb reads headers through pandas, whose version decides
how long that takes, and torch_ecg wants an older one."""
BATCH = 20
"""Records that one call reads."""


def main(
    records: Annotated[
        Path | None, typer.Option(help="Folder of 12-lead WFDB records; synthetic ones without it.", file_okay=False)
    ] = None,
    n: Annotated[int, typer.Option(min=8, help="Records of the folder that are read, again and again.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 1.0,
    out: Annotated[Path, typer.Option(help="The figures as JSON.")] = RESULTS / "reading.json",
) -> None:
    """Measure, and write the figures."""
    machine = describe_machine()
    with TemporaryDirectory() as scratch:
        paths = recording_paths(records or write_synthetic(Path(scratch) / "synthetic", n), n)
        source = Path(scratch) / "paths.txt"
        source.write_text("\n".join(map(str, paths)), encoding="utf-8")
        tasks = {name: (python, {"open": "reader", "reader": reader}) for name, (python, reader) in READERS.items()}
        with open_peers(tasks, source) as (peers, skipped):
            prepared = {name: np.array(peer.ask("describe")["signals"]) for name, peer in peers.items()}
            with progress_bar("reading", rounds * len(peers)) as done:
                times = measure_in_turn(
                    peers, dict.fromkeys(peers, BATCH), threads=1, rounds=rounds, seconds=seconds, progress=done
                )
    rows: list[dict[str, Any]] = []
    for name, timing in times.items():
        row = {"kind": "reading", "name": name, "threads": 1, "batch": BATCH} | timing.to_dict(times[BY_HAND])
        row["records_per_s"] = significant(1e3 * BATCH / timing.median_ms)
        # The ends aside, where each pads the filter in its own way.
        middle = np.abs(prepared[name] - prepared[OURS])[..., 200:-200]
        row["difference_mv"] = significant(float(np.quantile(middle, 0.99)), 2)
        rows.append(row)
    rows += [{"kind": "reading", "name": name, "skipped": reason} for name, reason in skipped.items()]
    kind = "synthetic" if records is None else "real"
    write_results(
        out,
        command=command_line(),
        rows=rows,
        matmul_gmacs={},
        machine=machine,
        notes=[
            f"{len(paths):,} {kind} recordings, one thread.",
            "difference_mv: 99 % of the samples of eight recordings, two seconds at either end aside, are so near to "
            "those that ecoscale prepares.",
        ],
    )


if __name__ == "__main__":
    typer.run(main)
