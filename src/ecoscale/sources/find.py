"""`find_records`: from what a user names to records; `to_row` and `from_row`: a record as a row of a table and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoscale.errors import DatasetError
from ecoscale.formats import Recording, find_recordings, find_signals
from ecoscale.reading import ReadablePrepared
from ecoscale.storage import exists, is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ecoscale.formats.dialect import Dialect
    from ecoscale.preparation import Preparation
    from ecoscale.reading import Readable

RECORDING, STORED = "recording", "stored"
"""Kinds of records."""


def find_records(
    sources: Iterable[str | Path],
    preparation: Preparation,
    options: Mapping[str, Any] | None = None,
    *,
    tables: bool | Dialect = False,
) -> Iterator[Readable]:
    """Every record in these files, folders, patterns and prepared stores, here or at URLs, each once.

    Recordings come first, as `find_recordings` finds them, which takes `tables`, or `find_signals` where the
    preparation is not of ECGs; `options` go to what reads them (`ecoscale.reading.to_read`). Those at URLs follow,
    which are ECGs, and then the records of stores, those that could not be read at a store's end.
    Raises `DatasetError` for a store that is damaged, or was prepared otherwise than `preparation` wants, and for other
    signals than ECGs at a URL; `StorageError` for a URL where nothing is, or that cannot be reached.
    """
    named = list(dict.fromkeys(map(str, sources)))
    stores = [source for source in named if _is_store(source)]
    urls = [source for source in named if is_url(source) and source not in stores]
    known = dict(options or {})
    files = [source for source in named if source not in stores and source not in urls]
    if urls and not preparation.is_ecg:
        raise DatasetError(
            f"{urls[0]}: recordings at URLs are read as ECGs, and the bundle reads {', '.join(preparation.channels)}; "
            "copy the files to this machine, or put a prepared store there (ecoscale prepare)"
        )
    if preparation.is_ecg:
        found = find_recordings(files, tables=tables)
    else:
        found = find_signals(files, known.get("leads") or preparation.channels, dialect=known.get("dialect"))
    for recording in found:
        yield replace(recording, options=known)
    for url in urls:
        from ecoscale.sources.remote import find_remote

        yield from find_remote(url, bool(tables), known)
    for store in stores:
        from ecoscale.sources.stored import records_of_store

        yield from records_of_store(store, preparation)


def holds_prepared(sources: Iterable[str | Path]) -> bool:
    """Whether a prepared store is among these."""
    return any(map(_is_store, map(str, sources)))


def to_row(record: Readable) -> dict[str, Any]:
    """A record as plain values: `source`, `record` and `kind`. Its options are those of all, and not in it."""
    kind = STORED if isinstance(record, ReadablePrepared) else RECORDING
    return {"source": str(record.path), "record": record.record, "kind": kind}


def from_row(row: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Readable:
    """The record that `to_row` wrote down, to be read with these options."""
    source, record = row["source"], row["record"]
    if row["kind"] == STORED:
        from ecoscale.sources.stored import StoredRecord

        return StoredRecord(source, record)
    if is_url(source):
        from ecoscale.sources.remote import RemoteRecording

        return RemoteRecording(source, record, dict(options or {}))
    return Recording(Path(source), record, dict(options or {}))


def fetched(records: Iterable[Readable]) -> Iterator[Readable]:
    """The records in order; those at URLs are fetched to this machine a few ahead, and gone when they have been read.

    Raises `StorageError` where storage cannot be reached.
    """
    for is_remote, group in groupby(records, key=lambda record: is_url(str(record.path))):
        if is_remote:
            from ecoscale.sources.remote import fetch_ahead

            yield from fetch_ahead(group)
        else:
            yield from group


def _is_store(source: str) -> bool:
    """Whether it is a prepared store; looked at here first, so that what reads recordings alone imports no more."""
    if is_url(source):
        return all(exists(f"{source.rstrip('/')}/{name}") for name in ("manifest.json", "signals.npy"))
    if not Path(source, "signals.npy").is_file():
        return False
    from ecoscale.datasets.store import is_store

    return is_store(source)
