"""What the recordings of a folder have in common, read before anything is prepared: channels, units, rate, lengths.

A network reads one set of channels in one set of units at one rate. Which, the files say; where they differ it is for
the user to say, never guessed. What is doubtful and yet can be trained on is told in words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ecoscale.datasets.processes import ALONE, Progress, in_processes, silent
from ecoscale.datasets.store import BLOCK
from ecoscale.errors import DatasetError, EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ecoscale.datasets.collection import Collection
    from ecoscale.formats import Recording

    Value = TypeVar("Value")

ANOTHER_UNIT = 100.0
"""A channel that varies so many times as much, or as little, as it does in the median record may be in another unit."""


@dataclass(frozen=True)
class Outline:
    """A recording without its samples: each channel's standard deviation, 0 where it is one number throughout."""

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate: float
    n_samples: int
    deviations: tuple[float, ...]
    missing: bool

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.n_samples / self.rate


@dataclass(frozen=True)
class Survey:
    """The outlines of a collection's records, and why the others could not be read; by record."""

    collection: Collection
    outlines: Mapping[str, Outline]
    unreadable: Mapping[str, str]

    def agreed(self, what: str, value: Callable[[Outline], Value], text: Callable[[Value], str], remedy: str) -> Value:
        """What every record has. Raises `DatasetError` naming the values there are, and a file of each."""
        values = Counter(value(outline) for outline in self.outlines.values())
        if len(values) > 1:
            first = {value(outline): record for record, outline in reversed(list(self.outlines.items()))}
            found = [
                f"{text(one)} in {count:,} ({self.collection.path(first[one]).name})"
                for one, count in values.most_common(3)
            ]
            more = f", and {len(values) - 3} more" if len(values) > 3 else ""
            raise DatasetError(
                f"{self.collection.directory}: the records differ in {what}: {'; '.join(found)}{more}. {remedy}"
            )
        return next(iter(values))

    def doubts(self) -> list[str]:
        """What is doubtful about the signals, in words."""
        return [*self._unreadable(), *self._constant(), *self._other_units(), *self._gaps()]

    def _unreadable(self) -> Iterator[str]:
        if self.unreadable:
            record, reason = next(iter(self.unreadable.items()))
            total = len(self.unreadable) + len(self.outlines)
            yield f"{len(self.unreadable):,} of {total:,} records cannot be read and are left out; {record}: {reason}"

    def _constant(self) -> Iterator[str]:
        constant: dict[str, list[str]] = defaultdict(list)
        for record, outline in self.outlines.items():
            for channel, deviation in zip(outline.channels, outline.deviations, strict=True):
                if deviation == 0:
                    constant[channel].append(record)
        for channel, records in constant.items():
            if len(records) == len(self.outlines):
                yield f"channel {channel} is one number throughout every record: it can tell nothing"
            else:
                yield (
                    f"channel {channel} is one number throughout {len(records):,} of {len(self.outlines):,} records, "
                    f"{records[0]} among them"
                )

    def _other_units(self) -> Iterator[str]:
        spread: dict[str, dict[str, float]] = defaultdict(dict)
        for record, outline in self.outlines.items():
            for channel, deviation in zip(outline.channels, outline.deviations, strict=True):
                if deviation:
                    spread[channel][record] = deviation
        for channel, by_record in spread.items():
            usual = float(np.median(list(by_record.values())))
            strange = [
                record
                for record, deviation in by_record.items()
                if not 1 / ANOTHER_UNIT < deviation / usual < ANOTHER_UNIT
            ]
            if strange:
                yield (
                    f"channel {channel} varies {ANOTHER_UNIT:g} times as much, or as little, as usual (standard "
                    f"deviation {usual:.3g}) in {len(strange):,} records, {strange[0]} among them "
                    f"({by_record[strange[0]]:.3g}): another unit or gain?"
                )

    def _gaps(self) -> Iterator[str]:
        gaps = [record for record, outline in self.outlines.items() if outline.missing]
        if gaps:
            yield f"samples are missing in {len(gaps):,} records, {gaps[0]} among them: they are interpolated"


def survey(collection: Collection, *, workers: int | None = None, progress: Progress = silent) -> Survey:
    """Read every record of a collection once, and keep its outline.

    Raises `DatasetError` if none can be read.
    """
    names = collection.records.index.tolist()
    blocks = [names[first : first + BLOCK] for first in range(0, len(names), BLOCK)]
    jobs = (([collection.signal_recording(record) for record in block],) for block in blocks)
    found = in_processes(_outlines, jobs, 1 if len(names) < ALONE else workers)
    outlines: dict[str, Outline] = {}
    unreadable: dict[str, str] = {}
    for record, outcome in zip(progress(names, "reading", len(names)), _each(found), strict=True):
        if isinstance(outcome, str):
            unreadable[record] = outcome
        else:
            outlines[record] = outcome
    if not outlines:
        first = next(iter(unreadable.values()), "it is empty")
        raise DatasetError(
            f"{collection.directory}: none of {len(names):,} records can be read; first: {first}. What files do not "
            "state (rate, channels, unit or units), dataset.yaml beside the table may"
        )
    return Survey(collection, outlines, unreadable)


def _each(blocks: Iterator[list[Outline | str]]) -> Iterator[Outline | str]:
    for block in blocks:
        yield from block


def _outlines(recordings: Sequence[Recording]) -> list[Outline | str]:
    return [_outline(recording) for recording in recordings]


def _outline(recording: Recording) -> Outline | str:
    try:
        signal = recording.read()
    except EcoscaleError as error:
        return str(error)
    samples = signal.signal.astype(np.float64)
    samples[~np.isfinite(samples)] = np.nan
    missing = bool(np.isnan(samples).any())
    with np.errstate(all="ignore"):
        deviations = tuple(
            float(row[known].std()) if (known := ~np.isnan(row)).any() and np.ptp(row[known]) > 0 else 0.0
            for row in samples
        )
    return Outline(signal.channels, tuple(signal.units), signal.rate, signal.n_samples, deviations, missing)
