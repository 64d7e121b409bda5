"""A LUDB in its publisher's exact layout (PhysioNet ludb 1.0.1): see `write_ludb`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.synthetic import DEFAULT_NOISE, EVEN_PREVALENCE, Noise, synthetic_collection, wave_times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.random import Generator

    from ecoscale.datasets.synthetic import SyntheticECG

LUDB_COLUMNS = (
    *("ID", "Sex", "Age", "Rhythms", "Electric axis of the heart", "Conduction abnormalities", "Extrasystolies"),
    *("Hypertrophies", "Cardiac pacing", "Ischemia", "Non-specific repolarization abnormalities", "Other states"),
)
"""The header of LUDB's `ludb.csv`."""

_RATE = 500
_RHYTHMS = {"SB": "Sinus bradycardia", "ST": "Sinus tachycardia", "AF": "Atrial fibrillation"}
_CONDUCTION = {
    "1dAVb": "I degree AV block",
    "RBBB": "Complete right bundle branch block",
    "LBBB": "Complete left bundle branch block",
}
_AXES = ("normal", "left axis deviation", "vertical", "horizontal")
_SYMBOLS = {"P": "p", "QRS": "N", "T": "t"}


def write_ludb(
    directory: str | PathLike[str],
    n_records: int,
    *,
    seed: int = 0,
    prevalence: Mapping[str, float] = EVEN_PREVALENCE,
    noise: Noise = DEFAULT_NOISE,
) -> None:
    """Write a LUDB of `n_records` synthetic records; the same bytes for the same arguments and library versions.

    `data/1.hea`, `data/1.dat` and so on: 10 s at 500 Hz, 16 bit, leads named in lower case, gains that differ from
    lead to lead, and after `#<diagnoses>:` the phrases, a line each. `data/1.i` to `data/1.v6` mark the waves of each
    lead with `(`, `p` `N` or `t`, and `)`; what lies before the first or after the last sample has no mark.
    `ludb.csv` has `LUDB_COLUMNS`, a line for each phrase in its cells and a line break at the end of each but the
    first column, and the age of the oldest as `>89`; `RECORDS` lists the records. A record without a blocked branch may
    show an incomplete block, which is a matter of words here: its signal shows none.

    Raises
    ------
    SignalError
        If `prevalence` is impossible.
    """
    made = synthetic_collection(n_records, seed=seed, prevalence=prevalence, rate=_RATE, noise=noise)
    folder = Path(directory)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, n_records])
    rows = []
    for number, one in enumerate(made, 1):
        sex, age = str(random.choice(["F", "M"])), int(random.integers(18, 89))
        diagnoses = _diagnoses(one, random)
        years = ">89" if number == n_records else str(age)
        _write_record(folder / "data", str(number), one, [f"<age>: {years}", f"<sex>: {sex}", *_comments(diagnoses)])
        # The table has them as Python's str.capitalize makes them.
        cells = ("".join(f"{phrase.capitalize()}\n" for phrase in diagnoses.get(name, ())) for name in LUDB_COLUMNS[3:])
        rows.append([number, f"{sex}\n", f"{years}\n", *cells])
    with (folder / "ludb.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(LUDB_COLUMNS)
        table.writerows(rows)
    (folder / "RECORDS").write_text("".join(f"data/{number}\n" for number in range(1, n_records + 1)))


def _diagnoses(one: SyntheticECG, random: Generator) -> dict[str, list[str]]:
    """The phrases by their columns, spelt as in the headers."""
    conduction = [_CONDUCTION[finding] for finding in one.findings if finding in _CONDUCTION]
    if one.heart.conduction == "normal" and random.uniform() < 0.3:
        conduction.append(f"Incomplete {random.choice(['left', 'right'])} bundle branch block")
    rhythm = next((_RHYTHMS[finding] for finding in one.findings if finding in _RHYTHMS), "Sinus rhythm")
    found = {"Rhythms": [rhythm], "Conduction abnormalities": conduction}
    found["Electric axis of the heart"] = [f"Electric axis of the heart: {random.choice(_AXES)}"]
    if random.uniform() < 0.4:
        found["Hypertrophies"] = ["Left atrial hypertrophy", "Left ventricular hypertrophy"]
    return found


def _comments(diagnoses: dict[str, list[str]]) -> list[str]:
    prefix = {"Rhythms": "Rhythm: "}
    phrases = [f"{prefix.get(name, '')}{phrase}." for name in LUDB_COLUMNS for phrase in diagnoses.get(name, ())]
    return ["<diagnoses>:", *phrases]


def _write_record(folder: Path, name: str, one: SyntheticECG, comments: list[str]) -> None:
    import wfdb

    ecg = one.ecg
    leads = [lead.lower() for lead in ecg.leads]
    wfdb.wrsamp(
        name,
        fs=_RATE,
        units=["mV"] * ecg.n_leads,
        sig_name=leads,
        p_signal=ecg.signal.T.astype(np.float64),
        fmt=["16"] * ecg.n_leads,
        adc_gain=[1000.0 + 10 * row for row in range(ecg.n_leads)],
        baseline=[0] * ecg.n_leads,
        comments=comments,
        write_dir=str(folder),
    )
    header = folder / f"{name}.hea"
    header.write_text(header.read_text().replace("# ", "#"))
    samples, symbols = _marks(one)
    for lead in leads:
        # wfdb takes letters alone for the name of an annotation file.
        wfdb.wrann(name, "lead", np.array(samples), symbol=symbols, fs=_RATE, write_dir=str(folder))
        (folder / f"{name}.lead").replace(folder / f"{name}.{lead}")


def _marks(one: SyntheticECG) -> tuple[list[int], list[str]]:
    """Samples and symbols of the waves whose peak is inside the recording, in the order of time."""
    waves = []
    for onset, r_peak in zip(one.qrs_onsets, one.r_peaks, strict=True):
        for kind, (start, stop) in wave_times(one.heart).items():
            peak = r_peak if kind == "QRS" else onset + (start + stop) / 2
            waves.append([round(time * _RATE) for time in (onset + start, peak, onset + stop)] + [_SYMBOLS[kind]])
    waves.sort()
    samples, symbols = [], []
    following = [onset for onset, *_ in waves[1:]] + [2 * one.ecg.n_samples]
    for (onset, peak, offset, symbol), next_onset in zip(waves, following, strict=True):
        # In a fast rhythm P begins before T has ended; nobody marks two waves at once.
        offset = min(offset, next_onset)
        peak = min(peak, offset - 1)
        if 0 <= peak < one.ecg.n_samples:
            marks = [(onset, "("), (peak, symbol), (offset, ")")]
            inside = [mark for mark in marks if 0 <= mark[0] < one.ecg.n_samples]
            samples += [sample for sample, _ in inside]
            symbols += [symbol for _, symbol in inside]
    return samples, symbols
