"""Where a finding is rarer or commoner than where a bundle was calibrated: its probabilities and thresholds there.

What holds is that the prevalence alone differs: ECGs with the finding look alike in both places, and so do those
without. Then the odds of a calibrated probability change by the ratio of the odds of the two prevalences (Saerens,
Latinne and Decaestecker 2002, doi 10.1162/089976602753284446), for each finding by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from ecoscale.bundle import Bundle, Label

FEWEST_RECORDS = 100
"""Records that an estimate of a prevalence needs: with fewer its error is as large as what it estimates."""

MOST_STEPS, SETTLED = 10_000, 1e-9
"""Of the estimate: steps at most, and the change of the prevalence at which it has settled."""


def correct_probabilities(probabilities: ArrayLike, calibrated_at: float, prevalence: float) -> NDArray[np.float64]:
    """Probabilities of one finding, calibrated at one prevalence, as they are at another. Both lie within (0, 1)."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if prevalence == calibrated_at:
        return probabilities
    present = probabilities * (prevalence / calibrated_at)
    absent = (1 - probabilities) * ((1 - prevalence) / (1 - calibrated_at))
    return present / (present + absent)


def estimate_prevalence(probabilities: ArrayLike, calibrated_at: float) -> float:
    """The prevalence of one finding among records without labels, by expectation maximisation.

    The mean of the probabilities is taken for the prevalence, the probabilities are corrected for it, and so on until
    nothing changes (Saerens et al. 2002); that is the prevalence under which the records are likeliest. It is only as
    good as the calibration is on these records (Alexandari, Kundaje and Shrikumar 2020, arXiv 1901.06852).

    At least half a record is taken to have the finding and half a record not to: a prevalence of 0 would deny it
    whatever the ECG. Raises `BundleError` for fewer than 100 records.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.size < FEWEST_RECORDS:
        raise BundleError(
            f"a prevalence cannot be estimated from {probabilities.size} records; at least {FEWEST_RECORDS} are "
            "needed: state it instead, as NAME=SHARE"
        )
    least = 0.5 / probabilities.size
    found = calibrated_at
    for _ in range(MOST_STEPS):
        mean = float(correct_probabilities(probabilities, calibrated_at, found).mean())
        before, found = found, min(max(mean, least), 1 - least)
        if abs(found - before) < SETTLED:
            break
    return found


def estimate_prevalences(bundle: Bundle, probabilities: ArrayLike) -> dict[str, float]:
    """How common each finding is among records, from the bundle's probabilities `(records, findings)` alone.

    Findings that the bundle was not calibrated on records with and without are left out. Raises `BundleError` for
    fewer than 100 records.
    """
    array = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(bundle.manifest.labels))
    known = bundle.manifest.prevalences
    return {
        label.name: estimate_prevalence(array[:, column], known[label.name])
        for column, label in enumerate(bundle.manifest.labels)
        if label.name in known
    }


@dataclass(frozen=True)
class PrevalenceCorrection:
    """One finding at another prevalence: how its probabilities change, and its threshold there.

    `how` says in words what became of the threshold.
    """

    name: str
    calibrated_at: float
    prevalence: float
    threshold: float
    how: str

    def probabilities(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """What the bundle's calibrated probabilities are at this prevalence."""
        return correct_probabilities(probabilities, self.calibrated_at, self.prevalence)

    def __str__(self) -> str:
        return (
            f"{self.name}: probabilities corrected from a prevalence of {self.calibrated_at:.4g}, where the bundle was "
            f"calibrated, to {self.prevalence:.4g}; threshold {self.threshold:.4g}, {self.how}"
        )


def prevalence_corrections(bundle: Bundle, prevalence: Mapping[str, float]) -> dict[str, PrevalenceCorrection]:
    """The corrections of a bundle's findings for these prevalences, by name.

    A threshold follows what it was chosen for. An F1-optimal one becomes the F1-optimal one of that prevalence, by
    sensitivity and specificity on the bundle's validation part, which a prevalence does not change. One of a wanted
    sensitivity moves with the probabilities, so that sensitivity, specificity and every decision stay. So does an
    F1-optimal one of a bundle that does not have what it takes to choose again.

    Raises `BundleError` for a finding that the bundle does not know or was not calibrated on records with and without,
    and for a prevalence that is not between 0 and 1.
    """
    labels = {label.name: label for label in bundle.manifest.labels}
    known = bundle.manifest.prevalences
    corrections = {}
    for name, wanted in prevalence.items():
        if name not in labels:
            raise BundleError(
                f"prevalence of {name!r}: {bundle.title} knows no such finding; it knows {', '.join(labels)}"
            )
        if not 0 < wanted < 1:
            raise BundleError(f"prevalence of {name}: {wanted:g}; expected a share of the records between 0 and 1")
        if name not in known:
            raise BundleError(
                f"prevalence of {name}: {bundle.title} does not say how common it was where it was calibrated, so it "
                "cannot be corrected; pack the bundle again, validated on records with and without it"
            )
        threshold, how = _threshold(labels[name], known[name], wanted)
        corrections[name] = PrevalenceCorrection(name, known[name], wanted, threshold, how)
    return corrections


def _threshold(label: Label, calibrated_at: float, wanted: float) -> tuple[float, str]:
    """The threshold at the wanted prevalence, on corrected probabilities, and what became of it."""
    if label.operating_points:
        thresholds, sensitivity, specificity = np.array(label.operating_points).T
        hits, alarms = wanted * sensitivity, (1 - wanted) * (1 - specificity)
        f1 = 2 * hits / (hits + alarms + wanted)
        # The highest threshold among equals; they are listed so. Equal F1 can differ in its last bits.
        chosen = float(thresholds[np.flatnonzero(f1 >= f1.max() - 1e-12)[0]])
        how = "F1-optimal there"
    else:
        chosen, how = label.threshold, "moved alike: the decisions stay"
    return float(correct_probabilities(chosen, calibrated_at, wanted)), how
