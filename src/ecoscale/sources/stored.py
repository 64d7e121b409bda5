"""Records of a prepared store: conformed when the store was made, so that only the scale is left to do.

What a network reads of them is what it was trained on, to the store's step; it is not what it reads of the file they
were made from to the bit, and of a record longer than the window it is the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from ecoscale.datasets.store import PreparedStore, open_store
from ecoscale.errors import DatasetError
from ecoscale.reading import PreparedSignal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecoscale.preparation import Preparation
    from ecoscale.signal import Signal


@dataclass(frozen=True)
class StoredRecord:
    """One record of the prepared store at `path`, by its name there."""

    path: Path
    record: str

    def read(self) -> Signal:
        """Its signal as it is stored: at the store's rate, filtered, padded to its window. Raises `DatasetError`."""
        store = _opened(self.path)
        signal = store.read([self._position(store)])[0]
        preparation = store.preparation
        return preparation.signal_of(signal, source=str(self.path), record=self.record)

    def prepared(self, preparation: Preparation) -> PreparedSignal:
        """What a network reads of it, with the warnings that the store keeps. Raises `DatasetError`."""
        store = _opened(self.path)
        signal = self.read()
        warnings = str(store.records["warnings"].iloc[self._position(store)])
        return PreparedSignal(
            signal, preparation.standardise(signal.signal)[None], tuple(filter(None, warnings.split("\n")))
        )

    def _position(self, store: PreparedStore) -> int:
        if (reason := store.manifest.unreadable.get(self.record)) is not None:
            raise DatasetError(f"{self.path}: {self.record} could not be read when the store was made: {reason}")
        try:
            return int(cast("int", store.records.index.get_loc(self.record)))
        except KeyError:
            raise DatasetError(
                f"{self.path}: holds no record {self.record!r}; was the store made anew since it was listed?"
            ) from None


def records_of_store(path: Path, preparation: Preparation) -> Iterator[StoredRecord]:
    """The records of a store, those that could be read first, in its order.

    Raises `DatasetError` if it is damaged or was prepared otherwise than `preparation` wants.
    """
    store = _opened(path)
    if differing := store.preparation.differences(preparation):
        said = "; ".join(f"{key} is {found}, the bundle reads {wanted}" for key, (found, wanted) in differing.items())
        raise DatasetError(
            f"{path}: the store was prepared otherwise ({said}); prepare it as the bundle reads, or name the "
            "recordings themselves"
        )
    for record in [*store.records.index, *store.manifest.unreadable]:
        yield StoredRecord(path, str(record))


@lru_cache(maxsize=4)
def _opened(path: Path) -> PreparedStore:
    return open_store(path)
