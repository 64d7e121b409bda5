"""SaMi-Trop: 1,631 exams of as many patients with Chagas disease, mostly 7.3 or 10.2 s, 12 leads, 400 Hz.

Source: Ribeiro et al., Sami-Trop: 12-lead ECG traces with age and mortality annotations, Zenodo,
doi:10.5281/zenodo.4905618; the cohort: Cardoso et al., BMJ Open 6, e011181 (2016). Licence: CC BY 4.0.
Labels: Chagas disease, which every patient of the cohort has, by serology. It is a disease and no ECG finding: the ECG
may be normal (`normal_ecg` in `exams.csv`), and all labels are positive, so nothing is measured on this collection
alone. The six findings of CODE are not annotated: unknown.
Folds: none; one exam a patient, so split by a hash of the record.
Traps: `exams.hdf5` holds `tracings` and no ids: its rows are those of `exams.csv` in order, as the PhysioNet Challenge
2025 reads them, so a table of another length is refused; exams are zero-padded on both sides to 4096 samples (the
reader removes the padding and says so). Lead order: I II III aVR aVL aVF V1..V6. A normal ECG here is no healthy
control. Age, sex, death, follow-up and predicted age are not read.
"""

from __future__ import annotations

from pathlib import Path

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError
from ecoscale.formats import Recording
from ecoscale.formats.code_hdf5 import exams

TABLE = "exams.csv"
TRACINGS = "exams.hdf5"
N_EXAMS = 1631


class SamiTrop(Collection):
    """SaMi-Trop from the folder with `exams.csv` and `exams.hdf5`."""

    name = "samitrop"
    title = "SaMi-Trop"
    source = "https://doi.org/10.5281/zenodo.4905618"
    licence = "CC BY 4.0"
    scheme = "CHAGAS"
    shares_records_with = ("challenge2025",)
    looked_for = f"{TABLE} beside {TRACINGS}"
    archive = Archive("zenodo", "4905618", 430_000_000)

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        for name in (TABLE, TRACINGS):
            if not (self.directory / name).exists():
                raise DatasetError(
                    f"{self.directory / name}: not found; SaMi-Trop's folder holds {TABLE} beside {TRACINGS}, which is "
                    "in exams.zip"
                )
        rows = read_table(self.directory / TABLE, ["exam_id"], text=["exam_id"])
        tracings = exams(self.directory / TRACINGS)
        if tracings is None or len(tracings) != len(rows):
            raise DatasetError(
                f"{self.directory / TRACINGS}: {len(tracings or ())} tracings for the {len(rows)} rows of {TABLE}; "
                "they belong together by their order alone: download both again"
            )
        if rows["exam_id"].duplicated().any():
            twice = rows.loc[rows["exam_id"].duplicated(), "exam_id"].iloc[0]
            raise DatasetError(f"{self.directory / TABLE}: exam_id {twice} occurs twice")
        if len(rows) != N_EXAMS:
            self.notes = (f"{len(rows):,} exams are here; {N_EXAMS:,} are published",)
        self.records = pd.DataFrame(
            {
                "patient": rows["exam_id"].to_numpy(),
                "fold": 0,
                "codes": [frozenset({str(True)})] * len(rows),
                "path": TRACINGS,
                "row": tracings,
            },
            index=pd.Index(rows["exam_id"], name="record"),
        )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its table and its one HDF5."""
        return (directory / TABLE).exists() and (directory / TRACINGS).exists()

    def recording(self, record: str) -> Recording:
        """One exam by its `exam_id`; the ECG carries the number of its row. Reading it removes its zero padding."""
        path = self.path(record)
        return Recording(path, str(self.records.loc[record, "row"]), {"leads": LEADS})
