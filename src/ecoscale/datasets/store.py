"""The prepared store: a collection's records conformed once, memory-mapped, beside a table and a manifest.

`signals.npy` holds int16 `(records, leads, window)` in steps of `STEP` mV, `records.csv` the ids, patients, folds and
warnings, `manifest.json` what they were made from. A store is written beside its place and moved there when it is
whole, so that a half-written one is never taken for a store.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale import __version__
from ecoscale.errors import DatasetError, EcoscaleError
from ecoscale.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from ecoscale.datasets.collection import Collection

STEP = 0.001
"""Millivolts for each step of the stored integers: the resolution of PTB-XL, and +-32 mV of range."""

_MANIFEST, _SIGNALS, _RECORDS = "manifest.json", "signals.npy", "records.csv"


@dataclass(frozen=True)
class PreparedStore:
    """An open store. `signals` is a read-only memory map of int16; multiply by `STEP` for mV."""

    path: Path
    signals: NDArray[np.int16]
    records: pd.DataFrame
    manifest: dict

    def __len__(self) -> int:
        return len(self.records)


def open_store(path: Path) -> PreparedStore:
    """Open a store. Raises `DatasetError` if it is not a whole one."""
    import pandas as pd

    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        signals = np.load(path / _SIGNALS, mmap_mode="r")
        records = pd.read_csv(path / _RECORDS, dtype={"record": str, "patient": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a whole prepared store ({error}); delete it and prepare again") from error
    if len(signals) != len(records):
        raise DatasetError(f"{path}: {len(signals)} signals for {len(records)} records; delete it and prepare again")
    return PreparedStore(path, signals, records.set_index("record"), manifest)


def prepare_store(
    collection: Collection, preparation: Preparation, root: Path, *, progress=lambda records, _description: records
) -> PreparedStore:
    """The store of a collection under `root`, made if it is not there yet.

    Its folder's name carries a digest of everything that it depends on but the scale, which is applied on reading. A
    record longer than the window gives its middle window. Records that cannot be read are listed in the manifest
    (`unreadable`, with the reason) and left out. `progress(iterable, description)` may wrap the loop.
    """
    key = _key(collection, preparation)
    path = root / f"{collection.name}-{key['digest'][:12]}"
    if path.exists():
        return open_store(path)
    building = root / f"{path.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
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
    (building / _MANIFEST).write_text(json.dumps(key | {"unreadable": unreadable, "step_mv": STEP}, indent=1))
    building.rename(path)
    return open_store(path)


def _fill(
    signals: NDArray[np.int16], collection: Collection, preparation: Preparation, progress
) -> tuple[list[str], list[str], dict[str, str]]:
    """Write the records that can be read into the first rows; their ids, their warnings, and the others' errors."""
    kept: list[str] = []
    warnings: list[str] = []
    unreadable: dict[str, str] = {}
    limits = np.iinfo(np.int16)
    records: Iterable[str] = progress(collection.records.index, f"preparing {collection.title}")
    for record in records:
        try:
            ecg = collection.read(record)
            signal = preparation.conform(ecg)
        except EcoscaleError as error:
            unreadable[record] = str(error)
            continue
        start = max(0, signal.shape[1] - preparation.window) // 2
        steps = np.rint(preparation.pad(signal[:, start : start + preparation.window]) / STEP)
        found = list(ecg.check() + preparation.warnings(ecg))
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
    identity = hashlib.sha256("\n".join(f"{r} {p}" for r, p in zip(records.index, records["path"], strict=True)).encode())
    made_from = {
        "collection": collection.name,
        "directory": str(collection.directory.resolve()),
        "records": len(collection),
        "records_digest": identity.hexdigest(),
        "preparation": preparation.model_dump(exclude={"mean", "scale", "overlap"}),
        "ecoscale": __version__,
    }
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
    return made_from | {"digest": digest}
