"""The artefact that is shipped: a network in ONNX with everything needed to use it rightly.

A bundle is a folder: `model.onnx` (input `signal` `(batch, channels, samples)`, output `logits` `(batch, findings)`),
`bundle.json` (the `Manifest`), `selftest.npz` (an input and the logits it gave when packed), `README.md`, the model
card, and what a bundle may do without: `model.int8.onnx`, the same network in 8-bit integers, `reliability.png`, which
the card shows, and `weights.safetensors`, which only training on needs. Nothing in it can run code. Every file's
SHA-256 stands in the manifest, and the manifest's own in itself.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecoscale.calibration import Calibration, CalibrationCurve, CalibrationMethod
from ecoscale.errors import BundleError
from ecoscale.preparation import Preparation  # noqa: TC001  (pydantic reads the annotation)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MANIFEST, MODEL, SELF_TEST, CARD = "bundle.json", "model.onnx", "selftest.npz", "README.md"
RELIABILITY, WEIGHTS, INTEGER_MODEL = "reliability.png", "weights.safetensors", "model.int8.onnx"
"""The files that a bundle may do without."""
DEFAULT = "six-findings"
"""The shipped bundle that is taken where none is named."""
SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Share = Annotated[float, Field(ge=0, le=1)]


class Label(_Part):
    """One finding that the network knows, with its decision and calibration.

    Its probability is the sigmoid of `slope * logit + intercept` or, with `knots`, of the curve through them
    (`CalibrationCurve`), and it is present from `threshold` on. Of classes that exclude each other
    (`Manifest.single_label`) there is no threshold, and the probabilities are the softmax of `slope * logit`, of one
    slope for all. `prevalence` is its share of the records that it was
    calibrated on, by which a probability can be corrected for another one; `operating_points` are the thresholds,
    each with sensitivity and specificity there, of which one is F1-optimal at any prevalence (none where the threshold
    was chosen otherwise).
    """

    name: str
    title: str
    snomed: str | None
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    slope: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = None
    operating_points: tuple[tuple[_Share, _Share, _Share], ...] = ()

    @model_validator(mode="after")
    def _knots_rise(self) -> Self:
        if self.knots:
            if self.intercept:
                raise ValueError(f"intercept is {self.intercept:g}; a curve through knots has none")
            if len(self.knots) < 2 or not (np.diff(self.knots, axis=0) > 0).all():
                raise ValueError("knots do not rise in logit and log-odds, or are fewer than two")
        return self

    @property
    def curve(self) -> CalibrationCurve:
        """Its calibration."""
        return CalibrationCurve(self.slope, self.intercept, self.knots)


class Fidelity(_Part):
    """A figure of a validation part in float and in integers, and by how much it may fall (None: it only informs)."""

    name: str
    fp32: float
    int8: float
    accepted_fall: float | None

    @property
    def accepted(self) -> bool:
        """Whether it falls by no more than it may."""
        return self.accepted_fall is None or self.fp32 - self.int8 <= self.accepted_fall

    def __str__(self) -> str:
        accepted = "" if self.accepted_fall is None else f" (accepted fall: {self.accepted_fall:g})"
        return f"{self.name} {self.fp32:.4f} in fp32, {self.int8:.4f} in int8{accepted}"


class Integers(_Part):
    """How `model.int8.onnx` was made, and what that cost in accuracy.

    It is another network than the one in float, so its `labels` have a calibration and thresholds of their own, chosen
    on the same records in the same way. `in_float` are the layers that stayed in float; `ranges_from` and
    `measured_on` say in words which records the ranges of the activations, and the `figures`, come from;
    `milliseconds` are those of one window in float and in integers, on one thread of the processor that made it.
    """

    labels: tuple[Label, ...]
    in_float: tuple[str, ...]
    ranges_from: str
    measured_on: str
    records: int
    figures: tuple[Fidelity, ...]
    milliseconds: tuple[float, float]


class Manifest(_Part):
    """What `bundle.json` says.

    With `single_label` the labels are classes that exclude each other: a record has one, the most probable.
    """

    schema_version: int = SCHEMA
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    version: str
    created: str
    description: str
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    single_label: bool = False
    preparation: Preparation
    thresholds_chosen: str
    calibration: CalibrationMethod = "platt"
    calibration_chosen: str
    calibrations_compared: dict[CalibrationMethod, dict[str, float]] = {}
    network: dict[str, Any]
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    parity: dict[str, float]
    integers: Integers | None = None
    files: dict[str, str] = {}
    checksum: str = ""

    @model_validator(mode="after")
    def _labels_are_of_one_kind(self) -> Self:
        for labels in (self.labels, *(() if self.integers is None else (self.integers.labels,))):
            for label in labels:
                if (label.threshold is None) != self.single_label:
                    raise ValueError(
                        f"label {label.name}: threshold is {label.threshold}; "
                        + ("classes that exclude each other have none" if self.single_label else "it needs one")
                    )
            self.calibration_of(labels)
        return self

    def calibration_of(self, labels: tuple[Label, ...]) -> Calibration:
        """From logits to probabilities, as labels say: its own, or those of the network in integers."""
        return Calibration(self.calibration, tuple(label.curve for label in labels), single_label=self.single_label)

    def digest(self) -> str:
        """SHA-256 of what the manifest says, without its own checksum.

        Fields that it does not name take no part: a manifest from before there were such has the digest it had.
        """
        content = self.model_dump(mode="json", exclude={"checksum"}, exclude_unset=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def prevalences(self) -> dict[str, float]:
        """The share of each finding among the records that it was calibrated on, where that is known.

        Bundles that do not state it have the counts in their metrics, which are of the same records.
        """
        stated = {label.name: label.prevalence for label in self.labels if label.prevalence is not None}
        counted = {}
        for found in self.metrics.get("metrics", {}).get("classes", []):
            if found["positives"] and found["negatives"]:
                counted[found["name"]] = found["positives"] / (found["positives"] + found["negatives"])
        return counted | stated


class _Version(BaseModel):
    """The one field that every version of the manifest has."""

    schema_version: int


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose checksums hold, read as the network in float or as the one in integers."""

    path: Path
    manifest: Manifest
    precision: Literal["fp32", "int8"] = "fp32"

    @classmethod
    def load(cls, path: str | Path | None = None) -> Bundle:
        """Open a bundle: a folder, the name of a shipped one, or None for the default.

        Raises `BundleError` when a file is missing or differs from what was packed.
        """
        folder = shipped_bundle() if path is None else Path(path)
        if not folder.is_dir() and str(path) in shipped_bundles():
            folder = shipped_bundle(str(path))
        if not folder.is_dir():
            raise BundleError(
                f"{folder}: no such bundle; give a bundle's folder, or one of {', '.join(shipped_bundles())}"
            )
        manifest = _read_manifest(folder / MANIFEST)
        if manifest.checksum != manifest.digest():
            raise BundleError(f"{folder / MANIFEST}: checksum does not match its content; it was changed after packing")
        integers = () if manifest.integers is None else (INTEGER_MODEL,)
        for name in (MODEL, SELF_TEST, CARD, *({RELIABILITY, WEIGHTS} & manifest.files.keys()), *integers):
            if name not in manifest.files:
                raise BundleError(f"{folder / MANIFEST}: files lists no checksum of {name}; pack the bundle again")
            try:
                found = _sha256((folder / name).read_bytes())
            except OSError as error:
                raise BundleError(
                    f"{folder / name}: cannot be read ({error.strerror}); the bundle is incomplete"
                ) from error
            if found != manifest.files[name]:
                raise BundleError(
                    f"{folder / name}: checksum is {found[:12]}..., not {manifest.files[name][:12]}...; "
                    "the file is damaged or was changed after packing"
                )
        return cls(folder, manifest)

    def in_integers(self) -> Bundle:
        """The same bundle read as its network in 8-bit integers. Raises `BundleError` if it holds none."""
        if self.manifest.integers is None:
            raise BundleError(
                f"{self.title} holds no network in 8-bit integers; make one with ecoscale quantise, or take fp32"
            )
        manifest = self.manifest.model_copy(update={"labels": self.manifest.integers.labels})
        return replace(self, manifest=manifest, precision="int8")

    @property
    def title(self) -> str:
        """Name and version, as results carry it."""
        return f"{self.manifest.name} {self.manifest.version}" + (" (int8)" if self.precision == "int8" else "")

    @property
    def model(self) -> Path:
        """The network."""
        return self.path / (INTEGER_MODEL if self.precision == "int8" else MODEL)

    @property
    def calibration(self) -> Calibration:
        """From the network's logits to probabilities."""
        return self.manifest.calibration_of(self.manifest.labels)

    @property
    def weights(self) -> Path | None:
        """The network's weights as it was trained (`ecoscale.models`); None in a bundle without them."""
        return self.path / WEIGHTS if WEIGHTS in self.manifest.files else None

    def require_ecg(self, what: str) -> None:
        """Raise `BundleError` for `what` is of ECGs alone, where the bundle reads another signal."""
        preparation = self.manifest.preparation
        if not preparation.is_ecg:
            pairs = zip(preparation.channels, preparation.units, strict=True)
            channels = ", ".join(f"{channel} in {unit or 'no unit'}" for channel, unit in pairs)
            raise BundleError(
                f"{self.title} reads {channels}; {what} is of ECGs alone (leads in mV): ecoscale predict and timeline "
                "classify any signal"
            )

    def self_test(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input `(batch, channels, samples)` and the logits `(batch, findings)` that it must give.

        Raises `BundleError` if the file does not hold these two arrays of numbers.
        """
        path = self.path / SELF_TEST
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["signal"], arrays["logits_int8" if self.precision == "int8" else "logits"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path}: not the arrays signal and logits ({error}); pack the bundle again") from error


def _read_manifest(path: Path) -> Manifest:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); is this a bundle?") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{path}: not text ({error}); the file is damaged, pack the bundle again") from error
    try:
        # Before the rest is looked at: another version may have other fields.
        version = _Version.model_validate_json(text).schema_version
        if version != SCHEMA:
            raise BundleError(f"{path}: schema_version is {version}; this ecoscale reads {SCHEMA}")
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BundleError(f"{path}: {field}: {first['msg']}; pack the bundle again") from error


def write_bundle(
    folder: Path,
    manifest: Manifest,
    model: bytes,
    self_test: Mapping[str, NDArray[np.float32]],
    card: str,
    reliability: bytes | None = None,
    weights: bytes | None = None,
    integer_model: bytes | None = None,
) -> Bundle:
    """Write a bundle, checksums filled in.

    `self_test` holds `signal` and `logits`, and `logits_int8` of an `integer_model`; `reliability` is a PNG, `weights`
    are in safetensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(model)
    with (folder / SELF_TEST).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **self_test)
    (folder / CARD).write_text(card, encoding="utf-8")
    written = [MODEL, SELF_TEST, CARD]
    for name, content in ((RELIABILITY, reliability), (WEIGHTS, weights), (INTEGER_MODEL, integer_model)):
        if content is not None:
            (folder / name).write_bytes(content)
            written.append(name)
    sums = {name: _sha256((folder / name).read_bytes()) for name in written}
    # Through JSON first, so that the digest is taken of what a reader will see.
    signed = Manifest.model_validate_json(manifest.model_copy(update={"files": sums, "checksum": ""}).model_dump_json())
    signed = signed.model_copy(update={"checksum": signed.digest()})
    (folder / MANIFEST).write_text(signed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Bundle.load(folder)


def shipped_bundles() -> tuple[str, ...]:
    """Names of the bundles in the package, the default first."""
    root = _weights()
    names = sorted(entry.name for entry in root.iterdir() if (entry / MANIFEST).exists())
    return tuple(sorted(names, key=lambda name: name != DEFAULT))


def shipped_bundle(name: str | None = None) -> Path:
    """Folder of a shipped bundle; the default without a name."""
    names = shipped_bundles()
    if not names:
        raise BundleError(f"{_weights()}: no bundle is shipped with this installation; give the folder of one")
    return _weights() / (name or names[0])


def shipped_manifest(name: str) -> Manifest:
    """What a shipped bundle says of itself. Raises `BundleError` where it is not as it should be."""
    return _read_manifest(shipped_bundle(name) / MANIFEST)


def _weights() -> Path:
    return Path(str(files("ecoscale") / "weights"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
