"""The artefact that is shipped: a network in ONNX with everything needed to use it rightly.

A bundle is a folder: `model.onnx` (input `signal` `(batch, leads, samples)`, output `logits` `(batch, findings)`),
`bundle.json` (the `Manifest`), `selftest.npz` (an input and the logits it gave when packed), `README.md`, the model
card, and `weights.safetensors`, which only training on needs and bundles from before it lack. Nothing in it can run
code. Every file's SHA-256 stands in the manifest, and the manifest's own in itself.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecoscale.errors import BundleError
from ecoscale.preparation import Preparation  # noqa: TC001  (pydantic reads the annotation)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MANIFEST, MODEL, SELF_TEST, CARD = "bundle.json", "model.onnx", "selftest.npz", "README.md"
WEIGHTS = "weights.safetensors"
SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Label(_Part):
    """One finding that the network knows, with its decision and calibration.

    Its probability is `sigmoid(slope * logit + intercept)` (Platt 1999), and it is present from `threshold` on.
    """

    name: str
    title: str
    snomed: str | None
    threshold: Annotated[float, Field(ge=0, le=1)]
    slope: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0


class Manifest(_Part):
    """What `bundle.json` says."""

    schema_version: int = SCHEMA
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    version: str
    created: str
    description: str
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    preparation: Preparation
    thresholds_chosen: str
    calibration_chosen: str
    network: dict[str, Any]
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    parity: dict[str, float]
    files: dict[str, str] = {}
    checksum: str = ""

    def digest(self) -> str:
        """SHA-256 of the manifest without its own checksum."""
        content = self.model_dump(mode="json", exclude={"checksum"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Version(BaseModel):
    """The one field that every version of the manifest has."""

    schema_version: int


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose checksums hold."""

    path: Path
    manifest: Manifest

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
        for name in (MODEL, SELF_TEST, CARD):
            if name not in manifest.files:
                raise BundleError(f"{folder / MANIFEST}: files lists no checksum of {name}; pack the bundle again")
        for name in (MODEL, SELF_TEST, CARD, *([WEIGHTS] if WEIGHTS in manifest.files else [])):
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

    @property
    def title(self) -> str:
        """Name and version, as results carry it."""
        return f"{self.manifest.name} {self.manifest.version}"

    @property
    def model(self) -> Path:
        """The network."""
        return self.path / MODEL

    @property
    def weights(self) -> Path | None:
        """The network's weights as it was trained (`ecoscale.models`); None in a bundle without them."""
        return self.path / WEIGHTS if WEIGHTS in self.manifest.files else None

    def self_test(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input `(batch, leads, samples)` and the logits `(batch, findings)` that it must give.

        Raises `BundleError` if the file does not hold these two arrays of numbers.
        """
        path = self.path / SELF_TEST
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["signal"], arrays["logits"]
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
    weights: bytes | None = None,
) -> Bundle:
    """Write a bundle, checksums filled in. `self_test` holds `signal` and `logits`; `weights` are in safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(model)
    with (folder / SELF_TEST).open("wb") as stream:
        np.savez_compressed(stream, signal=self_test["signal"], logits=self_test["logits"])
    (folder / CARD).write_text(card, encoding="utf-8")
    written = [MODEL, SELF_TEST, CARD]
    if weights is not None:
        (folder / WEIGHTS).write_bytes(weights)
        written.append(WEIGHTS)
    sums = {name: _sha256((folder / name).read_bytes()) for name in written}
    # Through JSON first, so that the digest is taken of what a reader will see.
    signed = Manifest.model_validate_json(manifest.model_copy(update={"files": sums, "checksum": ""}).model_dump_json())
    signed = signed.model_copy(update={"checksum": signed.digest()})
    (folder / MANIFEST).write_text(signed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Bundle.load(folder)


def shipped_bundles() -> tuple[str, ...]:
    """Names of the bundles in the package, the default first."""
    root = _weights()
    return tuple(sorted(entry.name for entry in root.iterdir() if (entry / MANIFEST).exists()))


def shipped_bundle(name: str | None = None) -> Path:
    """Folder of a shipped bundle; the default without a name."""
    names = shipped_bundles()
    if not names:
        raise BundleError(f"{_weights()}: no bundle is shipped with this installation; give the folder of one")
    return _weights() / (name or names[0])


def _weights() -> Path:
    return Path(str(files("ecoscale") / "weights"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
