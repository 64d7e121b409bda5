"""Public ECG collections, one module each: records, patients, folds, and labels in one vocabulary, by name.

Each collection's docstring states its source, licence, counts and known traps. Nothing here filters or resamples: that
is `ecoscale.preparation`, which the prepared store calls.
"""

from ecoscale.datasets.archive import Archive, RemoteFile, list_files
from ecoscale.datasets.challenge2020 import Challenge2020
from ecoscale.datasets.challenge2021 import Challenge2021
from ecoscale.datasets.challenge2025 import Challenge2025
from ecoscale.datasets.chapman import Chapman
from ecoscale.datasets.code15 import Code15
from ecoscale.datasets.code_test import CodeTest
from ecoscale.datasets.collection import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    Collection,
    list_collections,
    named_collection,
    open_collection,
)
from ecoscale.datasets.folder import Folder
from ecoscale.datasets.ludb import LUDB
from ecoscale.datasets.ptbxl import PTBXL
from ecoscale.datasets.samitrop import SamiTrop
from ecoscale.datasets.sph import SPH
from ecoscale.datasets.splits import in_part, in_share, patient_position
from ecoscale.datasets.tasks import Task
from ecoscale.datasets.vocabulary import Mapping, label_matrix, mappings

__all__ = [
    "ABSENT",
    "LUDB",
    "PRESENT",
    "PTBXL",
    "SPH",
    "UNKNOWN",
    "Archive",
    "Challenge2020",
    "Challenge2021",
    "Challenge2025",
    "Chapman",
    "Code15",
    "CodeTest",
    "Collection",
    "Folder",
    "Mapping",
    "RemoteFile",
    "SamiTrop",
    "Task",
    "in_part",
    "in_share",
    "label_matrix",
    "list_collections",
    "list_files",
    "mappings",
    "named_collection",
    "open_collection",
    "patient_position",
]
