"""Synthetic ECGs written as publishers lay out their collections, traps included; one module a layout.

They exist to try readers, stores and trainings. Nothing measured on them is evidence of accuracy on people.
"""

from ecoscale.datasets.layouts.challenge import write_challenge
from ecoscale.datasets.layouts.code15 import CODE15_COLUMNS, write_code15
from ecoscale.datasets.layouts.ptbxl import PTBXL_COLUMNS, write_ptbxl
from ecoscale.datasets.layouts.wfdb import SINUS_RHYTHM, write_wfdb

__all__ = [
    "CODE15_COLUMNS",
    "PTBXL_COLUMNS",
    "SINUS_RHYTHM",
    "write_challenge",
    "write_code15",
    "write_ptbxl",
    "write_wfdb",
]
