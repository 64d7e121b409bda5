"""A listing: a Parquet file of records in their order, a row group for each part, so that a worker reads its own."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ecoscale.cluster.folder import ResultsFolder

Row = dict[str, Any]
"""A record as `ecoscale.sources.to_row` writes it down."""


def write_listing(folder: ResultsFolder, name: str, rows: Iterable[Row], part_size: int) -> int:
    """Write the rows, if there are any, in groups of `part_size`; how many there are."""
    import pyarrow
    import pyarrow.parquet

    waiting = iter(rows)
    group = list(islice(waiting, part_size))
    if not group:
        return 0
    counted = 0
    text = pyarrow.string()
    # A name that is not Unicode stands in `bytes`, and in `source` as it can be shown.
    schema = pyarrow.schema([("source", text), ("record", text), ("kind", text), ("bytes", pyarrow.binary())])
    with folder.new_file(name) as path, pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group:
            table = pyarrow.Table.from_pylist([_stored(row) for row in group], schema)
            writer.write_table(table, row_group_size=len(group))
            counted += len(group)
            group = list(islice(waiting, part_size))
    return counted


def read_listing(folder: ResultsFolder, name: str, part: int | None = None) -> Iterator[Row]:
    """The rows of one part, or of all."""
    import pyarrow.parquet

    with folder.opened(name) as stream, pyarrow.parquet.ParquetFile(stream) as file:
        for group in range(file.num_row_groups) if part is None else [part]:
            yield from map(_original, file.read_row_group(group).to_pylist())


def key(row: Row) -> str:
    """What tells records apart, also when they have come back as rows of results."""
    return plain(f"{row['source']}\0{row['record'] or ''}")


def plain(text: str) -> str:
    """A name that is not Unicode as Parquet has it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _stored(row: Row) -> Row:
    shown = plain(row["source"])
    return row | {"source": shown, "bytes": None if shown == row["source"] else os.fsencode(row["source"])}


def _original(row: Row) -> Row:
    name = row.pop("bytes")
    return row if name is None else row | {"source": os.fsdecode(name)}
