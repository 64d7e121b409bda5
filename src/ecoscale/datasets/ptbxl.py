"""PTB-XL: 21,799 records of 18,869 patients, 10 s, 12 leads, 100 and 500 Hz.

Source: Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, version 1.0.3, PhysioNet,
doi:10.13026/kfzx-aw45. Licence: CC BY 4.0.
Labels: 71 SCP-ECG statements by up to two cardiologists, in the column `scp_codes` as a Python literal
{statement: likelihood}. As in the published benchmark (Strodthoff et al. 2020) a statement counts as present when it is
listed, whatever its likelihood: 0 stands for "not stated", and form and rhythm statements carry no other.
Folds: `strat_fold` 1-10, patient-wise; 1-8 train, 9 validation, 10 test, the last two human-validated.
Traps: reduced copies of `ptbxl_database.csv` lack `patient_id`; the folds are patient-wise all the same, and each record
then counts as a patient of its own, which makes intervals by patient slightly too narrow (said in `notes`).
`filename_lr` and `filename_hr` have no suffix.
"""

from __future__ import annotations

import ast
from pathlib import Path

from ecoscale.datasets.collection import Collection
from ecoscale.ecg import ECG
from ecoscale.errors import DatasetError
from ecoscale.formats import read_ecg

TABLE = "ptbxl_database.csv"


class PTBXL(Collection):
    """PTB-XL from its folder; `rate` 100 or 500 Hz (default: 100 where those files exist, else 500)."""

    name = "ptbxl"
    title = "PTB-XL 1.0.3"
    source = "https://doi.org/10.13026/kfzx-aw45"
    licence = "CC BY 4.0"
    scheme = "SCP"

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
        rows = pd.read_csv(table, dtype={"ecg_id": str})
        column = {100: "filename_lr", 500: "filename_hr"}[rate]
        needed = ["ecg_id", "scp_codes", "strat_fold", column]
        if missing := [name for name in needed if name not in rows.columns]:
            raise DatasetError(f"{table}: column {', '.join(missing)} is missing; found {', '.join(rows.columns)}")
        if "patient_id" in rows.columns:
            patients = rows["patient_id"].astype("Int64").astype(str)
        else:
            patients = "record-" + rows["ecg_id"]
            self.notes = (f"{table} has no patient_id: each record counts as a patient of its own",)
        self.records = pd.DataFrame(
            {
                "patient": patients.to_numpy(),
                "fold": rows["strat_fold"].to_numpy(dtype=int),
                "codes": [self._codes(table, row, text) for row, text in zip(rows.ecg_id, rows.scp_codes, strict=True)],
                "path": rows[column].to_numpy(),
            },
            index=pd.Index(rows["ecg_id"], name="record"),
        )

    @staticmethod
    def _codes(table: Path, record: str, text: str) -> frozenset[str]:
        try:
            return frozenset(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError) as error:
            raise DatasetError(
                f"{table}: scp_codes of ecg_id {record} is {text!r}; expected a mapping such as {{'NORM': 100.0}}"
            ) from error

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its table."""
        return (directory / TABLE).exists()

    def read(self, record: str) -> ECG:
        """One record by its `ecg_id`."""
        return read_ecg(self.directory / self.records.at[record, "path"])
