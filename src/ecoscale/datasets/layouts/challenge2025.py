"""Records as the scripts of the PhysioNet Challenge 2025 write them: see `write_challenge2025`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import EVEN_PREVALENCE, random_findings, synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from ecoscale.ecg import ECG

_GAIN = 1000
_LARGEST = 2**15 - 1
# Samples at 400 Hz that are left of the two lengths of CODE-15% once its padding is cut off.
_LENGTHS = (2934, 4096)


def write_challenge2025(
    directory: str | PathLike[str],
    n_records: int,
    *,
    seed: int = 0,
    chagas: float = 0.2,
    old_headers: bool = False,
    patients: bool = True,
) -> None:
    """Write `n_records` synthetic records for each of the three sources; the same bytes for the same arguments.

    `code15_part0` and `samitrop`: 400 Hz, 7.3 or 10.2 s without padding, named by exam id; `ptbxl/00000`: 500 Hz, 10 s,
    `NNNNN_hr`, with the time and date that PTB-XL's script adds to the record line. 16 bit, 1 uV, leads I II III AVR
    AVL AVF V1..V6. The header ends in `# Age:`, `# Sex:`, `# Chagas label:` (True in `chagas` of CODE-15%, all of
    SaMi-Trop, none of PTB-XL) and `# Source:`; with `old_headers` those of CODE-15% begin with `# Exam ID:` and
    `# Patient ID:`, and no record states its source. Two thirds of CODE-15%'s records are of different patients;
    `patients` writes its `exams.csv` into the folder. Nothing in the signals tells the disease. Raises `DatasetError`
    without a record.
    """
    if n_records < 1:
        raise DatasetError(f"{n_records} records; expected one at least")
    random = np.random.default_rng([seed, 0])
    folder = Path(directory)
    exam_ids = (random.choice(900_000, 2 * n_records, replace=False) + 1).tolist()
    owners = random.integers(10_000, 10_000 + max(1, 2 * n_records // 3), n_records).tolist()
    for number, (source, place) in enumerate(
        (("CODE-15%", "code15_part0"), ("SaMi-Trop", "samitrop"), ("PTB-XL", "ptbxl/00000"))
    ):
        for index in range(n_records):
            from_code = source != "PTB-XL"
            rate = 400 if from_code else 500
            made = synthetic_ecg(
                random_findings(random, EVEN_PREVALENCE),
                rate=rate,
                duration=_LENGTHS[index % 2] / rate if from_code else 10.0,
                seed=[seed, 1, number, index],
            )
            label = source == "SaMi-Trop" or (source == "CODE-15%" and random.uniform() < chagas)
            comments = [
                f"Age: {random.integers(17, 100)}",
                f"Sex: {random.choice(['Female', 'Male'])}",
                f"Chagas label: {bool(label)}",
            ]
            name = str(exam_ids[number * n_records + index]) if from_code else f"{index + 1:05d}_hr"
            if not old_headers:
                comments.append(f"Source: {source}")
            elif source == "CODE-15%":
                comments[:0] = [f"Exam ID: {name}", f"Patient ID: {owners[index]}"]
            _write_record(folder / place, name, made.ecg, comments)
            if not from_code:
                _add_date(folder / place / f"{name}.hea")
    if patients:
        rows = [f"{exam},{patient}" for exam, patient in zip(exam_ids, owners, strict=False)]
        (folder / "exams.csv").write_text("\n".join(["exam_id,patient_id", *rows, ""]), encoding="utf-8")


def _write_record(folder: Path, name: str, ecg: ECG, comments: Sequence[str]) -> None:
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    steps = np.clip(np.round(_GAIN * ecg.signal.T.astype(np.float64)), -_LARGEST, _LARGEST)
    wfdb.wrsamp(
        name,
        fs=int(ecg.rate),
        units=["mV"] * len(LEADS),
        sig_name=[lead.upper() for lead in LEADS],
        d_signal=steps.astype(np.int32),
        fmt=["16"] * len(LEADS),
        adc_gain=[_GAIN] * len(LEADS),
        baseline=[0] * len(LEADS),
        comments=list(comments),
        write_dir=str(folder),
    )


def _add_date(header: Path) -> None:
    record, rest = header.read_text(encoding="utf-8").split("\n", 1)
    header.write_text(f"{record} 09:17:34 09/11/1984 \n{rest}", encoding="utf-8")
