"""`find_records`: from what a user names to records; `to_row` and `from_row`: a record as a row of a table and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoscale.formats import Recording, find_recordings, find_signals

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
    """Every record in these files, folders, patterns and prepared stores, each once.

    Recordings come first, as `find_recordings` finds them, which takes `tables`, or `find_signals` where the
    preparation is not of ECGs; `options` go to what reads them (`ecoscale.reading.to_read`). The records of a prepared
    store follow, those that it could not read at its end. Raises `DatasetError` for a store that is damaged, or was
    prepared otherwise than `preparation` wants.
    """
    named = list(dict.fromkeys(map(str, sources)))
    stores = [source for source in named if _is_store(Path(source))]
    known = dict(options or {})
    paths = [source for source in named if source not in stores]
    if preparation.is_ecg:
        found = find_recordings(paths, tables=tables)
    else:
        found = find_signals(paths, known.get("leads") or preparation.channels, dialect=known.get("dialect"))
    for recording in found:
        yield replace(recording, options=known)
    for store in stores:
        from ecoscale.sources.stored import records_of_store

        yield from records_of_store(Path(store), preparation)


def holds_prepared(sources: Iterable[str | Path]) -> bool:
    """Whether a prepared store is among these."""
    return any(_is_store(Path(source)) for source in sources)


def to_row(record: Readable) -> dict[str, Any]:
    """A record as plain values: `source`, `record` and `kind`. Its options are those of all, and not in it."""
    kind = RECORDING if isinstance(record, Recording) else STORED
    return {"source": str(record.path), "record": record.record, "kind": kind}


def from_row(row: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Readable:
    """The record that `to_row` wrote down, to be read with these options."""
    if row["kind"] == STORED:
        from ecoscale.sources.stored import StoredRecord

        return StoredRecord(Path(row["source"]), row["record"])
    return Recording(Path(row["source"]), row["record"], dict(options or {}))


def _is_store(path: Path) -> bool:
    """Whether it is a prepared store; looked at here first, so that what reads recordings alone imports no more."""
    if not (path / "signals.npy").is_file():
        return False
    from ecoscale.datasets.store import is_store

    return is_store(path)
