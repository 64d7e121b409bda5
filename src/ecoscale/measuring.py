"""A bundle measured on a collection: records chosen, classified, and handed to `ecoscale.evaluation` as arrays.

What the bundle was trained on stands in its provenance, so a measurement says when it is of training records, or of
those that the thresholds were chosen on.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.datasets import class_labels, in_part
from ecoscale.datasets.splits import read_split
from ecoscale.errors import DatasetError
from ecoscale.evaluation import evaluate, paired_difference, paired_overall_difference
from ecoscale.inference import Classifier, Failure
from ecoscale.prevalence import PrevalenceCorrection, corrected_probabilities, prevalence_corrections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from ecoscale.bundle import Bundle
    from ecoscale.datasets import Collection
    from ecoscale.evaluation import Evaluation, Interval
    from ecoscale.preparation import Preparation
    from ecoscale.runtime import Precision
    from ecoscale.signal import Signal


@dataclass(frozen=True)
class Classified:
    """A bundle's probabilities on records of a collection, with their labels. Rows are records that could be read.

    `uncalibrated` are the probabilities without calibration; `corrections` says which were corrected for another
    prevalence, by the finding's name. Where the bundle's classes exclude each other, `contradicting` counts the records
    that have several of them, or none: what they are cannot be told by such a bundle, and is unknown in `labels`.
    """

    bundle: Bundle
    collection: Collection
    records: tuple[str, ...]
    patients: NDArray[np.str_]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    failures: tuple[Failure, ...]
    trained_on: int | None
    chosen_on: int | None
    corrections: Mapping[str, PrevalenceCorrection] = field(default_factory=dict)
    contradicting: int = 0

    @property
    def single_label(self) -> bool:
        """Whether the bundle's findings are classes that exclude each other."""
        return self.bundle.manifest.single_label

    @property
    def names(self) -> tuple[str, ...]:
        """The findings, in the order of the columns."""
        return tuple(label.name for label in self.bundle.manifest.labels)

    @property
    def thresholds(self) -> NDArray[np.float64] | None:
        """The bundle's thresholds, at the prevalence that the probabilities were corrected for.

        None for classes that exclude each other, of which the most probable one is taken.
        """
        if self.single_label:
            return None
        moved = {name: correction.threshold for name, correction in self.corrections.items()}
        own = (moved.get(label.name, label.threshold) for label in self.bundle.manifest.labels)
        return np.array(list(own), dtype=np.float64)

    def at_prevalence(self, prevalence: Mapping[str, float]) -> Classified:
        """The same records with these findings' probabilities and thresholds corrected. Raises `BundleError`."""
        corrections = prevalence_corrections(self.bundle, prevalence)
        probabilities = corrected_probabilities(self.bundle, corrections, self.probabilities)
        return replace(self, probabilities=probabilities, corrections=corrections)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        found = [*self.collection.notes, *self.exposure, *map(str, self.corrections.values())]
        if self.contradicting:
            found.append(
                f"{self.contradicting:,} of {len(self.records):,} records have several of {', '.join(self.names)}, or "
                "none, and are left out: the bundle is of classes that exclude each other"
            )
        if self.failures:
            total = len(self.records) + len(self.failures)
            found.append(
                f"{len(self.failures):,} of {total:,} records could not be read and are left out; "
                f"first: {self.failures[0].error}"
            )
        return tuple(found)

    @property
    def exposure(self) -> tuple[str, ...]:
        """What the bundle had seen of these records when it was made."""
        found = []
        if self.trained_on is None or self.chosen_on is None:
            found.append(
                "whether the bundle has seen these records is not known: its recipe names a stored split that is not "
                "here"
            )
        if relatives := sorted(self._trained_collections & set(self.collection.shares_records_with)):
            found.append(
                f"the bundle was trained on {', '.join(relatives)}, which {self.collection.name} has recordings in "
                "common with: some of these records may have been trained on"
            )
        if self.trained_on:
            found.append(
                f"{self.trained_on:,} of {len(self.records):,} records were trained on: these figures are no evidence "
                "of how the bundle does on new ones"
            )
        if self.chosen_on:
            found.append(
                f"{'' if self.single_label else 'thresholds, '}calibration and epoch were chosen on "
                f"{self.chosen_on:,} of {len(self.records):,} records: "
                f"{'the figures' if self.single_label else 'F1, sensitivity and specificity'} are optimistic"
            )
        return tuple(found)

    @property
    def _trained_collections(self) -> set[str]:
        return {part["collection"] for part in _parts(self.bundle, "train")}

    def write_predictions(self, path: Path) -> None:
        """Write one row a record: probabilities and labels (empty: unknown)."""
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            kinds = [f"{name}_{what}" for what in ("probability", "label") for name in self.names]
            writer.writerow(["record", "patient", *kinds])
            for record, patient, scores, truth in zip(
                self.records, self.patients, self.probabilities, self.labels, strict=True
            ):
                known = ["" if value < 0 else value for value in truth.tolist()]
                writer.writerow([record, patient, *(f"{score:.6f}" for score in scores), *known])


@dataclass(frozen=True)
class _Row:
    """One record of a collection, for `Classifier.classify`."""

    collection: Collection
    record: str
    preparation: Preparation

    @property
    def path(self) -> Path:
        return self.collection.path(self.record)

    def read(self) -> Signal:
        return self.collection.recording_for(self.record, self.preparation).read()


def choose_records(
    collection: Collection,
    folds: tuple[int, ...] | None = None,
    share: tuple[float, float] | None = None,
    split: tuple[Path, str] | None = None,
) -> NDArray[np.bool_]:
    """Rows of the collection in these folds, this share of its patients, and this part of a stored split.

    Raises `DatasetError` if there are none.
    """
    chosen = in_part(collection.records, folds, share, split)
    if not chosen.any():
        has = ", ".join(map(str, sorted(collection.records["fold"].unique())))
        raise DatasetError(
            f"{collection.directory}: no record of {collection.title} in {_in_words(folds, share)}; its folds are {has}"
            + (" (0: the publisher gives none)" if has == "0" else "")
        )
    return chosen


def classify_records(
    bundle: Bundle,
    collection: Collection,
    chosen: NDArray[np.bool_],
    batch_size: int = 64,
    *,
    precision: Precision | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Classified:
    """Classify the chosen rows of a collection through the whole path of a user's file."""
    classifier = Classifier(bundle, precision=precision)
    bundle = classifier.bundle
    names = [label.name for label in classifier.labels]
    rows = np.flatnonzero(chosen)
    readable = (_Row(collection, record, bundle.manifest.preparation) for record in collection.records.index[rows])
    found, kept, failures = [], [], []
    for row, result in zip(rows, progress(classifier.classify(readable, batch_size)), strict=True):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            kept.append(row)
            findings = result[1].findings.values()
            found.append([(finding.probability, finding.uncalibrated) for finding in findings])
    if not kept:
        raise DatasetError(f"{collection.directory}: none of {len(rows)} records could be read; {failures[0].error}")
    table = collection.records.iloc[kept]
    calibrated, uncalibrated = np.moveaxis(np.array(found), -1, 0)
    labels = collection.labels(names, bundle.manifest.provenance.get("recipe", {}).get("task"))[kept]
    contradicting = 0
    if bundle.manifest.single_label:
        exclusive = class_labels(labels)
        labels, contradicting = exclusive.labels, len(exclusive.several) + len(exclusive.none)
    return Classified(
        bundle=bundle,
        collection=collection,
        records=tuple(table.index),
        patients=table["patient"].to_numpy(dtype=str),
        labels=labels,
        probabilities=calibrated,
        uncalibrated=uncalibrated,
        failures=tuple(failures),
        trained_on=_in_recipe(bundle, collection, table, "train"),
        chosen_on=_in_recipe(bundle, collection, table, "validation"),
        contradicting=contradicting,
    )


def evaluate_classified(
    classified: Classified,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    command: str = "",
    remarks: Iterable[str] | None = None,
    difference: str | None = None,
) -> Evaluation:
    """The figures of one bundle.

    `remarks` (default: those of `classified`), and the `difference` from another bundle in words, go into the report.
    """
    manifest = classified.bundle.manifest
    context: dict[str, Any] = {
        "bundle": classified.bundle.title,
        "dataset": classified.collection.title,
        "folds": ", ".join(
            map(str, sorted(classified.collection.records.loc[list(classified.records), "fold"].unique()))
        ),
        "thresholds": manifest.thresholds_chosen,
        "calibration": manifest.calibration_chosen,
        "remarks": " ".join(f"{remark}." for remark in (classified.remarks if remarks is None else remarks)),
        "thresholds_chosen_here": bool(classified.chosen_on) and not classified.single_label,
        "command": command,
    }
    if difference is not None:
        context["difference"] = difference
    return evaluate(
        classified.labels,
        classified.probabilities,
        classified.thresholds,
        classified.names,
        classified.patients,
        n_resamples=n_resamples,
        seed=seed,
        context=context,
    )


def check_comparable(first: Bundle, second: Bundle) -> None:
    """Raise `DatasetError` unless both bundles know the same findings in the same order, as findings of one kind."""
    known = [", ".join(label.name for label in bundle.manifest.labels) for bundle in (first, second)]
    if known[0] != known[1]:
        raise DatasetError(
            f"{first.title} knows {known[0]} and {second.title} {known[1]}; only bundles for the same findings, in the "
            "same order, can be compared"
        )
    if first.manifest.single_label != second.manifest.single_label:
        single, other = (first, second) if first.manifest.single_label else (second, first)
        raise DatasetError(
            f"{single.title} is of classes that exclude each other, {other.title} of findings that may come together; "
            "their decisions mean different things and cannot be compared"
        )


def compare(first: Classified, second: Classified, *, n_resamples: int = 1000, seed: int = 0) -> str:
    """The difference of two bundles on the records that both could read, macro, with intervals, in words.

    Of classes that exclude each other, their accuracy too. Raises `DatasetError` if they know different findings.
    """
    check_comparable(first.bundle, second.bundle)
    place = {record: row for row, record in enumerate(second.records)}
    rows = [row for row, record in enumerate(first.records) if record in place]
    others = [place[first.records[row]] for row in rows]
    difference = paired_difference(
        first.labels[rows],
        first.probabilities[rows],
        second.probabilities[others],
        first.thresholds,
        second.thresholds,
        first.patients[rows],
        n_resamples=n_resamples,
        seed=seed,
        names=first.names,
    )
    lines = [f"{first.bundle.title} minus {second.bundle.title}, {len(rows):,} records, 95 % interval:"]
    for metric, label in (("auroc", "macro AUROC"), ("f1", "macro F1")):
        lines.append(_difference_line(label, difference.macro[metric]))
    if first.single_label:
        overall = paired_overall_difference(
            first.labels[rows],
            first.probabilities[rows],
            second.probabilities[others],
            first.patients[rows],
            n_resamples=n_resamples,
            seed=seed,
        )
        lines += [_difference_line(metric.replace("_", " "), overall[metric]) for metric in ("accuracy", "log_loss")]
    return "\n".join(lines)


def _difference_line(label: str, interval: Interval) -> str:
    return f"  {label}: {interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _in_words(folds: tuple[int, ...] | None, share: tuple[float, float] | None) -> str:
    folds_said = "any fold" if folds is None else f"folds {', '.join(map(str, folds))}"
    return folds_said + ("" if share is None else f" and patients {share[0]:g}-{share[1]:g}")


def _parts(bundle: Bundle, which: str) -> list[dict[str, Any]]:
    """The parts of collections that a bundle's recipe names; among the trained ones, those seen before it began."""
    provenance = bundle.manifest.provenance
    before = provenance.get("environment", {}).get("pretrained", {}) if which == "train" else {}
    return [*provenance.get("recipe", {}).get("data", {}).get(which, []), *before.get("data", [])]


def _in_recipe(bundle: Bundle, collection: Collection, table: Any, which: str) -> int | None:
    """How many rows the bundle's recipe has in its part `which`; None if that stands in a split that is not here."""
    parts = _parts(bundle, which)
    inside = np.zeros(len(table), dtype=bool)
    for part in parts:
        if part["collection"] == collection.name:
            split = None if part.get("split") is None else (Path(part["split"]), part["part"])
            if split is not None and not split[0].is_file():
                return None
            if split is not None and read_split(split[0]).keys().isdisjoint(table.index):
                continue  # of another folder of the same kind
            inside |= in_part(table, part.get("folds"), part.get("share"), split)
    return int(inside.sum())
