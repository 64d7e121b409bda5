"""The HDF5 of the Shandong Provincial Hospital collection (SPH): one recording a file, `ecg` (12, samples) float16.

The file itself states nothing else. By its publisher's documentation the rate is 500 Hz, values are mV and the leads
are I II III aVR aVL aVF V1..V6; a recording's name is its file's, A00001. Liu et al., Scientific Data 9, 272 (2022),
doi:10.1038/s41597-022-01403-5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError
from ecoscale.formats.hdf5 import open_hdf5
from ecoscale.formats.leads import canonical_leads, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ecoscale.ecg import ECG

RATE = 500.0


def is_recording(path: Path) -> bool:
    """Whether an HDF5 file holds a recording of SPH: floats `ecg` of twelve rows. Raises as `read` does."""
    with open_hdf5(path, str(path)) as file:
        return _is_signal(file.get("ecg")) and "tracings" not in file


def read(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> ECG:
    """Read the recording of a file. `record` may be left out, or is the file's name without suffix.

    Raises `FormatError` for another HDF5 or another record, `MissingExtraError` without h5py.
    """
    agreed_rate(RATE, rate, source, "the rate of SPH")
    refuse_other_unit(["mV"], unit, source, "the unit of SPH")
    if leads is not None and (given := canonical_leads(leads, source)) != LEADS:
        raise FormatError(
            f"{source}: leads={' '.join(given)} was given, but SPH holds {' '.join(LEADS)}; leave leads out"
        )
    if record not in (None, path.stem):
        raise FormatError(f"{source}: record {record!r} was asked for; the file holds one, {path.stem!r}")
    with open_hdf5(path, source) as file:
        ecg = file.get("ecg")
        if not _is_signal(ecg):
            raise FormatError(
                f"{source}: HDF5 with {', '.join(list(file)[:10]) or 'nothing'}; expected SPH's dataset 'ecg' of "
                "floats, (12, samples)"
            )
        signal = np.asarray(ecg[()], dtype=np.float32)
    return twelve_lead_ecg(signal, LEADS, rate=RATE, source=source, record=path.stem)


def _is_signal(dataset: Any) -> bool:
    shape = getattr(dataset, "shape", None) or ()  # None in an empty dataset, and a group has none
    return len(shape) == 2 and shape[0] == len(LEADS) and shape[1] > 0 and dataset.dtype.kind == "f"
