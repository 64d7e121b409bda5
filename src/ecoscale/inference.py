"""A bundle in use: a signal in, findings out, with numpy and onnxruntime only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.bundle import Bundle
from ecoscale.errors import BundleError
from ecoscale.findings import DISCLAIMER, SIGNAL_DISCLAIMER
from ecoscale.prevalence import corrected_probabilities, prevalence_corrections
from ecoscale.reading import Failure, prepare_signal, read_prepared
from ecoscale.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.bundle import Label
    from ecoscale.measurements import Measurements
    from ecoscale.reading import PreparedSignal, Readable
    from ecoscale.runtime import Precision
    from ecoscale.signal import Signal

SELF_TEST_TOLERANCE = 1e-3
"""Largest difference of a self-test logit, absolute and relative: processors round sums in different orders."""

INTEGER_TOLERANCE = 0.1
"""The same of a network in 8-bit integers, where a sum that is rounded otherwise moves a value by a whole step."""
BFLOAT16_TOLERANCE = 0.25
"""The same of a network in bfloat16, against the logits of float32."""


@dataclass(frozen=True)
class FindingResult:
    """What the network says of one finding.

    It is present from its threshold on. Of classes that exclude each other there is no threshold (None): their
    probabilities sum to one, and the `most_probable` one is present.

    `uncalibrated` is the probability without calibration and correction (NaN: not known), `prevalence` what it was
    corrected for (None: it is as calibrated).
    """

    name: str
    title: str
    snomed: str | None
    probability: float
    threshold: float | None
    uncalibrated: float = float("nan")
    prevalence: float | None = None
    most_probable: bool = False

    @property
    def present(self) -> bool:
        """Whether the probability reaches the threshold or, without one, is the highest of all classes."""
        return self.most_probable if self.threshold is None else self.probability >= self.threshold


@dataclass(frozen=True)
class Prediction:
    """What one recording shows.

    `measurements` stand beside the findings where they were asked for (`ecoscale.measurements.with_measurements`), and
    `disagreements` say where the two contradict each other.
    """

    source: str
    record: str
    findings: dict[str, FindingResult]
    warnings: tuple[str, ...]
    bundle: str
    disclaimer: str = DISCLAIMER
    measurements: Measurements | None = None
    disagreements: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the findings whose probability reaches their threshold; of exclusive classes the one that it is."""
        return tuple(name for name, finding in self.findings.items() if finding.present)

    @property
    def single_label(self) -> bool:
        """Whether the findings are classes that exclude each other, of which exactly one is present."""
        return any(finding.threshold is None for finding in self.findings.values())

    def to_dict(self) -> dict[str, object]:
        """As plain values, the form of one line of `ecoscale predict --format json`."""
        measured = {}
        if self.measurements is not None:
            measured = {"measurements": self.measurements.to_dict(), "disagreements": list(self.disagreements)}
        return {
            "source": self.source,
            "record": self.record,
            "findings": {
                name: {
                    "probability": round(finding.probability, 6),
                    "threshold": None if finding.threshold is None else round(finding.threshold, 6),
                    "present": finding.present,
                    "snomed": finding.snomed,
                }
                | ({} if finding.prevalence is None else {"prevalence": finding.prevalence})
                for name, finding in self.findings.items()
            },
            **measured,
            "warnings": list(self.warnings),
            "bundle": self.bundle,
            "disclaimer": self.disclaimer,
        }


class Classifier:
    """Classifies recordings with a bundle: ECGs, or what other signals it reads.

    >>> classifier = Classifier.load()
    >>> prediction = classifier.predict(read_ecg("record.hea"))  # doctest: +SKIP
    >>> prediction.findings["AF"].probability, prediction.present  # doctest: +SKIP
    (0.98, ('AF',))

    Probabilities are calibrated. A record longer than the network's window is cut into windows that cover all of it
    evenly, and its probability is the mean over them. Of a bundle for classes that exclude each other, the most
    probable one is present, and no other. `labels` holds the findings with the thresholds in use,
    `corrections` what was corrected for another prevalence, by name.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        thresholds: Mapping[str, float] | None = None,
        prevalence: Mapping[str, float] | None = None,
        precision: Precision | None = None,
    ) -> None:
        if precision == "int8" or (precision is None and bundle.manifest.integers is not None):
            bundle = bundle.in_integers()
        self.bundle = bundle
        self.preparation = bundle.manifest.preparation
        self.calibration = bundle.calibration
        self.corrections = prevalence_corrections(bundle, prevalence or {})
        moved = {name: each.threshold for name, each in self.corrections.items() if each.threshold is not None}
        self.labels = _with_thresholds(bundle, moved | dict(thresholds or {}))
        self.runtime = open_runtime(bundle.model, "bf16" if precision == "bf16" else bundle.precision, threads)
        self._self_test()

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        threads: int | None = None,
        thresholds: Mapping[str, float] | None = None,
        prevalence: Mapping[str, float] | None = None,
        precision: Precision | None = None,
    ) -> Classifier:
        """A classifier from a bundle's folder, a shipped bundle's name, or None for the default bundle.

        `threads` bounds the processor threads of one inference (default: all). `thresholds` replaces those of some
        findings: the bundle's were chosen on one collection, whose readers may draw the line elsewhere than the user's.
        `prevalence` is how common some findings are among the user's records, such as `{"AF": 0.02}`: their
        probabilities, and those of their thresholds that are not given, are corrected for it (`ecoscale.prevalence`).
        Of classes that exclude each other, those that are not named share the rest in the proportions that they had.
        `precision` is what the network computes with: int8 where the bundle has it, else fp32, unless stated; bf16
        needs OpenVINO (the extra `openvino`). `runtime` says which it is.
        Raises `BundleError` when a checksum or the self-test fails, a threshold or prevalence is of no finding of the
        bundle or out of range, a threshold is given for classes that exclude each other, or the bundle cannot be
        corrected or has no network of that precision.
        """
        return cls(Bundle.load(path), threads, thresholds, prevalence, precision)

    @property
    def title(self) -> str:
        """The bundle, and the precision where it is not float32, as results carry it."""
        return f"{self.bundle.title} (bf16)" if self.runtime.precision == "bf16" else self.bundle.title

    def logits(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output `(batch, findings)` for prepared windows `(batch, channels, samples)`."""
        return self.runtime.logits(windows)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities of logits `(batch, findings)`, not corrected for another prevalence."""
        return self.calibration.probabilities(logits)

    def predict(self, signal: Signal) -> Prediction:
        """What one ECG, or other signal, shows.

        Raises `ChannelError` if channels are missing (leads of an ECG that cannot be derived), `SignalError` where
        a channel's unit is another than the bundle reads, unless both are voltages.
        """
        return self.predict_batch([signal])[0]

    def predict_batch(self, signals: Sequence[Signal]) -> list[Prediction]:
        """What several signals show, their windows together in as few passes of the network as memory allows."""
        return self.predict_prepared([prepare_signal(signal, self.preparation) for signal in signals])

    def classify(
        self, recordings: Iterable[Readable], batch_size: int = 32, workers: int | None = None
    ) -> Iterator[tuple[Signal, Prediction] | Failure]:
        """Read and classify recordings as they come, in order; memory holds about two batches.

        What the bundle reads decides how a file is read: `read_ecg`, or `read_signal` (`ecoscale.reading.to_read`).
        Recordings are read and prepared in `workers` threads while the network classifies those before them (default:
        one, and none for a few recordings; 0: in this thread). Results are the same to the bit whatever their number.
        One that cannot be read or prepared comes out as a `Failure`, and the others go on.
        Raises `ValueError` for a `batch_size` below 1, or `workers` below 0.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        if workers is not None and workers < 0:
            raise ValueError(f"workers is {workers}; expected at least 0")
        return self._classify(read_prepared(recordings, self.preparation, batch_size, workers), batch_size)

    def _classify(
        self, prepared: Iterator[PreparedSignal | Failure], batch_size: int
    ) -> Iterator[tuple[Signal, Prediction] | Failure]:
        while batch := list(islice(prepared, batch_size)):
            predictions = iter(self.predict_prepared([item for item in batch if not isinstance(item, Failure)]))
            for item in batch:
                yield item if isinstance(item, Failure) else (item.signal, next(predictions))

    def predict_prepared(self, prepared: Sequence[PreparedSignal]) -> list[Prediction]:
        """The same for signals that `ecoscale.reading.prepare_signal` has prepared, with this bundle's preparation."""
        if not prepared:
            return []
        logits = self.logits(np.concatenate([each.windows for each in prepared]))
        last = np.cumsum([len(each.windows) for each in prepared])[:-1]
        before = self.calibration.uncalibrated(logits)
        calibrated, uncalibrated = (np.split(each, last) for each in (self.probabilities(logits), before))
        return [
            self._prediction(each, own.mean(axis=0), before.mean(axis=0))
            for each, own, before in zip(prepared, calibrated, uncalibrated, strict=True)
        ]

    def _prediction(
        self, prepared: PreparedSignal, probabilities: NDArray[np.float64], uncalibrated: NDArray[np.float64]
    ) -> Prediction:
        findings = {}
        probabilities = corrected_probabilities(self.bundle, self.corrections, probabilities)
        best = int(probabilities.argmax()) if self.bundle.manifest.single_label else None
        for place, label in enumerate(self.labels):
            correction = self.corrections.get(label.name)
            findings[label.name] = FindingResult(
                label.name,
                label.title,
                label.snomed,
                float(probabilities[place]),
                label.threshold,
                float(uncalibrated[place]),
                None if correction is None else correction.prevalence,
                place == best,
            )
        signal = prepared.signal
        disclaimer = DISCLAIMER if self.preparation.is_ecg else SIGNAL_DISCLAIMER
        return Prediction(signal.source, signal.record, findings, prepared.warnings, self.title, disclaimer)

    def _self_test(self) -> None:
        signal, expected = self.bundle.self_test()
        tolerance = {"fp32": SELF_TEST_TOLERANCE, "int8": INTEGER_TOLERANCE, "bf16": BFLOAT16_TOLERANCE}
        accepted = tolerance[self.runtime.precision]
        try:
            # One by one: who classifies one ECG needs nothing that computes several side by side.
            found = np.concatenate([self.logits(window[None]) for window in signal])
        except Exception as error:  # onnxruntime's exceptions share no parent but Exception
            raise BundleError(f"{self.bundle.path}: the self-test does not run ({error})") from error
        if found.shape != expected.shape or found.shape[1] != len(self.labels):
            raise BundleError(
                f"{self.bundle.path}: the self-test gives logits of shape {found.shape}; expected {expected.shape} for "
                f"{len(self.labels)} labels"
            )
        if not np.allclose(found, expected, rtol=accepted, atol=accepted):
            raise BundleError(
                f"{self.bundle.path}: self-test failed in {self.runtime.name}: logits differ by up to "
                f"{np.abs(found - expected).max():.3g} from those at packing; the network does not compute here what "
                "it did there, so it must not be used"
            )


def _with_thresholds(bundle: Bundle, thresholds: Mapping[str, float]) -> tuple[Label, ...]:
    """The bundle's labels, with these thresholds in place of its own."""
    if thresholds and bundle.manifest.single_label:
        raise BundleError(
            f"threshold of {next(iter(thresholds))}: the classes of {bundle.title} exclude each other, and the most "
            "probable one is the answer; there are no thresholds, leave them out"
        )
    labels = {label.name: label for label in bundle.manifest.labels}
    for name, value in thresholds.items():
        if name not in labels:
            raise BundleError(
                f"threshold of {name!r}: {bundle.title} knows no such finding; it knows {', '.join(labels)}"
            )
        if not 0 <= value <= 1:
            raise BundleError(f"threshold of {name}: {value:g}; expected a probability from 0 to 1")
        labels[name] = labels[name].model_copy(update={"threshold": float(value)})
    return tuple(labels.values())
