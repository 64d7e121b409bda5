"""Many ECGs in one Parquet file, a row for each: object storage is quicker with it than with many files."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from ecoscale.ecg import LEADS
from ecoscale.errors import MissingExtraError
from ecoscale.formats.parquet import KEY
from ecoscale.formats.parquet_records import NAME, NOTES, RATE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ecoscale.ecg import ECG

ROWS_TOGETHER = 64
"""Rows of a row group, which is read whole."""


def write_records(ecgs: Iterable[ECG], path: Path) -> int:
    """Write ECGs as rows with `record`, `rate` (Hz), `notes` and a float32 list in mV for each lead; how many.

    Samples are as they are, bit for bit; a lead that an ECG lacks is null. Records need names of their own; one
    without is known by the number of its row. `MissingExtraError` without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("writing Parquet", "pyarrow", "formats") from None
    samples = pyarrow.list_(pyarrow.field("item", pyarrow.float32(), nullable=False))
    schema = pyarrow.schema(
        [
            (NAME, pyarrow.string()),
            (RATE, pyarrow.float64()),
            (NOTES, pyarrow.list_(pyarrow.string())),
            *((lead, samples) for lead in LEADS),
        ],
        metadata={KEY: json.dumps({"unit": "mV"})},
    )
    counted, waiting = 0, iter(ecgs)
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(waiting, ROWS_TOGETHER)):
            columns = {
                NAME: [ecg.record for ecg in group],
                RATE: [ecg.rate for ecg in group],
                NOTES: [list(ecg.notes) for ecg in group],
            }
            for lead in LEADS:
                columns[lead] = [ecg.signal[ecg.leads.index(lead)] if lead in ecg.leads else None for ecg in group]
            writer.write_table(pyarrow.table(columns, schema=schema))
            counted += len(group)
    return counted
