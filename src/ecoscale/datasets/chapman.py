"""Chapman-Shaoxing and Ningbo: 45,152 records of as many patients, 10 s, 12 leads, 500 Hz.

Source: Zheng et al., A large scale 12-lead electrocardiogram database for arrhythmia study, version 1.0.0, PhysioNet
(ecg-arrhythmia), doi:10.13026/wgex-er52. Licence: CC BY 4.0.
Labels: SNOMED-CT codes in the header line `#Dx:`, by two physicians with a third in case of disagreement.
Folds: none; split by a hash of the record (one record a patient).
Traps: an unspecified atrioventricular block (233917008) says nothing about its degree, so 1dAVb is unknown there;
in the headers of JS01052 and JS23074 a line break between the record line and the first signal is lost; reading them
is refused, and a prepared store lists them as unreadable. Where `#Dx:` states no code, every label is unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import UNKNOWN, Collection
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


RECORDS = "WFDBRecords"


class Chapman(Collection):
    """Chapman/Ningbo from its folder (the one with `WFDBRecords`, or `WFDBRecords` itself)."""

    name = "chapman"
    title = "Chapman-Shaoxing and Ningbo (ecg-arrhythmia 1.0.0)"
    source = "https://doi.org/10.13026/wgex-er52"
    licence = "CC BY 4.0"
    scheme = "SNOMED"
    looked_for = "WFDBRecords/*/*/JS*.hea"
    # 45,152 records of 120,024 bytes, and their headers.
    archive = Archive("physionet", "ecg-arrhythmia/1.0.0", 5_450_000_000)

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        headers = sorted(self.directory.rglob("*.hea"))
        if not headers:
            raise DatasetError(
                f"{self.directory}: no WFDB headers (*.hea) below it; expected {RECORDS}/01/010/JS00001.hea"
            )
        codes = [diagnosis_codes(header) for header in headers]
        if without := [header for header, own in zip(headers, codes, strict=True) if own is None]:
            raise DatasetError(
                f"{without[0]}: no line '#Dx:' with SNOMED codes, nor in {len(without) - 1} more headers"
            )
        names = [header.stem for header in headers]
        self.records = pd.DataFrame(
            {
                "patient": names,
                "fold": 0,
                "codes": codes,
                "path": [str(header.relative_to(self.directory)) for header in headers],
            },
            index=pd.Index(names, name="record"),
        )
        if not self.records.index.is_unique:
            twice = self.records.index[self.records.index.duplicated()][0]
            raise DatasetError(f"{self.directory}: record {twice} occurs more than once below this folder")

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By WFDB headers that carry diagnoses."""
        root = directory / RECORDS if (directory / RECORDS).is_dir() else directory
        first = next(root.rglob("*.hea"), None)
        return first is not None and diagnosis_codes(first) is not None

    @classmethod
    def label(cls, records: pd.DataFrame, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`; unknown throughout where a header states no code."""
        labels = super().label(records, findings)
        labels[[not codes for codes in records["codes"]]] = UNKNOWN
        return labels


def diagnosis_codes(header: Path) -> frozenset[str] | None:
    """The SNOMED codes of a WFDB header's `#Dx:` line (PhysioNet Challenge convention); None without one."""
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.lstrip("#").strip().partition(":")
        if line.startswith("#") and key.strip() == "Dx":
            return frozenset(code.strip() for code in value.split(",") if code.strip().isdecimal())
    return None
