"""From a bundle to the same bundle with its network in 8-bit integers too, if that costs next to no accuracy.

Ranges of activations come from records of the bundle's training part. What integers cost is measured on its validation
part, where the network in integers gets a calibration and thresholds of its own, as the one in float has; where it is
too much, the layers that move the logits most stay in float, more of them until it is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ecoscale.bundle import CARD, RELIABILITY, WEIGHTS, Fidelity, Integers, write_bundle
from ecoscale.datasets import PRESENT
from ecoscale.datasets.processes import silent
from ecoscale.errors import BundleError
from ecoscale.evaluation import choose_thresholds, fit_calibration, measure, operating_points
from ecoscale.evaluation.thresholds import DEFAULT_THRESHOLD, cross_fitted_f1
from ecoscale.export import Quantiser, measure_latencies, run_logits
from ecoscale.packing import describe_parts
from ecoscale.training import Recipe
from ecoscale.training.data import ECGData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.bundle import Bundle, Label
    from ecoscale.datasets.processes import Progress
    from ecoscale.preparation import Preparation
    from ecoscale.training.data import Examples

AUROC_FALL, F1_FALL = 0.002, 0.005
"""By how much macro AUROC and macro F1 of the validation part may fall; of exclusive classes, accuracy as F1."""
CALIBRATION_RECORDS = 512
DAMAGE_RECORDS = 64
"""Training records on which the layers are compared."""
TRIED_IN_FLOAT = (1, 2, 3, 4, 6, 8, 12, 16, 24)
"""How many layers are left in float, in turn."""
READ_AT_ONCE = 256


def quantise(
    bundle: Bundle,
    directories: Mapping[str, Path],
    folder: Path,
    *,
    stores: Path,
    records: int = CALIBRATION_RECORDS,
    auroc_fall: float = AUROC_FALL,
    f1_fall: float = F1_FALL,
    even_if_slower: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Write a bundle like this one that holds its network in 8-bit integers beside the one in float.

    `directories` says where the collections of its recipe lie, `stores` where their signals are prepared; `records` of
    the training part calibrate. Of classes that exclude each other it is their accuracy, and not macro F1, that may
    fall by no more than `f1_fall`.

    Raises `BundleError` if integers cost more than allowed with half the layers in float, or are no faster here (unless
    `even_if_slower`), and `RecipeError` if a collection is missing.
    """
    decided = "accuracy" if bundle.manifest.single_label else "macro F1"
    accepted_falls = {"macro AUROC": auroc_fall, decided: f1_fall}
    recipe = Recipe.model_validate(bundle.manifest.provenance.get("recipe", {}))
    data = ECGData(recipe, directories, stores, progress)
    preparation = bundle.manifest.preparation
    training = _drawn(data.training, preparation, records)
    model = bundle.model.read_bytes()
    expected = _logits(model, data.validation, preparation, progress, "validating fp32")
    quantiser = Quantiser(model, training)
    in_float: tuple[str, ...] = ()
    figures: tuple[Fidelity, ...] = ()
    for in_float in _layers_in_float(quantiser, training[:DAMAGE_RECORDS], progress):
        integers = quantiser.quantise(in_float)
        what = f"validating int8, {len(in_float)} layers in fp32"
        found = _logits(integers, data.validation, preparation, progress, what)
        labels = _refitted(bundle, data.validation_labels, expected, found)
        figures = _compare(bundle, labels, data, expected, found, accepted_falls)
        if all(figure.accepted for figure in figures):
            before, after = measure_latencies([model, integers], training[:1])
            if after >= before and not even_if_slower:
                raise BundleError(
                    f"{bundle.title} takes {after:.3g} ms for one window in 8-bit integers here, and {before:.3g} ms "
                    "in float, so there is nothing to gain and nothing was written; --even-if-slower writes it for "
                    "another processor"
                )
            made = Integers(
                labels=labels,
                in_float=in_float,
                ranges_from=f"{len(training)} records of {describe_parts(recipe.data.train)}",
                measured_on=describe_parts(recipe.data.validation),
                records=len(found),
                figures=figures,
                milliseconds=(before, after),
            )
            return _write(bundle, folder, made, integers)
    raise BundleError(
        f"{bundle.title} loses more in 8-bit integers than is accepted, even with {len(in_float)} layers in float: "
        f"{'; '.join(map(str, figures))}. Nothing was written"
    )


def _layers_in_float(
    quantiser: Quantiser, signals: NDArray[np.float32], progress: Progress
) -> Iterator[tuple[str, ...]]:
    """Which layers stay in float, by and by: none, then those that move the logits most, up to half of them."""
    yield ()
    damage = progress(quantiser.damage(signals), "comparing layers", len(quantiser.layers))
    layers = [layer for layer, _ in sorted(damage, key=lambda each: -each[1])]
    for count in TRIED_IN_FLOAT:
        if count <= len(layers) / 2:
            yield tuple(layers[:count])


def _refitted(
    bundle: Bundle, labels: NDArray[np.int8], expected: NDArray[np.float32], found: NDArray[np.float32]
) -> tuple[Label, ...]:
    """The bundle's labels with calibration and thresholds for the logits `found`, each chosen as the bundle's was.

    A threshold that is not F1-optimal becomes the highest of at least the sensitivity that it has with those
    `expected`; one that was left alone for want of positives stays.
    """
    names = [label.name for label in bundle.manifest.labels]
    single_label = bundle.manifest.single_label
    calibration = fit_calibration(labels, found, bundle.manifest.calibration, names, single_label=single_label)
    before, after = bundle.calibration.probabilities(expected), calibration.probabilities(found)
    refitted = []
    for column, label in enumerate(bundle.manifest.labels):
        curve, truth, scores = calibration.curves[column], labels[:, [column]], after[:, [column]]
        changes: dict[str, Any] = {"slope": curve.slope, "intercept": curve.intercept, "knots": curve.knots}
        positive = truth[:, 0] == PRESENT
        if label.operating_points:
            changes["threshold"] = float(choose_thresholds(truth, scores, "f1").values[0])
            changes["operating_points"] = operating_points(truth[:, 0], scores[:, 0])
        elif label.threshold not in (None, DEFAULT_THRESHOLD) and positive.any():
            sensitivity = float((before[positive, column] >= label.threshold).mean())
            if sensitivity > 0:
                chosen = choose_thresholds(truth, scores, "sensitivity", target=sensitivity)
                changes["threshold"] = float(chosen.values[0])
        refitted.append(label.model_copy(update=changes))
    return tuple(refitted)


def _compare(
    bundle: Bundle,
    refitted: tuple[Label, ...],
    data: ECGData,
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    accepted_falls: Mapping[str, float],
) -> tuple[Fidelity, ...]:
    """The figures of both networks, each with its own calibration and thresholds."""
    labels = data.validation_labels
    patients = np.concatenate([part.patients for part in data.validation])
    sides = []
    for logits, own in ((expected, bundle.manifest.labels), (found, refitted)):
        probabilities = bundle.manifest.calibration_of(own).probabilities(logits)
        if bundle.manifest.single_label:
            figures = measure(labels, probabilities, None).macro
            known = (labels == PRESENT).any(axis=1)
            right = probabilities[known].argmax(axis=1) == labels[known].argmax(axis=1)
            sides.append((figures["auroc"], float(right.mean()), figures["f1"]))
        else:
            thresholds = [label.threshold for label in own if label.threshold is not None]
            figures = measure(labels, probabilities, thresholds).macro
            sides.append((figures["auroc"], figures["f1"], cross_fitted_f1(labels, probabilities, patients).macro))
    names = ("macro AUROC", "macro F1", "macro F1, cross-fitted")
    if bundle.manifest.single_label:
        names = ("macro AUROC", "accuracy", "macro F1")
    return tuple(
        Fidelity(name=name, fp32=fp32, int8=int8, accepted_fall=accepted_falls.get(name))
        for name, fp32, int8 in zip(names, *sides, strict=True)
    )


def _drawn(parts: Sequence[Examples], preparation: Preparation, count: int) -> NDArray[np.float32]:
    """Prepared records `(count, channels, samples)`, drawn evenly from all parts in an order by chance."""
    total = sum(len(part.rows) for part in parts)
    drawn = np.random.default_rng(0).permutation(total)[:count]
    origin = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    signals = np.concatenate([parts[int(origin[at])].store.read(rows[[at]]) for at in drawn])
    return preparation.standardise(signals)


def _logits(
    model: bytes, parts: Sequence[Examples], preparation: Preparation, progress: Progress, what: str
) -> NDArray[np.float32]:
    def batches() -> Iterator[NDArray[np.float32]]:
        for part in parts:
            for first in range(0, len(part.rows), READ_AT_ONCE):
                yield preparation.standardise(part.store.read(part.rows[first : first + READ_AT_ONCE]))

    count = sum(-(-len(part.rows) // READ_AT_ONCE) for part in parts)
    return run_logits(model, progress(batches(), what, count))


def _write(bundle: Bundle, folder: Path, integers: Integers, model: bytes) -> Bundle:
    signal, logits = bundle.self_test()
    manifest = bundle.manifest.model_copy(update={"integers": integers})
    section = (
        Environment(loader=PackageLoader("ecoscale", "templates"), undefined=StrictUndefined, trim_blocks=True)
        .get_template("integers.md")
        .render(integers=integers, single_label=bundle.manifest.single_label)
    )
    card = (bundle.path / CARD).read_text(encoding="utf-8")
    card = re.sub(r"^## In 8-bit integers\n.*?(?=^## )", "", card, flags=re.MULTILINE | re.DOTALL)
    kept = {name: bundle.path / name for name in (RELIABILITY, WEIGHTS) if name in bundle.manifest.files}
    return write_bundle(
        folder,
        manifest,
        bundle.model.read_bytes(),
        {"signal": signal, "logits": logits, "logits_int8": run_logits(model, [signal])},
        card.replace("## Limits\n", f"{section}\n## Limits\n", 1),
        kept[RELIABILITY].read_bytes() if RELIABILITY in kept else None,
        kept[WEIGHTS].read_bytes() if WEIGHTS in kept else None,
        model,
    )
