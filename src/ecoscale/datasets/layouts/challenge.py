"""A training set of the PhysioNet Challenges 2020 and 2021 in its publisher's layout: see `write_challenge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.collections.challenge import SOURCES_2021, TRAINING, Source
from ecoscale.datasets.collections.challenge_codes import challenge_codes
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, random_findings, synthetic_ecg
from ecoscale.datasets.synthetic_heart import GENERATED
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from numpy.random import Generator
    from numpy.typing import NDArray

# What a source states of an ECG that shows none of the findings that can be generated and that it states.
_OTHERWISE = {
    "cpsc_2018_extra": "164867002",  # old myocardial infarction
    "st_petersburg_incart": "53741008",  # coronary heart disease
    "ptb": "164865005",  # myocardial infarction
}
_SINUS_RHYTHM, _FLUTTER = "426783006", "164890007"
_MISSING = -32768


def write_challenge(
    directory: str | PathLike[str],
    n: int,
    *,
    sources: Iterable[str] = tuple(source.folder for source in SOURCES_2021),
    seed: int = 0,
    prevalence: Mapping[str, float] = EVEN_PREVALENCE,
    incart_duration: float = 1800.0,
    original: bool = False,
) -> dict[str, list[str]]:
    """Write `n` synthetic records of each of these sources; return the findings that each shows.

    `training/SOURCE/g1/NAME.{hea,mat}`, 999 records in g1 and 1000 in each further folder, a MATLAB 4 matrix `val` of
    16 bits in steps of 1 uV, at the source's rate: 500 Hz, PTB 1000, INCART 257. They last 10 s; 6 to 30 in the two of
    CPSC, 32 to 60 in PTB, `incart_duration` in INCART, 5 or 10 in Georgia. Headers are written as in 2021's version
    1.0.3; `original`: as in 2020, when the Challenge opened, with a date that WFDB does not know.

    A source states the code that it states most often of a finding's codes, and nothing of a finding that it never
    states; Ningbo writes flutter for fibrillation. The first record of Georgia repeats a code, that of
    Chapman-Shaoxing ends its codes in a comma, that of Ningbo has samples marked as missing, and ages may be NaN.

    Raises
    ------
    DatasetError
        For a source that does not exist, or no record.
    SignalError
        If `prevalence` is impossible.
    """
    known = {source.folder: source for source in SOURCES_2021}
    sources = tuple(sources)
    if strangers := [name for name in sources if name not in known]:
        raise DatasetError(f"no source {', '.join(strangers)} in the Challenges; there are {', '.join(known)}")
    if n < 1:
        raise DatasetError(f"{n} records of each source; expected at least 1")
    shown = {}
    for name in sources:
        source, number = known[name], list(known).index(name)
        start = 10646 if name == "ningbo" else 0
        for index in range(n):
            random = np.random.default_rng([seed, number, index])
            findings = random_findings(random, prevalence)
            record = f"{source.prefix}{start + index + 1:0{source.digits}d}"
            duration = _duration(name, index, random, incart_duration)
            made = synthetic_ecg(findings, rate=source.rate, duration=duration, seed=[seed, number, index, 1])
            steps = np.clip(np.rint(made.ecg.signal * 1000), -32767, 32767).astype(np.int16)
            codes = _codes(name, findings)
            if index == 0:
                codes = {"georgia": codes + codes, "chapman_shaoxing": [*codes, ""]}.get(name, codes)
                if name == "ningbo":
                    steps[-1, :10] = _MISSING
            folder = Path(directory) / TRAINING / name / f"g{(index + 1) // 1000 + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder, record, source, steps, codes, random, original)
            shown[record] = list(findings)
    return shown


def _duration(name: str, index: int, random: Generator, incart: float) -> float:
    if name in ("cpsc_2018", "cpsc_2018_extra"):
        return round(random.uniform(6, 30), 2)
    if name == "ptb":
        return round(random.uniform(32, 60), 2)
    if name == "st_petersburg_incart":
        return incart
    return 5.0 if name == "georgia" and index % 5 == 4 else 10.0


def _codes(name: str, findings: Iterable[str]) -> list[str]:
    """What a source states of these findings."""
    table = challenge_codes()
    codes = []
    for finding in findings:
        most = max(GENERATED[finding].codes, key=lambda code: table[code].counts[name])
        if table[most].counts[name]:
            codes.append(most)
        elif (name, finding) == ("ningbo", "AF"):
            codes.append(_FLUTTER)
    if not {"SB", "ST", "AF"} & set(findings) and name not in _OTHERWISE:
        codes.insert(0, _SINUS_RHYTHM)
    return codes or [_OTHERWISE.get(name, _SINUS_RHYTHM)]


def _write(
    folder: Path,
    record: str,
    source: Source,
    steps: NDArray[np.int16],
    codes: list[str],
    random: Generator,
    original: bool,
) -> None:
    from scipy.io import savemat

    savemat(folder / f"{record}.mat", {"val": steps}, format="4")
    n_leads, n_samples = steps.shape
    unit = "mv" if source.folder == "ptb-xl" else "mV"
    clock, form, mark = ("", f"16x1+24 1000.0(0)/{unit}", "# ")
    if original:
        clock, form, mark = (" 05-Feb-2020 11:39:16", "16+24 1000/mV", "#")
    lines = [f"{record} {n_leads} {source.rate} {n_samples}{clock}"]
    for row, lead in zip(steps, ("I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7))), strict=True):
        checksum = int(row.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{record}.mat {form} 16 0 {row[0]} {checksum} 0 {lead}")
    age = "NaN" if random.uniform() < 0.1 else str(random.integers(18, 90))
    sex = ("Male", "Female")[random.integers(2)]
    about = {"Age": age, "Sex": sex, "Dx": ",".join(codes), "Rx": "Unknown", "Hx": "Unknown", "Sx": "Unknown"}
    lines += [f"{mark}{key}: {value}" for key, value in about.items()]
    (folder / f"{record}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
