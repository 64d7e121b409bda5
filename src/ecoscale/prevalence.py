"""Where a finding is rarer or commoner than where a bundle was calibrated: its probabilities and thresholds there.

What holds is that the prevalence alone differs: ECGs with the finding look alike in both places, and so do those
without. Then the odds of a calibrated probability change by the ratio of the odds of the two prevalences (Saerens,
Latinne and Decaestecker 2002, doi 10.1162/089976602753284446), for each finding by itself. The probabilities of
classes that exclude each other change together: each by the ratio of its prevalences, and all so that they sum to one.
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

PREVALENCES_SUM = 1e-3
"""By how much stated prevalences of all classes may miss the sum of one, for they are rounded."""


def correct_probabilities(probabilities: ArrayLike, calibrated_at: float, prevalence: float) -> NDArray[np.float64]:
    """Probabilities of one finding, calibrated at one prevalence, as they are at another. Both lie within (0, 1)."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if prevalence == calibrated_at:
        return probabilities
    present = probabilities * (prevalence / calibrated_at)
    absent = (1 - probabilities) * ((1 - prevalence) / (1 - calibrated_at))
    return present / (present + absent)


def correct_class_probabilities(
    probabilities: ArrayLike, calibrated_at: ArrayLike, prevalence: ArrayLike
) -> NDArray[np.float64]:
    """Probabilities `(..., classes)` of classes that exclude each other, calibrated at some prevalences, at others.

    Both prevalences are `(classes,)` and sum to one.
    """
    probabilities, before, wanted = (
        np.asarray(each, dtype=np.float64) for each in (probabilities, calibrated_at, prevalence)
    )
    if np.array_equal(before, wanted):
        return probabilities
    weighed = probabilities * (wanted / before)
    return weighed / weighed.sum(axis=-1, keepdims=True)


def estimate_prevalence(probabilities: ArrayLike, calibrated_at: float) -> float:
    """The prevalence of one finding among records without labels, by expectation maximisation.

    The mean of the probabilities is taken for the prevalence, the probabilities are corrected for it, and so on until
    nothing changes (Saerens et al. 2002); that is the prevalence under which the records are likeliest. It is only as
    good as the calibration is on these records (Alexandari, Kundaje and Shrikumar 2020, arXiv 1901.06852).

    At least half a record is taken to have the finding and half a record not to: a prevalence of 0 would deny it
    whatever the ECG. Raises `BundleError` for fewer than 100 records.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _refuse_few(probabilities.size)
    least = 0.5 / probabilities.size
    found = calibrated_at
    for _ in range(MOST_STEPS):
        mean = float(correct_probabilities(probabilities, calibrated_at, found).mean())
        before, found = found, min(max(mean, least), 1 - least)
        if abs(found - before) < SETTLED:
            break
    return found


def estimate_class_prevalences(probabilities: ArrayLike, calibrated_at: ArrayLike) -> NDArray[np.float64]:
    """The prevalences `(classes,)` of classes that exclude each other, from probabilities `(records, classes)`.

    As `estimate_prevalence`, of all classes together; at least half a record is taken to have each class. Raises
    `BundleError` for fewer than 100 records.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _refuse_few(len(probabilities))
    found = calibrated_at = np.asarray(calibrated_at, dtype=np.float64)
    for _ in range(MOST_STEPS):
        mean = correct_class_probabilities(probabilities, calibrated_at, found).mean(axis=0)
        raised = np.maximum(mean, 0.5 / len(probabilities))
        before, found = found, raised / raised.sum()
        if np.abs(found - before).max() < SETTLED:
            break
    return found


def _refuse_few(n_records: int) -> None:
    if n_records < FEWEST_RECORDS:
        raise BundleError(
            f"a prevalence cannot be estimated from {n_records} records; at least {FEWEST_RECORDS} are "
            "needed: state it instead, as NAME=SHARE"
        )


def estimate_prevalences(bundle: Bundle, probabilities: ArrayLike) -> dict[str, float]:
    """How common each finding is among records, from the bundle's probabilities `(records, findings)` alone.

    Findings that the bundle was not calibrated on records with and without are left out. Raises `BundleError` for
    fewer than 100 records, and where classes exclude each other and one of them was left out.
    """
    array = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(bundle.manifest.labels))
    known = bundle.manifest.prevalences
    if bundle.manifest.single_label:
        before = _class_prevalences(bundle, known)
        return dict(zip(before, estimate_class_prevalences(array, list(before.values())).tolist(), strict=True))
    return {
        label.name: estimate_prevalence(array[:, column], known[label.name])
        for column, label in enumerate(bundle.manifest.labels)
        if label.name in known
    }


@dataclass(frozen=True)
class PrevalenceCorrection:
    """One finding at another prevalence: how its probabilities change, and its threshold there.

    `how` says in words what became of the threshold, or that there is none (None).
    """

    name: str
    calibrated_at: float
    prevalence: float
    threshold: float | None
    how: str

    def probabilities(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """What the bundle's calibrated probabilities of this finding are at this prevalence, if it has a threshold."""
        return correct_probabilities(probabilities, self.calibrated_at, self.prevalence)

    def __str__(self) -> str:
        threshold = "" if self.threshold is None else f"threshold {self.threshold:.4g}, "
        return (
            f"{self.name}: probabilities corrected from a prevalence of {self.calibrated_at:.4g}, where the bundle was "
            f"calibrated, to {self.prevalence:.4g}; {threshold}{self.how}"
        )


def corrected_probabilities(
    bundle: Bundle, corrections: Mapping[str, PrevalenceCorrection], probabilities: ArrayLike
) -> NDArray[np.float64]:
    """The bundle's calibrated probabilities `(..., findings)` with its `prevalence_corrections`."""
    probabilities = np.array(probabilities, dtype=np.float64)
    if not corrections:
        return probabilities
    names = [label.name for label in bundle.manifest.labels]
    if bundle.manifest.single_label:
        each = [corrections[name] for name in names]
        return correct_class_probabilities(
            probabilities, [one.calibrated_at for one in each], [one.prevalence for one in each]
        )
    for place, name in enumerate(names):
        if name in corrections:
            probabilities[..., place] = corrections[name].probabilities(probabilities[..., place])
    return probabilities


def prevalence_corrections(bundle: Bundle, prevalence: Mapping[str, float]) -> dict[str, PrevalenceCorrection]:
    """The corrections of a bundle's findings for these prevalences, by name.

    A threshold follows what it was chosen for. An F1-optimal one becomes the F1-optimal one of that prevalence, by
    sensitivity and specificity on the bundle's validation part, which a prevalence does not change. One of a wanted
    sensitivity moves with the probabilities, so that sensitivity, specificity and every decision stay. So does an
    F1-optimal one of a bundle that does not have what it takes to choose again.

    Of classes that exclude each other all are corrected: those that are not named share what is left in the
    proportions that they were calibrated at.

    Raises `BundleError` for a finding that the bundle does not know or was not calibrated on records with and without,
    for a prevalence that is not between 0 and 1, and where those of exclusive classes do not sum to one.
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
        if not bundle.manifest.single_label:
            threshold, how = _threshold(labels[name], known[name], wanted)
            corrections[name] = PrevalenceCorrection(name, known[name], wanted, threshold, how)
    return _class_corrections(bundle, prevalence, known) if bundle.manifest.single_label and prevalence else corrections


def _class_corrections(
    bundle: Bundle, prevalence: Mapping[str, float], known: Mapping[str, float]
) -> dict[str, PrevalenceCorrection]:
    """Of classes that exclude each other: all of them, since one's share is the others' loss."""
    before = _class_prevalences(bundle, known)
    stated = sum(prevalence.values())
    others = {name: share for name, share in before.items() if name not in prevalence}
    if abs(stated - 1) > PREVALENCES_SUM if not others else stated >= 1:
        expected = "less than 1, which leaves something for the others" if others else "1"
        raise BundleError(
            f"prevalences of {', '.join(prevalence)}: they sum to {stated:g}; the classes of {bundle.title} exclude "
            f"each other, so {expected} is expected"
        )
    left = (1 - stated) / sum(others.values()) if others else 0.0
    scale = 1.0 if others else 1 / stated
    corrections = {}
    for name, share in before.items():
        named = name in prevalence
        wanted = scale * prevalence[name] if named else left * share
        corrections[name] = PrevalenceCorrection(name, share, wanted, None, "stated" if named else "what others leave")
    return corrections


def _class_prevalences(bundle: Bundle, known: Mapping[str, float]) -> dict[str, float]:
    """The share of every class where the bundle was calibrated, to sum to one; raises where one is not known."""
    names = [label.name for label in bundle.manifest.labels]
    if unknown := [name for name in names if name not in known]:
        raise BundleError(
            f"prevalence of {', '.join(unknown)}: {bundle.title} does not say how common it was where it was "
            "calibrated, so classes that exclude each other cannot be corrected; pack the bundle again, validated on "
            "records of every class"
        )
    total = sum(known[name] for name in names)
    return {name: known[name] / total for name in names}


def _threshold(label: Label, calibrated_at: float, wanted: float) -> tuple[float, str]:
    """The threshold at the wanted prevalence, on corrected probabilities, and what became of it."""
    assert label.threshold is not None
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
