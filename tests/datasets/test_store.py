"""The prepared store: what the preparation makes of each record, written once, and never opened half-written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PTBXL, Code15, Collection
from ecoscale.datasets.store import STEP, open_store, prepare_store
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.datasets.synthetic_files import write_code15
from ecoscale.ecg import ECG
from ecoscale.errors import DatasetError, FormatError
from ecoscale.preparation import Preparation

PREPARATION = Preparation(mean=0.01, scale=0.2)


class Shelf(Collection):
    """Recordings in memory, to see when they are read; one that is an exception is raised instead."""

    name = "ptbxl"  # known already, so that the list of collections stays as it is
    title = "Shelf"
    source = licence = ""
    scheme = "SCP"

    def __init__(self, directory, ecgs):
        self.directory = Path(directory)
        self.ecgs = ecgs
        self.reads = []
        names = list(ecgs)
        self.records = pd.DataFrame(
            {"patient": [f"p{name}" for name in names], "fold": 1, "codes": [frozenset()] * len(names), "path": names},
            index=pd.Index(names, name="record"),
        )

    @classmethod
    def recognises(cls, directory):
        return False

    def read(self, record):
        self.reads.append(record)
        if isinstance(self.ecgs[record], BaseException):
            raise self.ecgs[record]
        return self.ecgs[record]
