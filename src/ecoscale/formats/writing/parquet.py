"""Parquet: a float32 column for each lead in millivolts; rate, unit, leads and notes in the schema's metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ecoscale.errors import MissingExtraError
from ecoscale.formats.parquet import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from ecoscale.ecg import ECG


def write(ecg: ECG, path: Path) -> tuple[str, ...]:
    """Write the samples as they are, bit for bit; a missing one is NaN. `MissingExtraError` without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("writing Parquet", "pyarrow", "formats") from None
    about = {"rate": ecg.rate, "unit": "mV", "leads": ecg.leads, "record": ecg.record, "notes": ecg.notes}
    schema = pyarrow.schema(
        [pyarrow.field(lead, pyarrow.float32(), nullable=False, metadata={"unit": "mV"}) for lead in ecg.leads],
        metadata={KEY: json.dumps(about)},
    )
    pyarrow.parquet.write_table(pyarrow.table(list(ecg.signal), schema=schema), path, compression="zstd")
    return ()
