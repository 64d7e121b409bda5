"""PhysioNet Challenge 2025: CODE-15%, SaMi-Trop and PTB-XL as WFDB records with one label, Chagas disease; 12 leads.

Source: Reyna et al., Detection of Chagas Disease from the ECG: The George B. Moody PhysioNet Challenge 2025,
arXiv:2510.02202. Nobody publishes the records: the Challenge's scripts (github.com/physionetchallenges/
python-example-2025: `prepare_code15_data.py`, `prepare_samitrop_data.py`, `prepare_ptbxl_data.py`) make them from the
three collections. Licence: CC BY 4.0, as each of the three.
CODE-15% (over 300,000 records) and SaMi-Trop (1,631): 400 Hz, mostly 7.3 or 10.2 s, named by exam id; PTB-XL (21,799):
500 or 100 Hz, 10 s.
Labels: the header line `# Chagas label:`, a disease and no ECG finding. CODE-15%: reported by the patients themselves
and perhaps never tested; SaMi-Trop: shown by serology, all positive; PTB-XL: all negative, because hardly anybody in
its region has the disease. The column `part` names which of the three a record is from (`# Source:`), so that label
and collection can be told apart: a network that recognises PTB-XL's recorders would seem to recognise health. The six
findings of CODE are not in the headers: unknown, though CODE-15% itself has them.
Folds: none; split by patient (`ecoscale.datasets.in_share`).
Traps: the scripts cut off the zeros that pad the tracings and leave out exams that are nothing else, and CODE-15%'s
exams without a Chagas label; they round to 1 uV and clip at 32.8 mV; leads are named AVR AVL AVF. Only headers of the
Challenge's first months state `# Patient ID:`; a third of CODE-15%'s exams are of a patient seen before, so its
`exams.csv` is read where it lies in this folder, and without it each record counts as a patient of its own (`notes`
says so). Headers of those months have no `# Source:` either. A patient of CODE-15% or PTB-XL is in `code15` or `ptbxl`
too: train on one form only. A header without a Chagas label, as in the Challenge's hidden data, leaves it unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.collection import Collection, read_table
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PATIENTS = "exams.csv"
LABEL = "Chagas label"
UNSTATED = "unstated"

_LABELS = {"true": frozenset({"True"}), "1": frozenset({"True"}), "false": frozenset(), "0": frozenset()}


class Challenge2025(Collection):
    """The records that the Challenge's scripts wrote, in a folder and those in it."""

    name = "challenge2025"
    title = "PhysioNet Challenge 2025 (Chagas disease)"
    source = "https://doi.org/10.48550/arXiv.2510.02202"
    licence = "CC BY 4.0"
    scheme = "CHAGAS"
    shares_records_with = ("challenge2020", "challenge2021", "code15", "ptbxl", "samitrop")
    looked_for = f"WFDB headers with a line '# {LABEL}:'"

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        headers = sorted(self.directory.rglob("*.hea"))
        stated = [header_comments(header) for header in headers]
        if not any(LABEL in comments for comments in stated):
            raise DatasetError(
                f"{self.directory}: none of {len(headers)} WFDB headers (*.hea) below it has a line '# {LABEL}:'; "
                "expected what the Challenge's prepare_code15_data.py writes"
            )
        names = pd.Index([header.stem for header in headers], name="record")
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise DatasetError(f"{self.directory}: record {twice} occurs more than once below this folder")
        parts = np.array([comments.get("Source", UNSTATED) for comments in stated], dtype=object)
        patients = self._patients(names, stated)
        self.records = pd.DataFrame(
            {
                "patient": patients.fillna("record-" + names.to_series()).to_numpy(dtype=object),
                "fold": 0,
                "codes": [_codes(header, comments) for header, comments in zip(headers, stated, strict=True)],
                "path": [str(header.relative_to(self.directory)) for header in headers],
                "part": parts,
            },
            index=names,
        )
        self.notes = tuple(self._notes(patients.isna().to_numpy()))

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By the Chagas label of a header."""
        first = next(directory.rglob("*.hea"), None)
        return first is not None and LABEL in header_comments(first)

    def _patients(self, names: pd.Index, stated: list[dict[str, str]]) -> pd.Series:
        """Patients by their header, or else by CODE-15%'s table; missing where neither tells."""
        import pandas as pd

        patients = pd.Series([comments.get("Patient ID") for comments in stated], index=names, dtype=object)
        table = self.directory / PATIENTS
        if table.exists():
            rows = read_table(table, ["exam_id", "patient_id"], text=["exam_id", "patient_id"])
            patients = patients.fillna(rows.drop_duplicates("exam_id").set_index("exam_id")["patient_id"])
        return patients

    def _notes(self, alone: NDArray[np.bool_]) -> list[str]:
        parts = self.records["part"].to_numpy()
        notes = []
        if (of_code15 := np.count_nonzero(alone & np.isin(parts, ["CODE-15%", UNSTATED]))) > 0:
            notes.append(
                f"{of_code15:,} records state no patient, and each counts as a patient of its own; a third of "
                f"CODE-15%'s exams are of a patient seen before, so a split may part them: put its {PATIENTS} into "
                f"{self.directory}"
            )
        if others := np.count_nonzero(alone & ~np.isin(parts, ["CODE-15%", "SaMi-Trop", UNSTATED])):
            notes.append(f"{others:,} records of other sources state no patient: each counts as a patient of its own")
        if n := np.count_nonzero(parts == UNSTATED):
            notes.append(f"{n:,} headers have no line '# Source:'; their part is {UNSTATED!r}")
        if n := sum(UNSTATED in codes for codes in self.records["codes"]):
            notes.append(f"{n:,} headers have no line '# {LABEL}:'; Chagas is unknown there")
        return notes


def header_comments(header: Path) -> dict[str, str]:
    """The comments of a WFDB header that read `# NAME: VALUE`, by name."""
    comments = {}
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        name, colon, value = line.lstrip("#").partition(":")
        if line.startswith("#") and colon:
            comments[name.strip()] = value.strip()
    return comments


def _codes(header: Path, comments: dict[str, str]) -> frozenset[str]:
    label = comments.get(LABEL)
    if label is None:
        return frozenset({UNSTATED})
    codes = _LABELS.get(label.casefold())
    if codes is None:
        raise DatasetError(f"{header}: '# {LABEL}:' is {label!r}; expected True or False")
    return codes
