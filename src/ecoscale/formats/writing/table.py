"""CSV: a column of times in seconds, then one for each lead in millivolts, under names with units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from ecoscale.ecg import ECG

TIME = "time (s)"
ROWS_AT_ONCE = 4096


def write(ecg: ECG, path: Path) -> tuple[str, ...]:
    """Write the samples in the fewest digits that give the same float32 back; a missing one is an empty cell."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(",".join([TIME, *(f"{lead} (mV)" for lead in ecg.leads)]) + "\n")
        for first in range(0, ecg.n_samples, ROWS_AT_ONCE):
            part = ecg.signal[:, first : first + ROWS_AT_ONCE]
            times = (np.arange(first, first + part.shape[1]) / ecg.rate).astype(str)
            cells = np.where(np.isfinite(part), part.astype(str), "")
            file.writelines(",".join(row) + "\n" for row in zip(times, *cells, strict=True))
    return ()
