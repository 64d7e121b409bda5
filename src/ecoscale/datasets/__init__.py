"""ECG collections from the publisher's files to a prepared store: records, patients, folds, labels in one vocabulary.

The collections themselves are in `collections/`. Nothing here filters or resamples: that is `ecoscale.preparation`,
which the prepared store calls.
"""

from ecoscale.datasets.archive import Archive, RemoteFile, list_files
from ecoscale.datasets.collection import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    Collection,
    list_collections,
    named_collection,
    open_collection,
)
from ecoscale.datasets.collections.challenge2020 import Challenge2020
from ecoscale.datasets.collections.challenge2021 import Challenge2021
from ecoscale.datasets.collections.challenge2025 import Challenge2025
from ecoscale.datasets.collections.chapman import Chapman
from ecoscale.datasets.collections.code15 import Code15
from ecoscale.datasets.collections.code_test import CodeTest
from ecoscale.datasets.collections.folder import Folder
from ecoscale.datasets.collections.ludb import LUDB
from ecoscale.datasets.collections.ptbxl import PTBXL
from ecoscale.datasets.collections.samitrop import SamiTrop
from ecoscale.datasets.collections.sph import SPH
from ecoscale.datasets.single_label import ClassLabels, class_labels
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
    "ClassLabels",
    "Code15",
    "CodeTest",
    "Collection",
    "Folder",
    "Mapping",
    "RemoteFile",
    "SamiTrop",
    "Task",
    "class_labels",
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
