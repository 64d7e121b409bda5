"""Synthetic ECGs written as publishers lay out their collections, traps included; one module a layout.

They exist to try readers, stores and trainings. Nothing measured on them is evidence of accuracy on people.
"""

from ecoscale.datasets.layouts.challenge import write_challenge
from ecoscale.datasets.layouts.challenge2025 import write_challenge2025
from ecoscale.datasets.layouts.code15 import CODE15_COLUMNS, write_code15
from ecoscale.datasets.layouts.code_test import CODE_TEST_COLUMNS, SAMITROP_COLUMNS, write_code_test, write_samitrop
from ecoscale.datasets.layouts.holter import Stretch, random_stretches, write_holter
from ecoscale.datasets.layouts.ludb import LUDB_COLUMNS, write_ludb
from ecoscale.datasets.layouts.ptbxl import PTBXL_COLUMNS, write_ptbxl
from ecoscale.datasets.layouts.sph import SPH_COLUMNS, write_sph
from ecoscale.datasets.layouts.wfdb import SINUS_RHYTHM, write_wfdb

PLAIN = {
    "challenge2021": write_challenge,
    "challenge2025": write_challenge2025,
    "code_test": write_code_test,
    "ludb": write_ludb,
    "ptbxl": write_ptbxl,
    "samitrop": write_samitrop,
    "sph": write_sph,
}
"""Layouts that are written by `writer(directory, n, seed=seed)`, by the collection's name."""

__all__ = [
    "CODE15_COLUMNS",
    "CODE_TEST_COLUMNS",
    "LUDB_COLUMNS",
    "PLAIN",
    "PTBXL_COLUMNS",
    "SAMITROP_COLUMNS",
    "SINUS_RHYTHM",
    "SPH_COLUMNS",
    "Stretch",
    "random_stretches",
    "write_challenge",
    "write_challenge2025",
    "write_code15",
    "write_code_test",
    "write_holter",
    "write_ludb",
    "write_ptbxl",
    "write_samitrop",
    "write_sph",
    "write_wfdb",
]
