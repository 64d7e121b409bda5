"""What a file says of its channels, of whatever kind: what the readers of `read_signal` have in common.

`edf`, `wfdb_record`, `arrays`, `dialect` and `parquet` give it; `signals` makes a `Signal` of the channels asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.quantities import rate_of_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

TIME = re.compile(r"(?:time|t)\s*[(\[](?:s|sec|seconds)[)\]]", re.IGNORECASE)
"""The heading of a column of times in seconds."""

_ANY_TIME = re.compile(r"(?:t|time|date|datetime|timestamps?)\b.*", re.IGNORECASE)
_HEADING = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]")


@dataclass(frozen=True, eq=False)
class Stated:
    """The channels of a file that names them, and how some of them are read.

    `names`, `units`, `rates` and `lengths` (samples) are of all channels in the file's order; a unit or rate that is
    not stated, or a length that only reading tells, is None.
    `rows(places)` reads the channels at some places in rising order, `(channels, samples)` each in its unit, and says
    what only reading tells. `headings` are names with what stood beside them, by which a channel may also be asked for.
    """

    names: tuple[str, ...]
    units: tuple[str | None, ...]
    rates: tuple[float | None, ...]
    lengths: tuple[int | None, ...]
    rows: Callable[[Sequence[int]], tuple[NDArray, Sequence[str]]] = field(repr=False)
    record: str = ""
    notes: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Bare:
    """Numbers of a file that names no channels, `(channels, samples)` or `(samples, channels)`.

    `units` are one for all channels, or one each; None where not stated.
    """

    values: NDArray = field(repr=False)
    rate: float | None = None
    units: tuple[str | None, ...] = (None,)


def named_columns(
    headings: Sequence[str],
    column: Callable[[int], NDArray],
    n_samples: int,
    source: str,
    units: Sequence[str | None] | None = None,
) -> Stated:
    """Columns under headings such as `PPG (a.u.)`; one of times in seconds, `time (s)`, states the rate.

    `units` outweigh those of the headings. Other columns of times are no channels, and do not state a rate.
    """
    timed = [place for place, heading in enumerate(headings) if TIME.fullmatch(heading)]
    rate = rate_of_times(column(timed[0]), "s", source)[0] if len(timed) == 1 else None
    places = [
        place for place, heading in enumerate(headings) if place not in timed and not _ANY_TIME.fullmatch(heading)
    ]
    if not places:
        raise FormatError(
            f"{source}: no column is a channel ({', '.join(headings[:20])}); expected one column for each"
        )
    matches = [_HEADING.fullmatch(headings[place]) for place in places]
    names = tuple(m["name"] if m else headings[place] for m, place in zip(matches, places, strict=True))
    own = tuple(m["unit"] if m else None for m in matches)

    def rows(chosen: Sequence[int]) -> tuple[NDArray, Sequence[str]]:
        return np.stack([column(places[place]) for place in chosen]), ()

    return Stated(
        names,
        own if units is None else tuple(units) * (len(names) if len(units) == 1 else 1),
        (rate,) * len(names),
        (n_samples,) * len(names),
        rows,
        headings=tuple(headings[place] for place in places),
    )


def oriented(values: NDArray, n_channels: int, source: str, what: str = "channels") -> NDArray:
    """`(channels, samples)` of numbers of which one side is the number of channels. Raises `FormatError`."""
    if values.shape == (n_channels, n_channels):
        raise FormatError(
            f"{source}: {n_channels} x {n_channels} numbers for {n_channels} {what}; expected one side to be the "
            "number of samples: which side is which cannot be told"
        )
    if n_channels not in values.shape:
        raise FormatError(
            f"{source}: {values.shape[0]} x {values.shape[1]} numbers for the {n_channels} {what} given; expected one "
            f"side to be the number of {what}"
        )
    return values if values.shape[0] == n_channels else values.T
