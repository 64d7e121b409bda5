"""What readers of files with a fixed rate share: a file that is open, and whose samples are read when they are wanted.

`edf`, `ishne`, `scp`, `dicom` and `matlab` open files so; a reader that can, reads them piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import refuse_longer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, time

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG


@dataclass(frozen=True, eq=False)
class SampledFile:
    """A recording that was opened: its leads in the file's order, and how their samples are read.

    `rows(n_samples, remarks)` yields the leads in mV, `(leads, samples)`, from beginning to end in pieces of about
    `n_samples`, and appends to `remarks` what only the whole of the file tells. `ignored` names the channels that are
    not among the twelve leads. `start` is when the recording began: a `datetime`, a `time` where only the time of day
    is stated, or None.
    """

    source: str
    record: str
    rate: float
    leads: tuple[str, ...]
    n_samples: int
    rows: Callable[[int, list[str]], Iterator[NDArray[np.floating]]] = field(repr=False)
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    start: datetime | time | None = None

    def ecg(self, *, fewer_leads: bool = False, longest: float | None = None) -> ECG:
        """The whole of it in memory. Raises as `read_ecg` does."""
        refuse_longer(self.n_samples, self.rate, longest, self.source)
        remarks: list[str] = []
        pieces = list(self.rows(self.n_samples, remarks)) if self.leads else [np.empty((0, 0))]
        return twelve_lead_ecg(
            pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1),
            self.leads,
            rate=self.rate,
            source=self.source,
            record=self.record,
            ignored=self.ignored,
            notes=(*self.notes, *remarks),
            fewer_leads=fewer_leads,
        )


def in_pieces(rows: NDArray[np.floating], n_samples: int) -> Iterator[NDArray[np.floating]]:
    """An array that is in memory, `(leads, samples)`, in pieces of at most `n_samples`."""
    for first in range(0, rows.shape[1], n_samples):
        yield rows[:, first : first + n_samples]


def named_channels(
    names: Sequence[str], given: Sequence[str] | None, source: str, stated: Sequence[str | None] | None = None
) -> tuple[str | None, ...]:
    """`name_channels`, but a file none of whose channels is named after a lead is refused where no leads are given."""
    found = name_channels(names, given, source, stated)
    if given is None and not any(found):
        spelt = ", ".join(map(repr, names)) or "none"
        raise FormatError(
            f"{source}: no channel is named after one of the twelve leads (its channels: {spelt}); give leads=, one "
            "name a channel in this order, if you know where the electrodes were: they are not guessed"
        )
    return found
