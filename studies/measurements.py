"""How far the measurements can be trusted: against synthetic ECGs whose intervals are known, and against labels.

    python studies/measurements.py synthetic --records 300
    python studies/measurements.py neurokit --records 100
    python studies/measurements.py labels PTB-XL --folds 5-9 --each 400
    python studies/measurements.py labels CHAPMAN

`neurokit` measures what neurokit2's own delineations of lead II say of the same synthetic ECGs, each wave paired with
the R peak that it belongs to. `labels` asks how a measurement separates records with a finding from those without it.
The constants of the delineation were chosen on folds 1-4 of PTB-XL. Prints Markdown.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ecoscale import open_collection
from ecoscale.datasets.synthetic import EVEN_PREVALENCE, SyntheticECG, synthetic_collection
from ecoscale.measurements import measure_ecg
from ecoscale.workers import in_threads

RATES = (500.0, 100.0)
GROUPS = ("all", "normal", "LBBB", "RBBB")
METHODS = ("dwt", "cwt", "prominence", "peak")
# The measurement that tells a finding, its textbook limit, and on which side of it the finding is.
RULES = {
    "1dAVb": ("pr", 200, "above"),
    "LBBB": ("qrs", 120, "from"),
    "RBBB": ("qrs", 120, "from"),
    "SB": ("heart_rate", 60, "below"),
    "ST": ("heart_rate", 100, "above"),
    "AF": ("rr_variation", 0.05, "above"),
}


def number(value: float | None) -> float:
    """NaN for what could not be measured."""
    return np.nan if value is None else value


def truth(made: SyntheticECG) -> dict[str, float]:
    """The intervals that a synthetic ECG was drawn with, in ms, its rate in 1/min, its axis in degrees."""
    heart = made.heart
    return {
        "heart rate": heart.rate,
        "PR": 1000 * number(heart.pr_interval),
        "QRS": 1000 * heart.qrs_duration,
        "QT": 1000 * heart.qt_interval,
    }


def ours(made: SyntheticECG) -> dict[str, float]:
    """What `measure_ecg` says."""
    found = measure_ecg(made.ecg)
    values = (found.heart_rate, found.pr, found.qrs, found.qt)
    return dict(zip(("heart rate", "PR", "QRS", "QT"), map(number, values), strict=True))


def by_neurokit(made: SyntheticECG, method: str) -> dict[str, float]:
    """Medians over the beats of lead II, as neurokit2 delineates it."""
    import neurokit2

    rate = int(made.ecg.rate)
    cleaned = neurokit2.ecg_clean(made.ecg.select(["II"]).signal[0].astype(float), sampling_rate=rate)
    r_peaks = neurokit2.ecg_peaks(cleaned, sampling_rate=rate)[1]["ECG_R_Peaks"]
    waves = neurokit2.ecg_delineate(cleaned, r_peaks, sampling_rate=rate, method=method)[1]
    p, on, off, t = (
        np.array([at for at in waves.get(f"ECG_{name}", []) if at is not None and np.isfinite(at)])
        for name in ("P_Onsets", "R_Onsets", "R_Offsets", "T_Offsets")
    )
    beats = []
    for before, r, after in zip([0, *r_peaks[:-1]], r_peaks, [*r_peaks[1:], len(cleaned)], strict=True):
        onset, end = _last(on, r - 0.15 * rate, r), _first(off, r, r + 0.2 * rate)
        p_onset = _last(p, max(before, r - 0.45 * rate), r - 0.05 * rate)
        beats.append((onset - p_onset, end - onset, _first(t, r + 0.15 * rate, after) - onset))
    pr, qrs, qt = 1000 / rate * np.nanmedian(np.array(beats), axis=0)
    return {"heart rate": 60 * rate / np.median(np.diff(r_peaks)), "PR": pr, "QRS": qrs, "QT": qt}


def _last(samples: np.ndarray, low: float, high: float) -> float:
    inside = samples[(samples > low) & (samples <= high)]
    return float(inside[-1]) if inside.size else np.nan


def _first(samples: np.ndarray, low: float, high: float) -> float:
    inside = samples[(samples >= low) & (samples < high)]
    return float(inside[0]) if inside.size else np.nan


def errors(measure: Callable[[SyntheticECG], dict[str, float]], rate: float, n: int) -> Iterator[tuple[str, dict]]:
    """How the heart conducts, and each measurement's error; NaN where it was not measured."""
    for made in synthetic_collection(n, seed=77, prevalence=EVEN_PREVALENCE, rate=rate):
        known = truth(made)
        try:
            found = measure(made)
        except Exception:  # neurokit2 raises many kinds, of signals that it cannot delineate
            found = dict.fromkeys(known, np.nan)
        yield (
            made.heart.conduction,
            {name: found[name] - value for name, value in known.items()}
            | {f"{name} exists": np.isfinite(value) for name, value in known.items()},
        )


def print_errors(title: str, rows: list[tuple[str, dict]], groups: tuple[str, ...]) -> None:
    """One row a group and measurement: mean, standard deviation and largest of the errors, and how many there are."""
    for group in groups:
        for name in ("heart rate", "PR", "QRS", "QT"):
            own = [each for conduction, each in rows if group in ("all", conduction) and each[f"{name} exists"]]
            values = np.array([each[name] for each in own])
            known = values[np.isfinite(values)]
            said = f"{known.mean():+.1f} | {known.std():.1f} | {np.abs(known).max():.1f}" if known.size else "- | - | -"
            print(f"| {title} | {group} | {name} | {said} | {known.size} of {len(own)} |")


def synthetic(options: argparse.Namespace) -> None:
    """Errors of `measure_ecg`."""
    print("| rate | conduction | measurement | mean error | SD | largest | measured |\n|---|---|---|--:|--:|--:|--:|")
    for rate in RATES:
        rows = list(errors(ours, rate, options.records))
        print_errors(f"{rate:g} Hz", rows, GROUPS)


def neurokit(options: argparse.Namespace) -> None:
    """Errors of neurokit2's delineations of lead II."""
    warnings.simplefilter("ignore")
    print("| method, rate | conduction | measurement | mean error | SD | largest | measured |")
    print("|---|---|---|--:|--:|--:|--:|")
    for method in METHODS:
        for rate in RATES:
            rows = list(errors(lambda made, method=method: by_neurokit(made, method), rate, options.records))
            print_errors(f"{method}, {rate:g} Hz", rows, ("normal", "LBBB"))


def labels(options: argparse.Namespace) -> None:
    """How measurements separate labelled records."""
    collection = open_collection(options.collection)
    table = collection.records
    if options.folds:
        low, _, high = options.folds.partition("-")
        table = table[table["fold"].between(int(low), int(high or low))]
    labelled = dict(zip(table.index, collection.label(table, list(RULES)), strict=True))
    random = np.random.default_rng(0)
    names = list(RULES)
    picked: set[str] = set()
    for column in range(len(names)):
        own = [record for record, row in labelled.items() if row[column] == 1]
        picked |= set(random.permutation(own)[: options.each].tolist())
    none = [record for record, row in labelled.items() if (row == 0).all()]
    picked |= set(random.permutation(none)[: options.each].tolist())
    records = sorted(picked)
    jobs = ((collection.recording(record),) for record in records)
    measured = dict(zip(records, in_threads(lambda each: measure_ecg(each.read()), jobs, 2, 8), strict=True))

    print(f"{len(records):,} records\n")
    print("| finding | measurement | with | without | not measured | AUROC | beyond the limit, with | without |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for column, (name, (what, limit, side)) in enumerate(RULES.items()):
        values = {record: number(getattr(found, what)) for record, found in measured.items()}
        sign = -1 if side == "below" else 1
        present = [record for record in records if labelled[record][column] == 1]
        absent = [record for record in records if (labelled[record] == 0).all()]
        scores = {kind: np.array([values[r] for r in own]) for kind, own in (("with", present), ("without", absent))}
        known = {kind: each[np.isfinite(each)] for kind, each in scores.items()}
        truths = np.repeat([1, 0], [len(known["with"]), len(known["without"])])
        area = roc_auc_score(truths, sign * np.concatenate([known["with"], known["without"]]))
        reached = np.greater_equal if side == "from" else np.greater
        # Rounded as they are told, to whole ms and beats; the variation of RR to a hundredth.
        digits = 0 if limit > 1 else 2
        beyond = {
            kind: 100 * np.mean(reached(sign * np.round(each, digits), sign * limit)) for kind, each in known.items()
        }
        missing = sum(len(scores[kind]) - len(known[kind]) for kind in scores)
        print(
            f"| {name} | {what} {side} {limit} | {len(present)} | {len(absent)} | {missing} | {area:.3f} | "
            f"{beyond['with']:.0f} % | {beyond['without']:.1f} % |"
        )
    fibrillating = [measured[record] for record in records if labelled[record][names.index("AF")] == 1]
    print(f"\nPR is None in {sum(found.pr is None for found in fibrillating)} of {len(fibrillating)} records with AF.")


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb in (synthetic, neurokit):
        own = verbs.add_parser(verb.__name__)
        own.add_argument("--records", type=int, default=100)
        own.set_defaults(run=verb)
    own = verbs.add_parser("labels")
    own.add_argument("collection", type=Path, help="folder of the collection")
    own.add_argument("--folds", help="of collections with folds: 5-9")
    own.add_argument("--each", type=int, default=400, help="records with each finding, and with none, at most")
    own.set_defaults(run=labels)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
