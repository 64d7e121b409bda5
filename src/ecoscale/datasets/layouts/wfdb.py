"""WFDB records with their SNOMED-CT codes, and the labels in a table beside them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic_heart import GENERATED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from ecoscale.datasets.synthetic import SyntheticECG

SINUS_RHYTHM = "426783006"
"""SNOMED-CT: sinus rhythm, which the WFDB header of a recording states that is neither too slow, too fast nor AF."""


def write_wfdb(directory: str | PathLike[str], records: Iterable[SyntheticECG]) -> list[str]:
    """Write each recording as `NAME.hea` and `NAME.dat` (16 bit, 1 uV) and their labels; return the names.

    The header's comments state the SNOMED-CT codes as `Dx:`, as Chapman-Shaoxing and the PhysioNet challenges do.
    `labels.csv` has a row for each recording: `record`, the six findings as 0 or 1, `heart_rate` (bpm), `pr_interval`
    and `qrs_duration` (s; PR is empty in atrial fibrillation). `records` may be lazy: one is in memory at a time.
    """
    import wfdb

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for made in records:
        ecg, heart = made.ecg, made.heart
        codes = [str(GENERATED[finding].snomed) for finding in made.findings]
        if not {"SB", "ST", "AF"} & set(made.findings):
            codes.insert(0, SINUS_RHYTHM)
        wfdb.wrsamp(
            ecg.record,
            fs=ecg.rate,
            units=["mV"] * ecg.n_leads,
            sig_name=list(ecg.leads),
            p_signal=ecg.signal.T.astype(np.float64),
            fmt=["16"] * ecg.n_leads,
            adc_gain=[1000.0] * ecg.n_leads,
            baseline=[0] * ecg.n_leads,
            comments=[f"Dx: {','.join(codes)}", "Synthetic: drawn by ecoscale, not recorded from a person"],
            write_dir=str(folder),
        )
        pr_interval = "" if heart.pr_interval is None else f"{heart.pr_interval:.4f}"
        present = [int(finding in made.findings) for finding in GENERATED]
        rows.append([ecg.record, *present, f"{heart.rate:.2f}", pr_interval, f"{heart.qrs_duration:.4f}"])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["record", *GENERATED, "heart_rate", "pr_interval", "qrs_duration"])
        table.writerows(rows)
    return [row[0] for row in rows]
