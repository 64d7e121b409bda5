"""The prepared store: a collection's records conformed once, memory-mapped, beside a table and a manifest.

`signals.npy` holds int16 `(records, leads, window)` in steps of `STEP` mV, `records.csv` the ids, patients, folds and
warnings, `manifest.json` what they were made from. A store is written beside its place, in a folder `*.building`, and
moved there when it is whole, so that a half-written one is never taken for a store.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from ecoscale.errors import DatasetError, EcoscaleError
from ecoscale.preparation import REVISION, Preparation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from ecoscale.datasets.collection import Collection

STEP = 0.001
"""Millivolts for each step of the stored integers: the resolution of PTB-XL, and +-32 mV of range."""

_MANIFEST, _SIGNALS, _RECORDS = "manifest.json", "signals.npy", "records.csv"
_COLUMNS = ("record", "patient", "fold", "warnings")


@dataclass(frozen=True)
class PreparedStore:
    """An open store. `signals` is a read-only memory map of int16; multiply by `STEP` for mV."""

    path: Path
    signals: NDArray[np.int16]
    records: pd.DataFrame
    manifest: dict

    def __len__(self) -> int:
        return len(self.records)


def open_store(path: str | Path) -> PreparedStore:
    """Open a store. Raises `DatasetError` if it is not a whole one: its three files must agree with each other."""
    import pandas as pd

    path = Path(path)
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        made_with = Preparation(**manifest["preparation"])
        n_records = manifest["records"] - len(manifest["unreadable"])
        signals = np.load(path / _SIGNALS, mmap_mode="r")
        records = pd.read_csv(path / _RECORDS, dtype={"record": str, "patient": str}, keep_default_na=False)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a whole prepared store ({error}); delete it and prepare again") from error
    shape = (n_records, made_with.n_leads, made_with.window)
    if signals.dtype != np.int16 or signals.shape != shape:
        raise DatasetError(
            f"{path}: {_SIGNALS} is {signals.dtype} of shape {signals.shape}; {_MANIFEST} says int16 of {shape}; "
            "delete the store and prepare again"
        )
    if tuple(records.columns) != _COLUMNS or len(records) != n_records:
        raise DatasetError(
            f"{path}: {_RECORDS} has {len(records)} rows of {', '.join(map(str, records.columns))}; expected "
            f"{n_records} of {', '.join(_COLUMNS)}; delete the store and prepare again"
        )
    return PreparedStore(path, signals, records.set_index("record"), manifest)


def prepare_store(
    collection: Collection,
    preparation: Preparation,
    root: str | Path,
    *,
    progress: Callable[[Iterable[str], str], Iterable[str]] = lambda records, _description: records,
) -> PreparedStore:
    """The store of a collection under `root`, made if it is not there yet.

    Its folder's name carries a digest of the records' names and files, of the preparation but for the scale, which is
    applied on reading, and of its `REVISION`; delete the store if signals change under the same name. Patients
    and folds are always those of the collection as it is now. A record longer than the window gives its middle window.
    Records that cannot be read are listed in the manifest (`unreadable`, with the reason) and left out; `DatasetError`
    is raised if that is all of them. `progress(iterable, description)` may wrap the loop.
    """
    key = _key(collection, preparation)
    path = Path(root) / f"{collection.name}-{key['digest'][:12]}"
    if not path.exists():
        _build(path, key, collection, preparation, progress)
    store = open_store(path)
    people = collection.records.loc[store.records.index, ["patient", "fold"]]
    return replace(store, records=people.assign(warnings=store.records["warnings"]))


def _build(
    path: Path,
    key: dict,
    collection: Collection,
    preparation: Preparation,
    progress: Callable[[Iterable[str], str], Iterable[str]],
) -> None:
    """Write a store beside its place, then move it there; other processes may be doing the same."""
    building = path.with_name(f"{path.name}.{uuid4().hex}.building")
    building.mkdir(parents=True)
    try:
        shape = (len(collection), preparation.n_leads, preparation.window)
        signals = np.lib.format.open_memmap(building / _SIGNALS, mode="w+", dtype=np.int16, shape=shape)
        kept, warnings, unreadable = _fill(signals, collection, preparation, progress)
        signals.flush()
        del signals
        if unreadable:
            whole = np.load(building / _SIGNALS, mmap_mode="r")
            np.save(building / "kept.npy", whole[: len(kept)])
            del whole
            (building / "kept.npy").replace(building / _SIGNALS)
        table = collection.records.loc[kept, ["patient", "fold"]].assign(warnings=warnings)
        table.to_csv(building / _RECORDS, index_label="record")
        manifest = key | {"unreadable": unreadable, "step_mv": STEP}
        (building / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        building.rename(path)
    except OSError:
        # Another process may have finished the same store first, and cleared this one away as below.
        if not path.exists():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for leftover in path.parent.glob(f"{path.name}.*building"):
        shutil.rmtree(leftover, ignore_errors=True)


def _fill(
    signals: NDArray[np.int16],
    collection: Collection,
    preparation: Preparation,
    progress: Callable[[Iterable[str], str], Iterable[str]],
) -> tuple[list[str], list[str], dict[str, str]]:
    """Write the records that can be read into the first rows; their ids, their warnings, and the others' errors."""
    kept: list[str] = []
    warnings: list[str] = []
    unreadable: dict[str, str] = {}
    limits = np.iinfo(np.int16)
    for record in progress(collection.records.index, f"preparing {collection.title}"):
        try:
            ecg = collection.read(record)
            signal = preparation.conform(ecg)
        except EcoscaleError as error:
            unreadable[record] = str(error)
            continue
        start = max(0, signal.shape[1] - preparation.window) // 2
        steps = np.rint(preparation.pad(signal[:, start : start + preparation.window]) / STEP)
        found = [*ecg.check(), *preparation.warnings(ecg)]
        if len(preparation.starts(signal.shape[1])) > 1:
            found.append(f"cropped: the middle {preparation.seconds:g} s of {ecg.duration:.2f} s are in the store")
        if np.abs(steps).max() > limits.max:
            found.append(f"clipped: above {limits.max * STEP:.1f} mV in the prepared store")
        signals[len(kept)] = np.clip(steps, limits.min, limits.max)
        kept.append(record)
        warnings.append("\n".join(found))
    if not kept:
        first = next(iter(unreadable.values()), "it is empty")
        raise DatasetError(f"{collection.directory}: no record of {collection.title} could be read; first: {first}")
    return kept, warnings, unreadable


def _key(collection: Collection, preparation: Preparation) -> dict:
    """What a store depends on, with a digest of it."""
    records = collection.records
    identity = hashlib.sha256(
        "\n".join(f"{r} {p}" for r, p in zip(records.index, records["path"], strict=True)).encode()
    )
    made_from = {
        "collection": collection.name,
        "directory": str(collection.directory.resolve()),
        "records": len(collection),
        "records_digest": identity.hexdigest(),
        "preparation": preparation.model_dump(exclude={"mean", "scale", "overlap"}),
        "ecoscale": REVISION,
    }
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
    return made_from | {"digest": digest}
