"""A CODE-test and a SaMi-Trop in their publisher's exact layout: exams by row number, zero-padded on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import EVEN_PREVALENCE, random_findings, synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import DatasetError, MissingExtraError
from ecoscale.formats.code_hdf5 import CODE_TEST_LEADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

CODE_TEST_COLUMNS = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
"""The columns of CODE-test's annotations, in another order than CODE-15%'s."""
SAMITROP_COLUMNS = ("exam_id", "age", "is_male", "normal_ecg", "death", "timey", "nn_predicted_age")
"""The header of SaMi-Trop's `exams.csv`."""

_RATE = 400
_N_SAMPLES = 4096
_CODE_TEST_LENGTHS = (2800, 4000)
_SAMITROP_LENGTHS = (2934, 4096)
# How often each reader misses a finding, and sees one that is not there.
_READERS = {
    "cardiologist1": (0.05, 0.002),
    "cardiologist2": (0.05, 0.002),
    "cardiology_residents": (0.1, 0.003),
    "emergency_residents": (0.15, 0.004),
    "medical_students": (0.1, 0.01),
    "dnn": (0.04, 0.005),
}


def write_code_test(
    directory: str | PathLike[str],
    n_exams: int,
    *,
    seed: int = 0,
    leads: Sequence[str] = CODE_TEST_LEADS,
    prevalence: Mapping[str, float] = EVEN_PREVALENCE,
) -> None:
    """Write a CODE-test of `n_exams` synthetic exams; the same bytes for the same arguments and library versions.

    As its archive unpacks: `data/ecg_tracings.hdf5` with `tracings` (N, 4096, 12) float64 and nothing else, 400 Hz, mV,
    7 or 10 s with zeros on both sides, the leads in the order `leads`; `data/attributes.csv` (age, sex) and
    `data/annotations/*.csv` with `CODE_TEST_COLUMNS`, in `dnn.csv` after a column without a name. The gold standard is
    what was drawn; the other annotators err at random. In the last exam aVR is another signal, as if recorded wrongly,
    so that no order fits it. Raises `DatasetError` for less than two exams, `MissingExtraError` without h5py.
    """
    import pandas as pd

    if n_exams < 2:
        raise DatasetError(f"{n_exams} exams; expected two at least, of which the last fits no lead order")
    random = np.random.default_rng([seed, 0])
    found = [random_findings(random, prevalence) for _ in range(n_exams)]
    folder = Path(directory) / "data"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    columns = [LEADS.index(lead) for lead in leads]

    def rows() -> Iterator[NDArray[np.float64]]:
        for index, row in enumerate(_tracings(found, _CODE_TEST_LENGTHS, seed)):
            if index == n_exams - 1:
                inside = row.any(axis=1)
                row[inside, LEADS.index("aVR")] = random.normal(0, 0.3, np.count_nonzero(inside))
            yield row[:, columns]

    _write_tracings(folder / "ecg_tracings.hdf5", rows(), n_exams)
    attributes = {"age": random.integers(17, 98, n_exams), "sex": random.choice(["F", "M"], n_exams)}
    pd.DataFrame(attributes).to_csv(folder / "attributes.csv", index=False, lineterminator="\n")
    gold = np.array([[name in findings for name in CODE_TEST_COLUMNS] for findings in found])
    readers = {"gold_standard": gold}
    for name, (missed, invented) in _READERS.items():
        chance = random.uniform(size=gold.shape)
        readers[name] = np.where(gold, chance >= missed, chance < invented)
    for name, flags in readers.items():
        table = pd.DataFrame(flags.astype(int), columns=list(CODE_TEST_COLUMNS))
        table.to_csv(folder / "annotations" / f"{name}.csv", index=name == "dnn", lineterminator="\n")


def write_samitrop(directory: str | PathLike[str], n_exams: int, *, seed: int = 0) -> None:
    """Write a SaMi-Trop of `n_exams` synthetic exams; the same bytes for the same arguments and library versions.

    `exams.hdf5` holds `tracings` (N, 4096, 12) float64 and nothing else, 400 Hz, mV, 7.3 s with zeros on both sides
    or 10.2 s, leads I II III aVR aVL aVF V1..V6; `exams.csv` has `SAMITROP_COLUMNS`, its rows in that order.
    Nothing in the signals tells the disease. Raises `DatasetError` without an exam, `MissingExtraError` without h5py.
    """
    import pandas as pd

    if n_exams < 1:
        raise DatasetError(f"{n_exams} exams; expected one at least")
    random = np.random.default_rng([seed, 0])
    found = [random_findings(random, EVEN_PREVALENCE) for _ in range(n_exams)]
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tracings(folder / "exams.hdf5", _tracings(found, _SAMITROP_LENGTHS, seed), n_exams)
    age = random.integers(26, 99, n_exams)
    columns = {
        "exam_id": np.sort(random.choice(900_000, n_exams, replace=False) + 1),
        "age": age,
        "is_male": random.uniform(size=n_exams) < 0.33,
        "normal_ecg": [not findings for findings in found],
        "death": random.uniform(size=n_exams) < 0.06,
        "timey": random.uniform(0.1, 3.4, n_exams).round(6),
        "nn_predicted_age": np.clip(random.normal(age, 9), 10, 105).round(6),
    }
    pd.DataFrame(columns)[list(SAMITROP_COLUMNS)].to_csv(folder / "exams.csv", index=False, lineterminator="\n")


def _tracings(found: Iterable[Iterable[str]], lengths: Sequence[int], seed: int) -> Iterator[NDArray[np.float64]]:
    """Rows of `tracings` in the order of `LEADS`, `(4096, 12)`, of these lengths in turn."""
    for index, findings in enumerate(found):
        n_samples = lengths[index % len(lengths)]
        made = synthetic_ecg(findings, rate=_RATE, duration=n_samples / _RATE, seed=[seed, 1, index])
        row = np.zeros((_N_SAMPLES, 12))
        first = (_N_SAMPLES - n_samples) // 2
        row[first : first + n_samples] = made.ecg.signal.T
        yield row


def _write_tracings(path: Path, rows: Iterable[NDArray[np.float64]], n_exams: int) -> None:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(f"writing {path.name}", "h5py", "formats") from error
    with h5py.File(path, "w") as file:
        tracings = file.create_dataset("tracings", shape=(n_exams, _N_SAMPLES, 12), dtype=np.float64)
        for index, row in enumerate(rows):
            tracings[index] = row
