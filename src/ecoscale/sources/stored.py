"""Records of a prepared store: conformed when the store was made, so that only the scale is left to do.

What a network reads of them is what it was trained on, to the store's step; it is not what it reads of the file they
were made from to the bit, and of a record longer than the window it is the middle. A store at a URL is read where it
lies, by blocks of records whose checksums are compared as they come.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ecoscale.datasets.store import BLOCK, MANIFEST, RECORDS, SIGNALS, Manifest, PreparedStore, file_digest, open_store
from ecoscale.errors import DatasetError
from ecoscale.reading import PreparedSignal
from ecoscale.storage import explained, filesystem, is_url, local_copy, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ecoscale.preparation import Preparation
    from ecoscale.signal import Signal

BLOCKS_KEPT = 2
"""Blocks of a store at a URL that are in memory."""


@dataclass(frozen=True)
class StoredRecord:
    """One record of the prepared store at a path or URL, by its name there."""

    path: str
    record: str

    def read(self) -> Signal:
        """Its signal as it is stored: at the store's rate, filtered, padded to its window. Raises `DatasetError`."""
        store = _opened(self.path)
        signal = store.read([self._position(store)])[0]
        preparation = store.preparation
        return preparation.signal_of(signal, source=self.path, record=self.record)

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


def records_of_store(path: str, preparation: Preparation) -> Iterator[StoredRecord]:
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
def _opened(path: str) -> PreparedStore:
    if not is_url(path):
        return open_store(path)
    url = path.rstrip("/")
    manifest = Manifest.model_validate_json(read_whole(f"{url}/{MANIFEST}"))
    table = local_copy(f"{url}/{RECORDS}")
    if file_digest(table) != manifest.checksums[RECORDS]:
        raise DatasetError(f"{url}/{RECORDS}: its checksum is not that of {MANIFEST}; upload the store again")
    return PreparedStore(table.parent, manifest, cast("Any", _RemoteRows(url, manifest)))


class _RemoteRows:
    """The rows of `signals.npy` at a URL, read by blocks."""

    def __init__(self, url: str, manifest: Manifest) -> None:
        self._url, self._sums = f"{url}/{SIGNALS}", manifest.checksums[SIGNALS]
        self._fs, self._location = filesystem(self._url)
        shape = (manifest.records, manifest.preparation.n_channels, manifest.preparation.window)
        with explained(self._url):
            head = io.BytesIO(cast("bytes", self._fs.cat_file(self._location, start=0, end=4096)))
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        found, by_columns, self._dtype = read[np.lib.format.read_magic(head)](head)
        if found != shape or by_columns or self._dtype != manifest.dtype:
            raise DatasetError(
                f"{self._url}: {self._dtype} of shape {found}; {MANIFEST} says {manifest.dtype} of {shape}"
            )
        self._begin, self._shape = head.tell(), shape
        self._row_bytes = self._dtype.itemsize * shape[1] * shape[2]
        self._blocks: OrderedDict[int, NDArray] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, rows: NDArray[np.integer]) -> NDArray:
        with self._lock:
            return np.stack([self._block(int(row) // BLOCK)[int(row) % BLOCK] for row in rows])

    def _block(self, number: int) -> NDArray:
        if number not in self._blocks:
            while len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.popitem(last=False)
            first, end = number * BLOCK, min((number + 1) * BLOCK, self._shape[0])
            with explained(self._url):
                start, stop = (self._begin + row * self._row_bytes for row in (first, end))
                content = cast("bytes", self._fs.cat_file(self._location, start=start, end=stop))
            if hashlib.sha256(content).hexdigest() != self._sums[number]:
                raise DatasetError(f"{self._url}: rows {first} to {end - 1} are not what was written; upload it again")
            self._blocks[number] = np.frombuffer(content, self._dtype).reshape(-1, *self._shape[1:])
        return self._blocks[number]
