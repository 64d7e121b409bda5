"""PTB-XL: 21,799 records of 18,869 patients, 10 s, 12 leads, 100 and 500 Hz.

Source: Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, version 1.0.3, PhysioNet,
doi:10.13026/kfzx-aw45. Licence: CC BY 4.0.
Labels: 71 SCP-ECG statements by up to two cardiologists, in the column `scp_codes` as a Python literal
{statement: likelihood}. As in the published benchmark (Strodthoff et al. 2020) a statement counts as present when it is
listed, whatever its likelihood: 0 stands for "not stated", and form and rhythm statements carry no other.
The five superclasses (NORM, MI, STTC, CD, HYP) group the 44 diagnostic statements by `scp_statements.csv`; as in the
benchmark they are unknown for the records (411 of 21,799) that have no diagnostic statement at all.
Tasks: the six of that benchmark (`all`, `diagnostic`, `subdiagnostic`, `superdiagnostic`, `form`, `rhythm`), its
classes in its order, and of the records those that it selects: but for `all`, those with a statement of the task. A
seventh, `statements`, is ours: `all` with the superclasses CD, HYP, MI and STTC (the fifth, NORM, is a statement too).
The statements and their classes are in `ptbxl_statements.csv`, from the collection's own `scp_statements.csv`.
Folds: `strat_fold` 1-10, patient-wise; 1-8 train, 9 validation, 10 test, the last two human-validated.
Traps: reduced copies of `ptbxl_database.csv` lack `patient_id`; the folds are patient-wise all the same, and each
record then counts as a patient of its own, which makes intervals by patient slightly too narrow (said in `notes`).
`filename_lr` and `filename_hr` have no suffix.
The two rates are not one signal resampled: the 500 Hz files run 1.25 ms behind those at 100 Hz, and their last 0.1 s
are one held value, where those at 100 Hz go on (in each of the 20 records that the tests read).
PTB-XL+ (Strodthoff et al. 2023, doi:10.13026/g6h6-7g88, PhysioNet ptb-xl-plus 1.0.1) adds features of three measuring
programs, median beats, and SNOMED-CT codes to these records, under the same folds; it is not read here.
The part ptb-xl of the PhysioNet Challenges 2020 and 2021 is version 1.0.1 of this collection.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.datasets.collections.ptbxl_tasks import BENCHMARK, STATEMENTS
from ecoscale.datasets.vocabulary import UNKNOWN, mappings
from ecoscale.errors import DatasetError
from ecoscale.findings import PTBXL_SUPERCLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray


TABLE = "ptbxl_database.csv"


class PTBXL(Collection):
    """PTB-XL from its folder; `rate` 100 or 500 Hz (default: 100 where those files exist, else 500)."""

    name = "ptbxl"
    title = "PTB-XL 1.0.3"
    source = "https://doi.org/10.13026/kfzx-aw45"
    licence = "CC BY 4.0"
    scheme = "SCP"
    shares_records_with = ("challenge2020", "challenge2021", "challenge2025")
    looked_for = "ptbxl_database.csv"
    # 21,799 records of 24,000 and 120,000 bytes, their headers, and the tables.
    archive = Archive("physionet", "ptb-xl/1.0.3", 3_170_000_000)
    tasks = (*BENCHMARK, STATEMENTS)

    def __init__(self, directory: str | Path, rate: int | None = None) -> None:
        import pandas as pd

        self.directory = Path(directory)
        table = self.directory / TABLE
        if not table.exists():
            raise DatasetError(f"{table}: not found; PTB-XL's folder holds it beside records100 and records500")
        if rate is None:
            rate = 100 if (self.directory / "records100").is_dir() else 500
        if rate not in (100, 500):
            raise DatasetError(f"PTB-XL has no files at {rate} Hz; choose 100 or 500")
        self.rate = rate
        column = {100: "filename_lr", 500: "filename_hr"}[rate]
        rows = read_table(table, ["ecg_id", "scp_codes", "strat_fold", column], text=["ecg_id", "scp_codes", column])
        if rows["ecg_id"].duplicated().any():
            raise DatasetError(f"{table}: ecg_id {rows.ecg_id[rows.ecg_id.duplicated()].iloc[0]} occurs twice")
        patients = "record-" + rows["ecg_id"]
        if "patient_id" in rows.columns:
            # Written as 15709.0 by the publisher.
            stated = rows["patient_id"].astype(str).str.removesuffix(".0")
            alone = rows["patient_id"].isna()
            patients = stated.mask(alone, patients)
            if n_alone := np.count_nonzero(alone):
                self.notes = (f"{table}: {n_alone:,} rows have no patient_id; each counts as a patient of its own",)
        else:
            self.notes = (f"{table} has no patient_id: each record counts as a patient of its own",)
        if not pd.api.types.is_integer_dtype(rows["strat_fold"]):
            raise DatasetError(
                f"{table}: strat_fold holds {rows.strat_fold.iloc[0]!r}; expected whole numbers, 1 to 10"
            )
        self.records = pd.DataFrame(
            {
                "patient": patients.to_numpy(dtype=object),
                "fold": rows["strat_fold"].to_numpy(dtype=int),
                "codes": [self._codes(table, row, text) for row, text in zip(rows.ecg_id, rows.scp_codes, strict=True)],
                "path": rows[column].to_numpy(),
            },
            index=pd.Index(rows["ecg_id"], name="record"),
        )

    @staticmethod
    def _codes(table: Path, record: str, text: str) -> frozenset[str]:
        try:
            statements = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            statements = None
        if not isinstance(statements, dict):
            raise DatasetError(
                f"{table}: scp_codes of ecg_id {record} is {text!r}; expected a mapping such as {{'NORM': 100.0}}"
            )
        return frozenset(statements)

    @classmethod
    def label(cls, records: pd.DataFrame, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`; superclasses are unknown where a record has no diagnostic statement."""
        found = super().label(records, findings)
        groups = {finding.name for finding in PTBXL_SUPERCLASSES}
        diagnostic = {row.code for row in mappings(cls.scheme) if row.finding in groups}
        unstated = [diagnostic.isdisjoint(codes) for codes in records["codes"]]
        found[np.ix_(unstated, [finding in groups for finding in findings])] = UNKNOWN
        return found

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its table."""
        return (directory / TABLE).exists()
