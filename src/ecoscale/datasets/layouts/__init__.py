"""Synthetic ECGs written as publishers lay out their collections, traps included; one module a layout.

They exist to try readers, stores and trainings. Nothing measured on them is evidence of accuracy on people.
"""

from ecoscale.datasets.layouts.code15 import CODE15_COLUMNS, write_code15
from ecoscale.datasets.layouts.ludb import LUDB_COLUMNS, write_ludb
from ecoscale.datasets.layouts.sph import SPH_COLUMNS, write_sph
from ecoscale.datasets.layouts.wfdb import SINUS_RHYTHM, write_wfdb

__all__ = [
    "CODE15_COLUMNS",
    "LUDB_COLUMNS",
    "SINUS_RHYTHM",
    "SPH_COLUMNS",
    "write_code15",
    "write_ludb",
    "write_sph",
    "write_wfdb",
]
