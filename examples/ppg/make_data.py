"""Simulated wrist sensors: a folder of CSVs with pulse (PPG) and acceleration, for `ecoscale train FOLDER`.

    python examples/ppg/make_data.py ppg
    python examples/ppg/make_data.py ppg-new --subjects 40 --seed 1    # other subjects

Each of the subjects has a heart rate, a breathing arrhythmia, a shape and a strength of the pulse of his own.
Segments of 10 s at 64 Hz show one of four things: a `regular` pulse, an `irregular` one as in atrial fibrillation (of
some subjects only), a pulse under `motion`, or `no_contact`. The pulse wave is neurokit2's `ppg_simulate` (the extra
`measure`), motion is drawn here and seen by the accelerometer too. Mild motion and breathing arrhythmia are in the
calm segments as well, so that the classes are not told apart by one number. What is simulated says nothing of real
wrists.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

import numpy as np
from neurokit2 import ppg_simulate
from scipy.ndimage import gaussian_filter1d

RATE, SECONDS = 64, 10
CLASSES = ("regular", "irregular", "motion", "no_contact")
HEADER = "time (s),ppg (a.u.),acc (g)"
"""States rate and units, so that nobody has to."""


def pulse(rng: np.random.Generator, subject: dict[str, float], *, irregular: bool) -> np.ndarray:
    """A pulse wave around zero, of the subject's shape and strength; `(samples,)`."""
    if irregular:
        heart_rate = subject["heart_rate"] * rng.uniform(1.0, 1.3)
        # Each wave may begin earlier by up to this share of its length, but none is shorter than 0.3 s.
        jitter = min(rng.uniform(0.25, 0.6), 1 - 0.32 * heart_rate / 60)
        breathing = 0.0
    else:
        heart_rate = subject["heart_rate"] * rng.uniform(0.9, 1.1)
        jitter, breathing = rng.uniform(0.0, 0.08), subject["breathing"]
    wave = ppg_simulate(
        duration=SECONDS + 6,
        sampling_rate=RATE,
        heart_rate=heart_rate,
        frequency_modulation=breathing,
        ibi_randomness=jitter,
        motion_amplitude=0,
        powerline_amplitude=0,
        burst_number=0,
        burst_amplitude=0,
        random_state=int(rng.integers(2**31)),
    )[2 * RATE : (2 + SECONDS) * RATE]
    wave = (wave - wave.min()) / np.ptp(wave)
    strength = subject["strength"] * rng.uniform(0.8, 1.25)
    if irregular:
        # A beat after a short pause is weak.
        strength = strength * np.exp(gaussian_filter1d(rng.normal(0, 1.2, wave.size), RATE / 4) * np.sqrt(RATE / 4))
    return strength * (wave ** subject["shape"] - 0.4)


def motion(rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """What moving does: slow and of no rhythm, of this deviation; `(samples,)`."""
    width = RATE * rng.uniform(0.05, 0.25)
    moved = gaussian_filter1d(rng.normal(size=SECONDS * RATE), width)
    # Moves come and go.
    moved *= gaussian_filter1d(rng.exponential(size=moved.size), RATE / 2)
    return amplitude * moved / moved.std()


def segment(rng: np.random.Generator, subject: dict[str, float], kind: str) -> np.ndarray:
    """Pulse (arbitrary units) and acceleration (g) of one segment, `(samples, 2)`."""
    samples = SECONDS * RATE
    if kind == "no_contact":
        # Ambient light and the sensor's noise; the watch lies still, or is in a hand.
        light = motion(rng, rng.uniform(0.05, 1.0))
        moved = motion(rng, 0.05) if rng.random() < 0.5 else np.zeros(samples)
    else:
        amplitude = rng.uniform(0.5, 2.5) if kind == "motion" else rng.uniform(0.0, 0.35)
        moved = motion(rng, amplitude)
        irregular = kind == "irregular" or (kind == "motion" and rng.random() < subject["fibrillates"])
        light = pulse(rng, subject, irregular=irregular) + subject["strength"] * moved
    ppg = light + rng.normal(0, rng.uniform(0.01, 0.06), samples) + subject["offset"] + rng.normal(0, 0.5)
    # The wrist feels a part of what disturbs the pulse, and other moves that do not.
    acc = 1 + 0.12 * rng.uniform(0.3, 1) * moved + motion(rng, rng.uniform(0.002, 0.03))
    return np.column_stack((ppg, acc + rng.normal(0, 0.004, samples)))


def make(folder: Path, n_subjects: int, n_segments: int, seed: int) -> None:
    """Write the CSVs, `labels.csv` and `dataset.yaml`."""
    folder.mkdir(parents=True, exist_ok=False)
    rows = []
    for number in range(n_subjects):
        rng = np.random.default_rng([seed, number])
        subject = {
            "heart_rate": rng.uniform(52, 95),
            "breathing": rng.uniform(0.02, 0.3),
            "shape": rng.uniform(0.7, 1.6),
            "strength": float(np.exp(rng.normal(0, 0.4))),
            "offset": rng.normal(0, 2),
            "fibrillates": float(rng.random() < 0.5),
        }
        shares = [0.2, 0.4, 0.25, 0.15] if subject["fibrillates"] else [0.6, 0.0, 0.25, 0.15]
        for place, kind in enumerate(rng.choice(CLASSES, n_segments, p=shares)):
            name = f"s{seed}{number:03}-{place:02}.csv"
            table = np.column_stack((np.arange(SECONDS * RATE) / RATE, segment(rng, subject, kind)))
            np.savetxt(folder / name, table, fmt=("%.6f", "%.4f", "%.4f"), delimiter=",", header=HEADER, comments="")
            rows.append((name, f"s{seed}{number:03}", kind))
    random.Random(seed).shuffle(rows)
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "subject", "label"))
        writer.writerows(rows)
    (folder / "dataset.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--segments", type=int, default=12, help="of each subject")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other subjects")
    asked = parser.parse_args()
    make(asked.folder, asked.subjects, asked.segments, asked.seed)
    print(f"{asked.folder}: {asked.subjects} subjects, {asked.subjects * asked.segments} segments of {SECONDS} s")
