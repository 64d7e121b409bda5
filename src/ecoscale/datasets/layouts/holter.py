"""A long WFDB record as a Holter writes it, with episodes whose times are known. Drawn a few minutes at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import DEFAULT_NOISE, synthetic_ecg
from ecoscale.datasets.synthetic_heart import Heart, random_torso
from ecoscale.ecg import LEADS
from ecoscale.errors import SignalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from ecoscale.datasets.synthetic import Noise

CHUNK_SECONDS = 60.0
"""The rhythm goes on for so long before the heart rate changes with the hour."""

STEPS_PER_MILLIVOLT = 200


@dataclass(frozen=True)
class Stretch:
    """Seconds from `start` to `stop` in which the heart shows AF, or (`off`) the electrodes are off."""

    start: float
    stop: float
    off: bool = False


def write_holter(
    directory: str | PathLike[str],
    stretches: Sequence[Stretch] = (),
    *,
    hours: float = 24.0,
    rate: float = 500.0,
    leads: Sequence[str] = LEADS,
    record: str = "holter",
    clock: str = "08:00:00 01/03/2024",
    noise: Noise = DEFAULT_NOISE,
    seed: int = 0,
) -> Path:
    """Write one WFDB record (16 bit, 5 uV) of `hours` in sinus rhythm but for `stretches`; return its header.

    The rate of the sinus rhythm is lower at night. `stretches` (in order, not overlapping) are also written to
    `RECORD.csv`: `finding`, `start_s`, `stop_s`. Raises `SignalError` for stretches that overlap or leave the record.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    duration = 3600 * hours
    ends = [0.0, *(end for stretch in stretches for end in (stretch.start, stretch.stop)), duration]
    if any(later < earlier for earlier, later in itertools.pairwise(ends)):
        raise SignalError(f"the stretches {list(stretches)} are not in order within {duration:g} s")
    sums, total = np.zeros(len(leads), np.int64), 0
    begin = int(clock[:2])
    first_values: NDArray | None = None
    with (folder / f"{record}.dat").open("wb") as stream:
        for stored in _chunks(stretches, duration, rate, leads, noise, seed, begin):
            stream.write(stored.T.astype("<i2").tobytes())
            first_values = stored[:, 0] if first_values is None else first_values
            sums += stored.sum(axis=1, dtype=np.int64)
            total += stored.shape[1]
    assert first_values is not None
    lines = [f"{record} {len(leads)} {rate:g} {total} {clock}"]
    lines += [
        f"{record}.dat 16 {STEPS_PER_MILLIVOLT}(0)/mV 16 0 {first} {(checksum + 32768) % 65536 - 32768} 0 {lead}"
        for lead, first, checksum in zip(leads, first_values, sums, strict=True)
    ]
    lines.append("# Synthetic: drawn by ecoscale, not recorded from a person")
    header = folder / f"{record}.hea"
    header.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"{'off' if each.off else 'AF'},{each.start:g},{each.stop:g}" for each in stretches]
    (folder / f"{record}.csv").write_text("\n".join(["finding,start_s,stop_s", *rows]) + "\n", encoding="utf-8")
    return header


def random_stretches(hours: float, seed: int = 0) -> tuple[Stretch, ...]:
    """Episodes of AF of half a minute to two hours, about one in three hours, and the electrodes off once."""
    random = np.random.default_rng([seed, 7])
    duration = 3600 * hours
    longest = min(7200.0, duration / 6)
    lengths = np.exp(random.uniform(np.log(min(30.0, longest)), np.log(longest), max(1, round(hours / 3))))
    off = random.integers(len(lengths) + 1)
    lengths = np.insert(lengths, off, min(900.0, duration / 20))
    # What is left of the time lies between them.
    rests = random.dirichlet(np.full(len(lengths) + 1, 2.0)) * (duration - lengths.sum())
    starts = np.cumsum(rests[:-1]) + np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
    return tuple(
        Stretch(round(float(start), 1), round(float(start + length), 1), off=bool(number == off))
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    )


def _chunks(
    stretches: Sequence[Stretch],
    duration: float,
    rate: float,
    leads: Sequence[str],
    noise: Noise,
    seed: int,
    begin: int,
) -> Iterator[NDArray[np.int16]]:
    """Stored integers `(leads, samples)` in turn."""
    torso = random_torso(np.random.default_rng(seed))
    rows = [LEADS.index(lead) for lead in leads]
    number = 0
    for start, stop, kind in _parts(stretches, duration):
        first, last = round(start * rate), round(stop * rate)
        while first < last:
            count = min(last - first, round(CHUNK_SECONDS * rate))
            if kind == "off":
                yield np.zeros((len(rows), count), np.int16)
            else:
                hour = (begin + first / rate / 3600) % 24
                beats = 68 - 10 * np.cos(2 * np.pi * (hour - 15 + 12) / 24)
                heart = (
                    Heart(beats + 25, None, atrial_fibrillation=True, rr_variation=0.2)
                    if kind == "AF"
                    else Heart(rate=beats, rr_variation=0.04)
                )
                made = synthetic_ecg(
                    heart=heart, torso=torso, rate=rate, duration=count / rate, seed=[seed, number], noise=noise
                )
                yield np.rint(made.ecg.signal[rows] * STEPS_PER_MILLIVOLT).astype(np.int16)
            first, number = first + count, number + 1


def _parts(stretches: Sequence[Stretch], duration: float) -> Iterator[tuple[float, float, str]]:
    at = 0.0
    for stretch in stretches:
        if stretch.start > at:
            yield at, stretch.start, "sinus"
        yield stretch.start, stretch.stop, "off" if stretch.off else "AF"
        at = stretch.stop
    if at < duration:
        yield at, duration, "sinus"
