"""Chapman-Shaoxing and Ningbo: 45,152 records of as many patients, 10 s, 12 leads, 500 Hz.

Source: Zheng et al., A large scale 12-lead electrocardiogram database for arrhythmia study, version 1.0.0, PhysioNet
(ecg-arrhythmia), doi:10.13026/wgex-er52. Licence: CC BY 4.0.
Labels: SNOMED-CT codes in the header line `#Dx:`, by two physicians with a third in case of disagreement.
Folds: none; split by a hash of the record (one record a patient).
Parts: two hospitals that were annotated apart, `chapman_shaoxing` (JS00001 to JS10646) and `ningbo` (JS10647 to
JS45551). Findings that one of them never states are unknown there.
Traps: in Ningbo 22 % of the records state atrial flutter and none atrial fibrillation, so the two share one code there:
AF is unknown, and AFL where it is stated. An unspecified atrioventricular block (233917008) says nothing about its
degree, so 1dAVb is unknown there; in the headers of JS01052 and JS23074 a line break between the record line and the
first signal is lost; reading them is refused, and a prepared store lists them as unreadable. Where `#Dx:` states no
code, every label is unknown. The same records, under the same names, are two sources of the PhysioNet Challenge 2021.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collections.snomed_headers import (
    LAST_OF_CHAPMAN,
    HeaderCollection,
    diagnosis_codes,
    header_table,
    headers_below,
    record_name,
)
from ecoscale.errors import DatasetError

RECORDS = "WFDBRecords"

_NAME = re.compile(r"JS\d{5}")


class Chapman(HeaderCollection):
    """Chapman/Ningbo from its folder (the one with `WFDBRecords`, or `WFDBRecords` itself)."""

    name = "chapman"
    title = "Chapman-Shaoxing and Ningbo (ecg-arrhythmia 1.0.0)"
    source = "https://doi.org/10.13026/wgex-er52"
    licence = "CC BY 4.0"
    shares_records_with = ("challenge2021",)
    parts = ("chapman_shaoxing", "ningbo")
    looked_for = "WFDBRecords/*/*/JS*.hea"
    # 45,152 records of 120,024 bytes, and their headers.
    archive = Archive("physionet", "ecg-arrhythmia/1.0.0", 5_450_000_000)

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        headers = headers_below(self.directory)
        if not headers:
            raise DatasetError(
                f"{self.directory}: no WFDB headers (*.hea) below it; expected {RECORDS}/01/010/JS00001.hea"
            )
        if strangers := [header for header in headers if not _NAME.fullmatch(record_name(header))]:
            raise DatasetError(
                f"{strangers[0]}: not a record of {self.title}, which are called JS00001 to JS45551; nor are "
                f"{len(strangers) - 1} more headers"
            )
        parts = ["chapman_shaoxing" if record_name(header) <= LAST_OF_CHAPMAN else "ningbo" for header in headers]
        self.records = header_table(self.directory, headers, parts)

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By headers with diagnoses under its names in its folders (`WFDBRecords/01/010/JS00001.hea`), or in one."""
        root = directory / RECORDS if (directory / RECORDS).is_dir() else directory
        first = next(chain(root.glob("[0-9][0-9]/[0-9][0-9][0-9]/*.hea"), root.glob("*.hea")), None)
        return first is not None and bool(_NAME.fullmatch(first.stem)) and diagnosis_codes(first) is not None
