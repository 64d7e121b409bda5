"""A folder of a user's own as a device leaves it: CSVs that state rate and units, and a table of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RATE = 20
KINDS = ("calm", "fast")


def write_table(
    path: Path,
    signal: np.ndarray,
    rate: float = RATE,
    channels: Sequence[str] = ("pulse", "move"),
    units: Sequence[str] = ("a.u.", "g"),
) -> None:
    """A CSV of `signal` `(channels, samples)`, with a column of times and headings `name (unit)`."""
    heads = [f"{name} ({unit})" for name, unit in zip(channels, units, strict=True)]
    times = np.arange(signal.shape[1]) / rate
    header = ",".join(["time (s)", *heads])
    np.savetxt(path, np.vstack((times, signal)).T, fmt="%.6f", delimiter=",", header=header, comments="")


def made_signal(kind: str, rng: np.random.Generator, samples: int = 60) -> np.ndarray:
    """Two channels, of which the first swings at 1 Hz where it is calm and at 3 Hz where it is fast."""
    time = np.arange(samples) / RATE
    swing = np.sin(2 * np.pi * ((1 if kind == "calm" else 3) * time + rng.random()))
    return np.vstack((100 * (swing + 0.2 * rng.standard_normal(samples)), 1 + 0.01 * rng.standard_normal(samples)))


def write_own(
    folder: Path, subjects: int = 24, records: int = 2, *, columns: Mapping[str, str] | None = None, seed: int = 0
) -> Path:
    """So many records of each subject, calm and fast in turn; `columns` are further ones, the same in each row."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    further = columns or {}
    rows = [",".join(("path", "subject", "label", *further))]
    for subject in range(subjects):
        for record in range(records):
            kind = KINDS[(subject + record) % len(KINDS)]
            name = f"s{subject:02}-{record}.csv"
            write_table(folder / name, made_signal(kind, rng))
            rows.append(",".join((name, f"s{subject:02}", kind, *further.values())))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder
