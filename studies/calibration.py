"""Which calibration to take, and what correcting for another prevalence is worth, on logits of networks at hand.

    python studies/calibration.py methods studies/networks/results/*.npz
    python studies/calibration.py prevalence studies/networks/results/*.npz
    python studies/calibration.py estimate studies/networks/results/*.npz
    python studies/calibration.py plot studies/networks/results/lean-tiny-0.npz docs/calibration.svg

Takes run folders (their `validation.npz`), or `.npz` files with `logits` and `labels` of one validation part such as
those of the study of networks, and prints Markdown. What is chosen is never measured on the same patients: `methods`
cross-fits in five parts; `prevalence` and `estimate` fit calibration and thresholds on a random half of the patients
and measure on the other, with each finding's odds times a factor: `prevalence` weighs records, `estimate` draws them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ecoscale.calibration import METHODS
from ecoscale.evaluation import compare_calibrations, evaluate, fit_platt, operating_points
from ecoscale.evaluation.plots import draw_reliability, save_svg
from ecoscale.prevalence import correct_probabilities, estimate_prevalence

NAMES = "1dAVb,RBBB,LBBB,SB,ST,AF,NORM,MI,STTC,CD,HYP"
"""The findings of the study of networks, in the order of its logits."""

FACTORS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""By which the odds of each finding are multiplied."""

HALVES = 4
"""Random halves of the patients for each network."""

RECORDS = 1000
"""Records that are drawn for one estimate of a prevalence."""

Logits = Annotated[list[Path], typer.Argument(help="Run folders or .npz files.", show_default=False)]
app = typer.Typer(add_completion=False, help=__doc__.partition("\n\n")[0], rich_markup_mode=None)


def load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and logits `(records, classes)` and patients; without ids, each record is its own patient."""
    with np.load(path / "validation.npz" if path.is_dir() else path) as arrays:
        labels = arrays["labels"]
        patients = arrays["patients"] if "patients" in arrays else np.arange(len(labels))
        return labels, arrays["logits"].astype(np.float64), patients


@app.command()
def methods(logits: Logits) -> None:
    """Cross-fitted figures of every method of calibration: means over the networks, and how many Platt's beats."""
    rows = {}
    for path in logits:
        labels, scores, patients = load(path)
        figures = dict(compare_calibrations(labels, scores, patients).figures)
        # A temperature for each finding: each column by itself.
        alone = [
            compare_calibrations(labels[:, [column]], scores[:, [column]], patients, methods=["temperature"])
            for column in range(labels.shape[1])
        ]
        mean = {name: np.mean([each.figures["temperature"][name] for each in alone]) for name in figures["none"]}
        for method, found in (figures | {"temperature a finding": mean}).items():
            rows.setdefault(method, []).append(list(found.values()))
    table = {method: np.array(found) for method, found in rows.items()}
    print("| calibration | ECE | Brier score | log loss | better than Platt: ECE, Brier, log loss |")
    print("|---|--:|--:|--:|--:|")
    for method, found in table.items():
        figures = " | ".join(f"{mean:.4f}" for mean in found.mean(axis=0))
        better = ", ".join(map(str, (found < table["platt"]).sum(axis=0)))
        beside = "" if method == "platt" else f"{better} of {len(found)}"
        print(f"| {METHODS.get(method, method)} | {figures} | {beside} |")


@app.command()
def prevalence(logits: Logits) -> None:
    """Calibration error and F1 at other prevalences: as calibrated, corrected, and thresholds by three rules."""
    headings = ("ECE", "ECE corrected", "log loss", "log loss corrected")
    rules = ("F1, same decisions", "F1, same value", "F1, chosen again")
    print("| " + " | ".join(("odds times", *headings, *rules)) + " |")
    print("|" + "--:|" * 8)
    for factor in FACTORS:
        found = []
        for path in logits:
            labels, scores, patients = load(path)
            for seed in range(HALVES):
                found += _at_factor(labels, scores, _half(patients, seed), factor)
        print(f"| {factor:g} | " + " | ".join(f"{mean:.4f}" for mean in np.mean(found, axis=0)) + " |")


def _at_factor(labels: np.ndarray, logits: np.ndarray, half: np.ndarray, factor: float) -> list[list[float]]:
    calibration = fit_platt(labels[half], logits[half])
    calibrated = calibration.probabilities(logits)
    found = []
    for column in range(labels.shape[1]):
        known = labels[:, column] >= 0
        truth, chosen_on = labels[known, column], half[known]
        probability = calibrated[known, column]
        at = truth[chosen_on].mean()
        there = factor * at / (1 - at + factor * at)
        truth_there, before = truth[~chosen_on], probability[~chosen_on]
        after = correct_probabilities(before, at, there)
        # Every record counts as often as makes the positives this share.
        own = truth_there.mean()
        weight = np.where(truth_there == 1, there / own, (1 - there) / (1 - own))
        points = np.array(operating_points(truth[chosen_on], probability[chosen_on])).T
        here, again = (points[0, np.argmax(_f1(points[1], points[2], share))] for share in (at, there))
        decided = [before >= here, after >= here, before >= again]
        row = [_weighted_ece(truth_there, each, weight) for each in (before, after)]
        row += [_weighted_log_loss(truth_there, each, weight) for each in (before, after)]
        row += [_f1(called[truth_there == 1].mean(), (~called[truth_there == 0]).mean(), there) for called in decided]
        found.append(row)
    return found


@app.command()
def estimate(logits: Logits) -> None:
    """How far a prevalence estimated from records without labels is from the true one."""
    print(f"| odds times | true prevalence | estimated from {RECORDS:,} records | mean of the ratio | its 5-95 % |")
    print("|--:|--:|--:|--:|--:|")
    for factor in FACTORS:
        pairs = []
        for path in logits:
            labels, scores, patients = load(path)
            for seed in range(HALVES):
                pairs += _estimated(labels, scores, _half(patients, seed), factor, seed)
        true, found = np.array(pairs).T
        low, high = np.quantile(found / true, (0.05, 0.95))
        print(
            f"| {factor:g} | {true.mean():.4f} | {found.mean():.4f} | {np.mean(found / true):.2f} | "
            f"{low:.2f}-{high:.2f} |"
        )


def _estimated(
    labels: np.ndarray, logits: np.ndarray, half: np.ndarray, factor: float, seed: int
) -> list[tuple[float, float]]:
    generator = np.random.default_rng(seed)
    calibrated = fit_platt(labels[half], logits[half]).probabilities(logits)
    pairs = []
    for column in range(labels.shape[1]):
        known = labels[:, column] >= 0
        at = labels[known & half, column].mean()
        there = factor * at / (1 - at + factor * at)
        n_positive = round(there * RECORDS)
        if not n_positive:
            continue
        kinds = ((1, n_positive), (0, RECORDS - n_positive))
        drawn = [
            generator.choice(np.flatnonzero(~half & (labels[:, column] == kind)), number) for kind, number in kinds
        ]
        found = estimate_prevalence(calibrated[np.concatenate(drawn), column], at)
        pairs.append((n_positive / RECORDS, found))
    return pairs


@app.command()
def plot(logits: Path, svg: Path, names: str = NAMES, only: str = "NORM,MI,STTC,CD,HYP") -> None:
    """The reliability plot of some of the findings: Platt scaling, cross-fitted, and the logits themselves."""
    labels, scores, patients = load(logits)
    findings = only.split(",")
    columns = [names.split(",").index(finding) for finding in findings]
    labels, scores = labels[:, columns], scores[:, columns]
    found = compare_calibrations(labels, scores, patients, findings, methods=["platt", "none"]).probabilities
    evaluation = evaluate(labels, found["platt"], 0.5, findings, patients, n_resamples=2)
    save_svg(draw_reliability(evaluation, labels, found["platt"], found["none"]), svg)


def _half(patients: np.ndarray, seed: int) -> np.ndarray:
    """Whether each record is of the half of the patients that everything is chosen on."""
    distinct, place = np.unique(patients, return_inverse=True)
    return (np.random.default_rng(seed).random(distinct.size) < 0.5)[place]


def _f1(sensitivity: Any, specificity: Any, share: float) -> Any:
    hits, alarms = share * sensitivity, (1 - share) * (1 - specificity)
    return 2 * hits / (hits + alarms + share)


def _weighted_ece(truth: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    bins = np.minimum((probability * 15).astype(int), 14)
    gaps = np.bincount(bins, weight * (truth - probability), minlength=15)
    return float(np.abs(gaps).sum() / weight.sum())


def _weighted_log_loss(truth: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    loss = -np.log(np.clip(np.where(truth == 1, probability, 1 - probability), 1e-15, 1))
    return float(np.average(loss, weights=weight))


if __name__ == "__main__":
    app()
