"""SPH (Shandong Provincial Hospital): 25,770 records of 24,666 patients, 10 to 60 s, 12 leads, 500 Hz.

Source: Liu et al., A large-scale multi-label 12-lead electrocardiogram database with standardized diagnostic
statements, Scientific Data 9, 272 (2022), doi:10.1038/s41597-022-01403-5; figshare, doi:10.6084/m9.figshare.c.5779802.
Licence: CC BY 4.0, as the article; of the data some report CC0: the pages of the figshare collection decide.
Labels: statements of the AHA/ACC/HRS list (Mason et al. 2007), 44 primary ones and 15 modifiers, in `AHA_Code` of
`metadata.csv`: `60+310;147` is "ventricular premature complexes" with "frequent", and "T-wave abnormality". A
cardiologist made the diagnosis, with the recorder's measurements at hand; the publisher translated it into the list.
Folds: none; 1,066 patients have two to five records, so split by `Patient_ID` (`ecoscale.datasets.in_share`).
Traps, all met here: the list has no statement "first degree AV block" but 82, prolonged PR interval; a modifier is no
diagnosis, and none of the 15 takes one back; a statement may be there twice (`1;1`); lengths differ.
Others: the recorder had filtered the signals; values are half-precision floats; in 323 records a lead reaches over
10 mV, in 45 of them over 100 mV, by the count of ECGBench (`ECG.check` warns of it); `records.tar.gz` is a plain tar.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.datasets.tasks import Task
from ecoscale.errors import DatasetError

TABLE = "metadata.csv"
RECORDS = "records"

PRIMARY_STATEMENTS = {
    "1": "Normal ECG",
    "21": "Sinus tachycardia",
    "22": "Sinus bradycardia",
    "23": "Sinus arrhythmia",
    "30": "Atrial premature complex(es)",
    "31": "Atrial premature complexes, nonconducted",
    "36": "Junctional premature complex(es)",
    "37": "Junctional escape complex(es)",
    "50": "Atrial fibrillation",
    "51": "Atrial flutter",
    "54": "Junctional tachycardia",
    "60": "Ventricular premature complex(es)",
    "80": "Short PR interval",
    "81": "AV conduction ratio N:D",
    "82": "Prolonged PR interval",
    "83": "Second-degree AV block, Mobitz type I (Wenckebach)",
    "84": "Second-degree AV block, Mobitz type II",
    "85": "2:1 AV block",
    "86": "AV block, varying conduction",
    "87": "AV block, advanced (high-grade)",
    "88": "AV block, complete (third-degree)",
    "101": "Left anterior fascicular block",
    "102": "Left posterior fascicular block",
    "104": "Left bundle-branch block",
    "105": "Incomplete right bundle-branch block",
    "106": "Right bundle-branch block",
    "108": "Ventricular preexcitation",
    "120": "Right-axis deviation",
    "121": "Left-axis deviation",
    "125": "Low voltage",
    "140": "Left atrial enlargement",
    "142": "Left ventricular hypertrophy",
    "143": "Right ventricular hypertrophy",
    "145": "ST deviation",
    "146": "ST deviation with T-wave change",
    "147": "T-wave abnormality",
    "148": "Prolonged QT interval",
    "152": "TU fusion",
    "153": "ST-T change due to ventricular hypertrophy",
    "155": "Early repolarization",
    "160": "Anterior MI",
    "161": "Inferior MI",
    "165": "Anteroseptal MI",
    "166": "Extensive anterior MI",
}
"""The primary statements that occur, by their numbers in the AHA/ACC/HRS list, as `code.csv` has them."""

MODIFIERS = {
    "308": "Occasional",
    "310": "Frequent",
    "330": "Acute",
    "331": "Recent",
    "332": "Old",
    "340": "Couplets",
    "341": "In a bigeminal pattern",
    "342": "In a trigeminal pattern",
    "346": "With a rapid ventricular response",
    "347": "With a slow ventricular response",
    "349": "With aberrancy",
    "350": "Polymorphic",
    "362": "Depression",
    "363": "Elevation",
    "367": "Inversion",
}
"""The modifiers that occur, likewise."""

STATEMENTS = Task(
    "statements",
    "which of the 44 primary statements the record carries",
    "https://doi.org/10.1038/s41597-022-01403-5",
    {name: frozenset({code}) for code, name in PRIMARY_STATEMENTS.items()},
)


class SPH(Collection):
    """SPH from the folder with `metadata.csv` and `records`.

    `records["codes"]` holds the primary statements alone; those with their modifiers are in the column `statements`
    (tuple of str, `60+310`), in the publisher's order.
    """

    name = "sph"
    title = "SPH (Shandong Provincial Hospital)"
    source = "https://doi.org/10.6084/m9.figshare.c.5779802"
    licence = "CC BY 4.0"
    scheme = "AHA"
    looked_for = "metadata.csv with the columns ECG_ID and AHA_Code"
    tasks = (STATEMENTS,)
    archive = Archive("figshare", "5779802", 2_283_000_000)

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        table = self.directory / TABLE
        if not table.exists():
            raise DatasetError(f"{table}: not found; SPH's folder holds it beside {RECORDS}/A00001.h5")
        columns = ["ECG_ID", "AHA_Code", "Patient_ID"]
        rows = read_table(table, columns, text=columns)
        if rows["ECG_ID"].duplicated().any():
            raise DatasetError(f"{table}: ECG_ID {rows.ECG_ID[rows.ECG_ID.duplicated()].iloc[0]} occurs twice")
        paths = {path.stem: str(path.relative_to(self.directory)) for path in sorted(self.directory.rglob("*.h5"))}
        present = rows["ECG_ID"].isin(list(paths)).to_numpy(dtype=bool)
        notes = []
        if not present.all():
            notes.append(f"{np.sum(~present):,} of {len(rows):,} records of {TABLE} have no file in this folder")
        if strangers := len(set(paths) - set(rows["ECG_ID"])):
            notes.append(f"{strangers:,} files have no row in {TABLE} and are left out")
        self.notes = tuple(notes)
        rows = rows.loc[present]
        if rows.empty:
            raise DatasetError(
                f"{self.directory}: none of the records of {TABLE} has a file here; expected {RECORDS}/A00001.h5: is "
                f"{RECORDS}.tar.gz unpacked?"
            )
        stated = [
            _statements(table, record, text) for record, text in zip(rows["ECG_ID"], rows["AHA_Code"], strict=True)
        ]
        self.records = pd.DataFrame(
            {
                "patient": rows["Patient_ID"].to_numpy(),
                "fold": 0,
                "codes": [frozenset(own.values()) for own in stated],
                "path": [paths[record] for record in rows["ECG_ID"]],
                "statements": [tuple(own) for own in stated],
            },
            index=pd.Index(rows["ECG_ID"], name="record"),
        )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By the columns of its table."""
        table = directory / TABLE
        if not table.is_file():
            return False
        with table.open(encoding="utf-8-sig", errors="replace") as file:
            return {"ECG_ID", "AHA_Code"} <= set(next(csv.reader(file), []))


def _statements(table: Path, record: str, text: str) -> dict[str, str]:
    """The statements of an `AHA_Code` cell, each with its primary code."""
    found = {}
    for statement in (part.strip() for part in text.split(";")):
        codes = [code.strip() for code in statement.split("+")]
        primary = [code for code in codes if code in PRIMARY_STATEMENTS]
        if len(primary) != 1 or not set(codes) <= {*primary, *MODIFIERS}:
            raise DatasetError(
                f"{table}: AHA_Code of {record} is {text!r}; expected statements such as '22' or '60+310', separated "
                f"by ';', each one of the publisher's {len(PRIMARY_STATEMENTS)} primary statements with any of its "
                f"{len(MODIFIERS)} modifiers (code.csv), which {statement!r} is not"
            )
        found[statement] = primary[0]
    return found
