"""Collections whose labels stand in their WFDB headers, as SNOMED-CT codes in a comment `#Dx:`.

So do Chapman-Shaoxing and Ningbo and the PhysioNet Challenges 2020 and 2021. A header is a kilobyte and there are tens
of thousands of them: of each, the line with the codes is found in its bytes, and nothing else is parsed.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.collection import PRESENT, UNKNOWN, Collection
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

# No header of these collections comes near it; a file that is longer is read no further.
HEADER_BYTES = 65_536

LAST_OF_CHAPMAN = "JS10646"
"""The last record of Chapman-Shaoxing; those after it are Ningbo's."""

_DIAGNOSES = re.compile(rb"^[ \t]*#[# \t]*Dx[ \t]*:(.*)$", re.MULTILINE)


class HeaderCollection(Collection):
    """A collection whose `codes` are those of the headers; where they state none, every label is unknown."""

    scheme = "SNOMED"

    @classmethod
    def label(cls, records: pd.DataFrame, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`; unknown throughout where a header states no code.

        In Ningbo, fibrillation and flutter share one code, so atrial flutter is never said to be present there.
        """
        labels = super().label(records, findings)
        labels[[not codes for codes in records["codes"]]] = UNKNOWN
        ningbo = np.array(records.get("part", [""] * len(records))) == "ningbo"
        for column, finding in enumerate(findings):
            if finding == "AFL":
                labels[ningbo & (labels[:, column] == PRESENT), column] = UNKNOWN
        return labels


def headers_below(folder: Path) -> list[str]:
    """The paths of all `*.hea` in a folder and those in it, in the order of their names."""
    found, folders = [], [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".hea"):
                        found.append(entry.path)
                    elif not entry.name.startswith(".") and entry.is_dir():
                        folders.append(entry.path)
        except OSError as error:
            raise DatasetError(f"{error.filename}: cannot be listed ({error.strerror})") from error
    return sorted(found, key=os.path.basename)


def record_name(header: str) -> str:
    """The record of a header's path: its file's name without `.hea`."""
    return os.path.basename(header).removesuffix(".hea")  # noqa: PTH119  (a Path takes 20 times as long)


def header_table(directory: Path, headers: Sequence[str], parts: Sequence[str]) -> pd.DataFrame:
    """The `records` of a collection from its headers' paths, each record as a patient of its own, and its part.

    Raises `DatasetError` naming the first header without a line of codes, or a record that occurs twice.
    """
    import pandas as pd

    codes = [diagnosis_codes(header) for header in headers]
    if without := [header for header, own in zip(headers, codes, strict=True) if own is None]:
        raise DatasetError(f"{without[0]}: no line '#Dx:' with SNOMED codes, nor in {len(without) - 1} more headers")
    names = [record_name(header) for header in headers]
    start = len(os.fspath(directory).rstrip(os.sep)) + 1
    records = pd.DataFrame(
        {
            "patient": names,
            "fold": 0,
            "codes": codes,
            "part": list(parts),
            "path": [header[start:] for header in headers],
        },
        index=pd.Index(names, name="record"),
    )
    if not records.index.is_unique:
        twice = records.index[records.index.duplicated()][0]
        raise DatasetError(f"{directory}: record {twice} occurs more than once below this folder")
    return records


def diagnosis_codes(header: str | Path) -> frozenset[str] | None:
    """The SNOMED-CT codes of a WFDB header's `#Dx:` line; None without one.

    Raises `DatasetError` if the file cannot be read.
    """
    try:
        with open(header, "rb", buffering=0) as file:  # noqa: PTH123  (Path.open takes twice as long)
            content = file.read(HEADER_BYTES)
    except OSError as error:
        raise DatasetError(f"{header}: the header cannot be read ({error.strerror})") from error
    line = _DIAGNOSES.search(content)
    return None if line is None else _codes(line[1])


@lru_cache(maxsize=4096)
def _codes(stated: bytes) -> frozenset[str]:
    """The codes of a list separated by commas; what is not a number (`Unknown`, an empty place) is none."""
    return frozenset(code.decode() for code in map(bytes.strip, stated.split(b",")) if code.isdigit())
