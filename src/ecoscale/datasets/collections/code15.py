"""CODE-15%: 345,779 exams of 233,770 patients, 12 leads, 400 Hz.

Source: Ribeiro et al., CODE-15%: a large scale annotated dataset of 12-lead ECGs, Zenodo, doi:10.5281/zenodo.4916206.
Licence: CC BY 4.0.
Labels: six findings (1dAVb RBBB LBBB SB ST AF) as columns of `exams.csv`, from the CODE study's annotation.
Folds: none; a third of the rows are repeat patients, so split by `patient_id` (`ecoscale.datasets.in_share`).
Traps, all met here: the rows of `exams.csv` are in another order than the tracings, so they are joined by `exam_id`;
each part ends in an all-zero row with exam_id 0 that belongs to no exam; about 60 % of the exams last 7.3 s and are
zero-padded on both sides (the reader removes the padding and says so); a few exams are empty (reading one is refused);
values are mV, whatever the description says.
A folder need not hold all 18 parts: exams whose part is absent are left out, and `notes` says how many.
"""

from __future__ import annotations

import re
from itertools import compress
from pathlib import Path

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.errors import DatasetError, MissingExtraError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import Recording

TABLE = "exams.csv"
PADDING_EXAM = 0


class Code15(Collection):
    """CODE-15% from the folder with `exams.csv` and the parts `exams_part*.hdf5`."""

    name = "code15"
    title = "CODE-15%"
    source = "https://doi.org/10.5281/zenodo.4916206"
    licence = "CC BY 4.0"
    scheme = "CODE"
    shares_records_with = ("challenge2025",)
    looked_for = "exams.csv beside exams_part*.hdf5"
    # Unpacked: 345,797 rows of 4096 x 12 float32 and an id, as if stored without compression.
    archive = Archive("zenodo", "4916206", 46_000_000_000, unpacked=68_000_000_000)

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        table = self.directory / TABLE
        if not table.exists():
            raise DatasetError(f"{table}: not found; CODE-15%'s folder holds it beside exams_part0.hdf5")
        columns = [finding.name for finding in CODE_FINDINGS]
        names = ["exam_id", "patient_id", "trace_file"]
        rows = read_table(table, [*names, *columns], text=names)
        if wrong := [name for name in columns if not set(rows[name].unique()) <= {True, False}]:
            raise DatasetError(f"{table}: {', '.join(wrong)} holds more than True and False")
        if rows["exam_id"].duplicated().any():
            raise DatasetError(f"{table}: exam_id {rows.exam_id[rows.exam_id.duplicated()].iloc[0]} occurs twice")
        notes = []
        # In the order of the tracings, in which reading them is fast.
        parts = sorted(rows["trace_file"].unique(), key=lambda part: [int(n) for n in re.findall(r"\d+", part)])
        at_hand = {str(exam): part for part in parts for exam in self._exam_ids(part)}
        stated = set(rows["exam_id"])
        if lacking := len(stated - at_hand.keys()):
            notes.append(f"{lacking:,} of {len(rows):,} exams of {TABLE} have no tracing in this folder")
        if strangers := len(at_hand.keys() - stated):
            notes.append(f"{strangers:,} tracings have no row in {TABLE} and are left out")
        self.notes = tuple(notes)
        rows = rows.set_index("exam_id", drop=False).loc[[exam for exam in at_hand if exam in stated]]
        if rows.empty:
            raise DatasetError(
                f"{self.directory}: none of the exams of {TABLE} has a tracing here; are the parts missing?"
            )
        flags = rows[columns].to_numpy(dtype=bool)
        self.records = pd.DataFrame(
            {
                "patient": rows["patient_id"].to_numpy(),
                "fold": 0,
                "codes": [frozenset(compress(columns, row)) for row in flags],
                "path": [at_hand[exam] for exam in rows["exam_id"]],
            },
            index=pd.Index(rows["exam_id"], name="record"),
        )

    def _exam_ids(self, part: str) -> list[int]:
        """Exam ids of one part, without the all-zero last row; empty if the part is not in the folder."""
        try:
            import h5py
        except ImportError as error:
            raise MissingExtraError("CODE-15%", "h5py", "formats") from error
        path = self.directory / part
        if not path.exists():
            return []
        try:
            with h5py.File(path, "r") as file:
                return [int(exam) for exam in file["exam_id"][:] if exam != PADDING_EXAM]  # type: ignore[index]
        except (OSError, KeyError) as error:
            raise DatasetError(f"{path}: not a part of CODE-15% ({error}); download it again") from error

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its table and at least one part."""
        return (directory / TABLE).exists() and next(directory.glob("exams_part*.hdf5"), None) is not None

    def recording(self, record: str) -> Recording:
        """One exam by its `exam_id`; reading it removes its zero padding."""
        return Recording(self.path(record), record)
