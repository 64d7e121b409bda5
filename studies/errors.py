"""What a bundle's errors on a collection have in common: the codes and the heart rates of false alarms and misses.

    ecoscale evaluate six-findings PTB-XL --folds 9 --out evaluation/fold9
    python studies/errors.py evaluation/fold9/predictions.csv PTB-XL

Heart rates are 60 over the median interval between peaks of the energy from 8 to 30 Hz in all leads together (wfdb's
XQRS on one lead counts T waves of slow hearts as beats at 100 Hz). Prints Markdown.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import butter, find_peaks, sosfiltfilt

from ecoscale import open_collection
from ecoscale.bundle import Bundle


def heart_rate(collection, record: str) -> float:
    """Beats a minute; NaN with fewer than three beats."""
    ecg = collection.read(record)
    band = butter(2, (8, 30), "bandpass", fs=ecg.rate, output="sos")
    energy = np.sqrt((sosfiltfilt(band, ecg.signal, axis=1) ** 2).sum(axis=0))
    width = int(0.08 * ecg.rate)
    smooth = np.convolve(energy, np.ones(width) / width, "same")
    beats, _ = find_peaks(smooth, height=0.4 * np.percentile(smooth, 98), distance=int(0.3 * ecg.rate))
    return 60 * ecg.rate / float(np.median(np.diff(beats))) if len(beats) > 2 else float("nan")


def span(values: list[float]) -> str:
    """Lowest, median and highest of those that are known."""
    known = sorted(value for value in values if value == value)
    return f"{known[0]:.0f}, {np.median(known):.0f}, {known[-1]:.0f}" if known else "-"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, help="predictions.csv of ecoscale evaluate")
    parser.add_argument("collection", type=Path, help="folder of the collection")
    parser.add_argument("--bundle", help="the bundle that was evaluated (default: the shipped one)")
    options = parser.parse_args()
    collection = open_collection(options.collection)
    rows = pd.read_csv(options.predictions, dtype={"record": str}).set_index("record")
    print("| finding | errors | number | their most frequent codes | heart rate: lowest, median, highest |")
    print("|---|---|--:|---|--:|")
    for label in Bundle.load(options.bundle).manifest.labels:
        called = rows[f"{label.name}_probability"] >= label.threshold
        truth = rows[f"{label.name}_label"]
        for kind, wrong in (("false alarms", called & (truth == 0)), ("misses", ~called & (truth == 1))):
            records = list(rows.index[wrong])
            codes = Counter(code for record in records for code in collection.records.loc[record, "codes"])
            frequent = ", ".join(f"{code} {count}" for code, count in codes.most_common(6))
            rates = span([heart_rate(collection, record) for record in records])
            print(f"| {label.name} | {kind} | {len(records)} | {frequent} | {rates} |")


if __name__ == "__main__":
    main()
