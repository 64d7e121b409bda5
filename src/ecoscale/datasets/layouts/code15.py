"""A CODE-15% in its publisher's exact layout (Zenodo 4916206): see `write_code15`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import (
    CODE15_PREVALENCE,
    DEFAULT_NOISE,
    Noise,
    random_findings,
    random_torso,
    synthetic_ecg,
)
from ecoscale.datasets.synthetic_heart import GENERATED
from ecoscale.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    import pandas as pd
    from numpy.random import Generator
    from numpy.typing import NDArray

CODE15_COLUMNS = (
    *("exam_id", "age", "is_male", "nn_predicted_age"),
    *("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"),
    *("patient_id", "death", "timey", "normal_ecg", "trace_file"),
)
"""The header of CODE-15%'s `exams.csv`."""

_RATE = 400
_N_SAMPLES = 4096
# The shorter recordings hold 7.335 s in the middle of the row.
_SHORT = slice(581, 3515)
_SHARE_SHORT = 0.6
_PATIENTS_PER_EXAM = 233_770 / 345_779


def write_code15(
    directory: str | PathLike[str],
    n_exams: int,
    *,
    n_parts: int = 2,
    seed: int = 0,
    prevalence: Mapping[str, float] = CODE15_PREVALENCE,
    noise: Noise = DEFAULT_NOISE,
    compression: int | None = 4,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a CODE-15% of `n_exams` synthetic exams; the same bytes for the same arguments and library versions.

    `exams_part{0..}.hdf5` hold `exam_id` (N,) int64 and `tracings` (N, 4096, 12) float32: 400 Hz, mV, leads I II III
    aVR aVL aVF V1..V6, one chunk a row, gzip at level `compression` (None: stored as it is). Each ends in an all-zero
    row with exam_id 0. About 60 % of the exams hold 7.3 s with zeros on both sides; one in 500, and at least one, is
    empty. `exams.csv` has `CODE15_COLUMNS`, its rows in another order. A third of the exams are repeats of a patient
    seen before, whose heart keeps its axis and whose blocked branch stays blocked; they fall into any part. `death`
    and `timey` are filled for one exam of each patient only.

    One tracing is in memory at a time. `progress` is called with the number of exams written since its last call.

    Raises
    ------
    DatasetError
        If there are fewer exams than parts, or none.
    SignalError
        If `prevalence` is impossible.
    MissingExtraError
        Without the package `h5py`.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("writing a CODE-15%", "h5py", "formats") from error

    if not 1 <= n_parts <= n_exams:
        raise DatasetError(f"{n_exams} exams in {n_parts} parts; expected at least one part and one exam in each")
    random = np.random.default_rng([seed, 0])
    exams = _exams(n_exams, random, prevalence)
    empty = set(random.choice(n_exams, size=max(1, n_exams // 500), replace=False).tolist())
    short = random.uniform(size=n_exams) < _SHARE_SHORT
    found, patients = exams[list(GENERATED)].to_numpy(), exams["patient_id"].to_numpy()
    nothing = np.zeros((_N_SAMPLES, 12), np.float32)

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    trace_files = []
    for part, members in enumerate(np.array_split(np.arange(n_exams), n_parts)):
        name, n_rows = f"exams_part{part}.hdf5", len(members) + 1
        trace_files += [name] * len(members)
        with h5py.File(folder / name, "w") as file:
            file.create_dataset("exam_id", data=np.append(exams["exam_id"].to_numpy()[members], 0))
            tracings = file.create_dataset(
                "tracings",
                shape=(n_rows, _N_SAMPLES, 12),
                dtype=np.float32,
                chunks=(1, _N_SAMPLES, 12),
                compression=None if compression is None else "gzip",
                compression_opts=compression,
            )
            for row, index in enumerate(members.tolist()):
                if index in empty:
                    tracings[row] = nothing
                else:
                    findings = [finding for finding, present in zip(GENERATED, found[index], strict=True) if present]
                    tracings[row] = _tracing(findings, int(patients[index]), bool(short[index]), noise, seed, index)
                if progress is not None:
                    progress(1)
            tracings[n_rows - 1] = nothing

    exams["trace_file"] = trace_files
    exams.loc[random.permutation(n_exams), list(CODE15_COLUMNS)].to_csv(
        folder / "exams.csv", index=False, lineterminator="\n"
    )


def _exams(n_exams: int, random: Generator, prevalence: Mapping[str, float]) -> pd.DataFrame:
    """The table `exams.csv` in the order of the tracings, its `trace_file` still to be filled."""
    import pandas as pd

    n_patients = max(1, round(n_exams * _PATIENTS_PER_EXAM))
    # Everybody once, then the repeats; shuffled, so that a patient's exams are apart from each other.
    patient = np.concatenate((np.arange(n_patients), random.integers(n_patients, size=n_exams - n_patients)))
    random.shuffle(patient)
    first = np.zeros(n_exams, bool)
    first[np.unique(patient, return_index=True)[1]] = True

    age = np.clip(np.round(random.normal(53, 18, n_patients)), 17, 100).astype(int)[patient]
    found = np.zeros((n_exams, len(GENERATED)), bool)
    for row in found:
        present = random_findings(random, prevalence)
        row[:] = [finding in present for finding in GENERATED]
    branches = [list(GENERATED).index(name) for name in ("RBBB", "LBBB")]
    of_patient = np.zeros((n_patients, 2), bool)
    of_patient[patient[first]] = found[first][:, branches]
    found[:, branches] = of_patient[patient]

    columns = {
        "exam_id": _distinct(n_exams, random),
        "age": age,
        "is_male": (random.uniform(size=n_patients) < 0.4)[patient],
        "nn_predicted_age": np.clip(random.normal(age, 9), 10, 105).round(6),
        **dict(zip(GENERATED, found.T, strict=True)),
        "patient_id": _distinct(n_patients, random)[patient],
        "death": pd.array(random.uniform(size=n_exams) < 0.03, dtype="boolean"),
        "timey": random.uniform(0.01, 7.5, n_exams).round(6),
        "normal_ecg": ~found.any(axis=1) & (random.uniform(size=n_exams) < 0.45),
    }
    exams = pd.DataFrame(columns)
    exams.loc[~first, "death"] = pd.NA
    exams.loc[~first, "timey"] = np.nan
    return exams


def _distinct(n: int, random: Generator) -> NDArray[np.int64]:
    """`n` different positive identifiers in no order, of seven digits while that is enough."""
    return random.choice(max(4_500_000, 10 * n), size=n, replace=False) + 1


def _tracing(
    findings: Iterable[str], patient_id: int, short: bool, noise: Noise, seed: int, index: int
) -> NDArray[np.float32]:
    """One row of `tracings`, `(4096, 12)`."""
    row = np.zeros((_N_SAMPLES, 12), np.float32)
    where = _SHORT if short else slice(0, _N_SAMPLES)
    made = synthetic_ecg(
        findings,
        rate=_RATE,
        duration=(where.stop - where.start) / _RATE,
        seed=[seed, 1, index],
        noise=noise,
        torso=random_torso(np.random.default_rng([seed, 2, patient_id])),
    )
    row[where] = made.ecg.signal.T
    return row
