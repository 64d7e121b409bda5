"""An SPH in its publisher's exact layout (figshare collection 5779802): see `write_sph`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.collections.sph import MODIFIERS, PRIMARY_STATEMENTS
from ecoscale.datasets.synthetic import (
    DEFAULT_NOISE,
    EVEN_PREVALENCE,
    Noise,
    random_findings,
    random_torso,
    synthetic_ecg,
)
from ecoscale.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.random import Generator

SPH_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date")
"""The header of SPH's `metadata.csv`."""

_RATE = 500
_CODES = {"1dAVb": "82", "RBBB": "106", "LBBB": "104", "SB": "22", "ST": "21", "AF": "50"}
# Statements that say nothing of the six findings; the signal does not show them.
_OTHERS = ("60+310", "145+362", "147", "105", "30+308", "142")
_PATIENTS_PER_RECORD = 24_666 / 25_770
# The category of a primary statement in the AHA/ACC/HRS list, by the largest number in it.
_CATEGORIES = {9: "A", 29: "C", 49: "D", 59: "E", 69: "F", 99: "H", 119: "I", 139: "J", 144: "K", 159: "L", 179: "M"}


def write_sph(
    directory: str | PathLike[str],
    n_records: int,
    *,
    seed: int = 0,
    prevalence: Mapping[str, float] = EVEN_PREVALENCE,
    noise: Noise = DEFAULT_NOISE,
) -> None:
    """Write an SPH of `n_records` synthetic records; the same bytes for the same arguments and library versions.

    `records/A00001.h5` and so on hold `ecg` (12, samples) float16: 500 Hz, mV, leads I II III aVR aVL aVF V1..V6, three
    of four 10 s long and the others up to 30 s. `metadata.csv` has `SPH_COLUMNS`; its `AHA_Code` holds statements in no
    certain order, some with a modifier, some that the signal does not show (ectopic beats, ST and T), and the first
    normal ECG twice (`1;1`). `code.csv` is the publisher's, byte for byte. The last record is another one of the first
    one's patient, and a few more are repeats.

    Raises
    ------
    SignalError
        If `prevalence` is impossible.
    MissingExtraError
        Without the package `h5py`.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("writing an SPH", "h5py", "formats") from error

    random = np.random.default_rng([seed, 0])
    found = [random_findings(random, prevalence) for _ in range(n_records)]
    folder = Path(directory)
    (folder / "records").mkdir(parents=True, exist_ok=True)
    n_patients = max(1, round(n_records * _PATIENTS_PER_RECORD))
    rows, twice = [], True
    for index, findings in enumerate(found):
        patient = index if index < n_patients else int(random.integers(n_patients))
        patient = 0 if index == n_records - 1 else patient
        duration = 10.0 if random.uniform() < 0.75 else float(random.integers(11, 31))
        name = f"A{index + 1:05d}"
        torso = random_torso(np.random.default_rng([seed, 2, patient]))
        made = synthetic_ecg(
            findings, rate=_RATE, duration=duration, seed=[seed, 1, index], noise=noise, torso=torso, record=name
        )
        with h5py.File(folder / "records" / f"{name}.h5", "w") as file:
            file["ecg"] = made.ecg.signal.astype(np.float16)
        code = _statements(findings, random)
        if code == "1" and twice:
            code, twice = "1;1", False
        date = np.datetime64("2019-08-01") + int(random.integers(396))
        age, sex = int(random.integers(18, 96)), str(random.choice(["F", "M"]))
        rows.append([name, code, f"S{patient + 1:05d}", age, sex, made.ecg.n_samples, str(date)])
    statements = [[_category(code), code, text] for code, text in PRIMARY_STATEMENTS.items()]
    statements += [["Modifier", code, text] for code, text in MODIFIERS.items()]
    for name, header, body, end in (
        ("metadata.csv", SPH_COLUMNS, rows, "\n"),
        ("code.csv", ("Category", "Code", "Description"), statements, "\r\n"),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator=end)
            table.writerow(header)
            table.writerows(body)


def _statements(findings: tuple[str, ...], random: Generator) -> str:
    codes = [_CODES[finding] for finding in findings]
    if "50" in codes:
        modifier = random.choice(["", "+346", "+347"])
        codes[codes.index("50")] += str(modifier)
    if random.uniform() < 0.4:
        codes.append(str(random.choice(_OTHERS)))
    random.shuffle(codes)
    return ";".join(codes) or "1"


def _category(code: str) -> str:
    return next(category for largest, category in _CATEGORIES.items() if int(code) <= largest)
