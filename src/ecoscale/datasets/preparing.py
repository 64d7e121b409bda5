"""Makes prepared stores: any collection, on all cores, in bounded memory, and resumed where it was interrupted.

A store grows in a folder `NAME.building` beside its place. Blocks of records are prepared by worker processes; each
writes its signals into their place in the file and then a note with their checksum, so that whatever interrupts the
work, the next attempt finds out what is done, repeats the rest, and ends with the same bytes. When all is there, the
table and the manifest are written and the folder takes the store's name.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.collection import PRESENT, UNKNOWN
from ecoscale.datasets.processes import ALONE, Progress, WorkerLost, in_processes, silent
from ecoscale.datasets.store import (
    BLOCK,
    MANIFEST,
    RECORDS,
    SIGNALS,
    STEP,
    TABLE_COLUMNS,
    DType,
    Manifest,
    PreparedStore,
    file_digest,
    open_store,
    parquet_module,
)
from ecoscale.errors import DatasetError, EcoscaleError
from ecoscale.formats import read_recordings
from ecoscale.preparation import REVISION
from ecoscale.workers import one_process_at_a_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ecoscale.datasets.collection import Collection
    from ecoscale.formats import Recording
    from ecoscale.preparation import Preparation


_KEY, _BLOCKS = "key.json", "blocks"


def prepare(
    collection: Collection,
    preparation: Preparation,
    path: str | Path,
    *,
    dtype: DType | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> PreparedStore:
    """The store of a collection at `path`, made there if it is not yet.

    A record longer than the window gives its middle window. Records that cannot be read are listed in the manifest
    with the reason, and left out of the table. `preparation.mean` and `.scale` are not applied: they are on reading.

    Parameters
    ----------
    collection, preparation, path
        What is prepared, how, and the store's folder.
    dtype
        int16 in steps of `STEP` mV, or float16 or float32 in the preparation's units; by default int16 for ECGs, and
        float32 for other signals, of which nobody knows the range.
    workers
        Processes; all cores by default, and one where there is little to do.
    progress
        May wrap the iteration over the records that are done: `progress(records, description, total)`.

    Raises
    ------
    DatasetError
        If `path` holds something else, the disk has no room, or no record can be read.
    MissingExtraError
        Without pyarrow and filelock (the extra `data`).
    """
    path = Path(path)
    dtype = dtype or _usual(preparation)
    key = store_key(collection, preparation, dtype)
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
    if not path.exists():
        parquet_module()
        building = path.with_name(f"{path.name}.building")
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(path.with_name(f".{path.name}.lock"), "making a prepared store", "data"):
            # Another process may have finished it while this one waited.
            if not path.exists():
                _build(_Build(collection, preparation, dtype, key, building), path, workers, progress)
    elif not (path / MANIFEST).exists():
        raise DatasetError(f"{path}: something is here already, and it is no prepared store; choose another place")
    store = open_store(path)
    refuse_another(path, store.manifest, key)
    return store


def prepare_store(
    collection: Collection,
    preparation: Preparation,
    root: str | Path,
    *,
    dtype: DType | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> PreparedStore:
    """The store of a collection under `root`, in a folder named after what it depends on: see `prepare`.

    Its name carries the digest of `store_key`; delete it if signals change under the same names. Patients, folds and
    codes are always those of the collection as it is now.
    """
    dtype = dtype or _usual(preparation)
    key = store_key(collection, preparation, dtype)
    path = Path(root) / f"{collection.name}-{key['digest'][:12]}"
    store = prepare(collection, preparation, path, dtype=dtype, workers=workers, progress=progress)
    return PreparedStore(store.path, store.manifest, store.signals, collection.records.loc[store.records.index])


def _usual(preparation: Preparation) -> DType:
    return "int16" if preparation.is_ecg else "float32"


def store_key(collection: Collection, preparation: Preparation, dtype: DType = "int16") -> dict:
    """What a store depends on, with a digest of it: the records and their files, the preparation but for the scale.

    `preparation.mean`, `.scale` and `.overlap` are applied on reading.
    """
    records = collection.records
    identity = hashlib.sha256(
        "\n".join(f"{r} {p}" for r, p in zip(records.index, records["path"], strict=True)).encode()
    )
    made_from = {
        "collection": collection.name,
        "directory": str(collection.directory.resolve()),
        "records": len(collection),
        "records_digest": identity.hexdigest(),
        "options": {
            key: list(value) if isinstance(value, tuple) else value for key, value in collection.options.items()
        },
        "preparation": preparation.model_dump(mode="json", exclude={"mean", "scale", "overlap"}),
        "dtype": dtype,
        "revision": REVISION,
    }
    return made_from | {"digest": hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()}


def refuse_another(place: str | Path, manifest: Manifest, key: dict) -> None:
    """Raise `DatasetError` if the store at a place is not the one of the key."""
    if manifest.digest != key["digest"]:
        content = manifest.model_dump(mode="json")
        stored = {name: content[name] for name in key}
        stored["preparation"] = {name: content["preparation"][name] for name in key["preparation"]}
        raise DatasetError(f"{place}: holds another store ({_differences(stored, key)}); choose another folder")


def _differences(found: dict, wanted: dict) -> str:
    named = [name for name in wanted if name != "digest" and found.get(name) != wanted[name]]
    return "; ".join(f"{name} is {found.get(name)}, expected {wanted[name]}" for name in named)


@dataclass(frozen=True)
class _Build:
    """What is being made, and where."""

    collection: Collection
    preparation: Preparation
    dtype: DType
    key: dict
    folder: Path

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.collection), self.preparation.n_channels, self.preparation.window

    @property
    def layout(self) -> _Layout:
        return _Layout(self.folder, self.preparation, self.dtype, len(_header(self.shape, self.dtype)))

    @property
    def blocks(self) -> range:
        return range(-(-len(self.collection) // BLOCK))

    def records(self, block: int) -> list[str]:
        return self.collection.records.index[block * BLOCK : (block + 1) * BLOCK].tolist()


@dataclass(frozen=True)
class _Layout:
    """All that a worker has to know to write a block."""

    folder: Path
    preparation: Preparation
    dtype: DType
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.preparation.n_channels * self.preparation.window * np.dtype(self.dtype).itemsize

    def place(self, block: int) -> int:
        return self.offset + block * BLOCK * self.row_bytes

    def note(self, block: int) -> Path:
        return self.folder / _BLOCKS / f"{block:06}.json"


def _header(shape: tuple[int, ...], dtype: DType) -> bytes:
    """The beginning of `signals.npy`."""
    stream = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, description)
    return stream.getvalue()


def _build(build: _Build, path: Path, workers: int | None, progress: Progress) -> None:
    """Write the store in its folder, then give that its name."""
    done = 0
    try:
        if (build.folder / MANIFEST).exists():  # ended between its last two steps
            refuse_another(build.folder, open_store(build.folder).manifest, build.key)
            _move(build.folder, path)
            return
        _begin(build)
        _allocate(build, path)
        for _ in progress(_records_done(build, workers), f"preparing {build.collection.title}", len(build.collection)):
            done += 1
        _finish(build, path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DatasetError(
            f"{path}: the disk is full after {done:,} of {len(build.collection):,} records; free some room and run it "
            "again: it goes on from there"
        ) from error
    except WorkerLost as error:
        raise DatasetError(
            f"{path}: a worker process was ended from outside, most often for lack of memory, after {done:,} of "
            f"{len(build.collection):,} records; run it again with fewer workers: it goes on from there"
        ) from error


def _begin(build: _Build) -> None:
    """Note what is being made; refuse a folder in which something else was begun."""
    note = build.folder / _KEY
    if note.exists():
        begun = json.loads(note.read_text(encoding="utf-8"))
        if begun != build.key:
            raise DatasetError(
                f"{build.folder}: another store was begun here ({_differences(begun, build.key)}); delete it, or "
                "choose another place"
            )
        return
    (build.folder / _BLOCKS).mkdir(parents=True, exist_ok=True)
    _write_whole(note, json.dumps(build.key))


def _allocate(build: _Build, path: Path) -> None:
    """Give the signals all their room at once, so that a disk too small is found out before the work."""
    header = _header(build.shape, build.dtype)
    size = len(header) + len(build.collection) * build.layout.row_bytes
    file = build.folder / SIGNALS
    taken = file.stat().st_blocks * 512 if file.exists() and hasattr(file.stat(), "st_blocks") else 0
    free = shutil.disk_usage(build.folder).free
    if size - taken > free:
        raise DatasetError(
            f"{path}: the store takes {size / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free there; make room, choose "
            "another disk, or prepare at a lower rate"
        )
    with file.open("r+b" if file.exists() else "w+b") as stream:
        stream.write(header)
        stream.truncate(size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)


def _records_done(build: _Build, workers: int | None) -> Iterator[str]:
    """Prepare what is not there yet; the name of each record as it is done."""
    todo = []
    for block in build.blocks:
        if _is_done(build.layout, block, len(build.records(block))):
            yield from build.records(block)
        else:
            todo.append(block)
    jobs = ((build.layout, block, _recordings(build, block)) for block in todo)
    few = (len(todo) - 1) * BLOCK < ALONE
    for block, _ in zip(todo, in_processes(_prepare_block, jobs, 1 if few else workers), strict=True):
        yield from build.records(block)


def _recordings(build: _Build, block: int) -> list[Recording]:
    return [build.collection.recording_for(record, build.preparation) for record in build.records(block)]


def _prepare_block(layout: _Layout, block: int, recordings: list[Recording]) -> None:
    """Read and prepare some records, write their signals into their place, then the note that says so."""
    preparation = layout.preparation
    written = np.zeros((len(recordings), preparation.n_channels, preparation.window), layout.dtype)
    warnings: dict[int, str] = {}
    unreadable: dict[int, str] = {}
    for row, outcome in enumerate(read_recordings(recordings)):
        try:
            if isinstance(outcome, EcoscaleError):
                raise outcome
            signal = preparation.conform(outcome)
        except EcoscaleError as error:
            unreadable[row] = str(error)
            continue
        found = [*outcome.check(), *preparation.warnings(outcome)]
        start = max(0, signal.shape[1] - preparation.window) // 2
        if len(preparation.starts(signal.shape[1])) > 1:
            found.append(f"cropped: the middle {preparation.seconds:g} s of {outcome.duration:.2f} s are in the store")
        kept = signal[:, start : start + preparation.window]
        if largest := _store(preparation.pad(kept), written[row]):
            found.append(f"clipped: above {largest:.1f}{' mV' * preparation.is_ecg} in the prepared store")
        if found:
            warnings[row] = "\n".join(found)
    content = written.data.cast("B")
    with (layout.folder / SIGNALS).open("r+b") as file:
        file.seek(layout.place(block))
        file.write(content)
    note = {"sha256": hashlib.sha256(content).hexdigest(), "warnings": warnings, "unreadable": unreadable}
    _write_whole(layout.note(block), json.dumps(note))


def _store(signal: NDArray[np.float32], row: NDArray) -> float | None:
    """Write a prepared signal into a row of the store; the largest value that fits, if there was a larger one."""
    if row.dtype == np.float32:
        row[:] = signal
        return None
    if row.dtype == np.float16:
        largest, scaled = float(np.finfo(np.float16).max), signal
    else:
        largest, scaled = np.iinfo(np.int16).max * STEP, np.rint(signal / STEP)
    limit = np.iinfo(np.int16) if row.dtype == np.int16 else np.finfo(np.float16)
    np.clip(scaled, limit.min, limit.max, out=row, casting="unsafe")
    return largest if np.abs(scaled).max() > limit.max else None


def _is_done(layout: _Layout, block: int, n_records: int) -> bool:
    """Whether a block was written before: by its note, and by its bytes, which a power failure may have lost."""
    if not layout.note(block).exists():
        return False
    with (layout.folder / SIGNALS).open("rb") as file:
        file.seek(layout.place(block))
        content = file.read(n_records * layout.row_bytes)
    return hashlib.sha256(content).hexdigest() == _read_note(layout, block)["sha256"]


def _read_note(layout: _Layout, block: int) -> dict:
    return json.loads(layout.note(block).read_text(encoding="utf-8"))


def _finish(build: _Build, path: Path) -> None:
    """Write the table and the manifest from the blocks' notes, and move the store to its place."""
    from ecoscale import __version__

    warnings: dict[int, str] = {}
    unreadable: dict[str, str] = {}
    checksums = []
    for block in build.blocks:
        note, names = _read_note(build.layout, block), build.records(block)
        checksums.append(note["sha256"])
        warnings |= {block * BLOCK + int(row): text for row, text in note["warnings"].items()}
        unreadable |= {names[int(row)]: text for row, text in note["unreadable"].items()}
    collection = build.collection
    if len(unreadable) == len(collection):
        first = next(iter(unreadable.values()), "it is empty")
        shutil.rmtree(build.folder, ignore_errors=True)
        raise DatasetError(f"{collection.directory}: no record of {collection.title} could be read; first: {first}")
    _write_table(build, warnings, set(unreadable))
    manifest = Manifest(
        **build.key,
        title=collection.title,
        source=collection.source,
        licence=collection.licence,
        ecoscale=__version__,
        step_mv=STEP if build.dtype == "int16" else None,
        notes=collection.notes,
        unreadable=unreadable,
        checksums={SIGNALS: checksums, RECORDS: file_digest(build.folder / RECORDS)},
    )
    for name in (SIGNALS, RECORDS):
        with (build.folder / name).open("r+b") as file:
            os.fsync(file.fileno())
    _write_whole(build.folder / MANIFEST, manifest.model_dump_json(indent=1))
    _move(build.folder, path)


def _move(folder: Path, path: Path) -> None:
    """Clear away what only the making needed, and give the store its name."""
    shutil.rmtree(folder / _BLOCKS, ignore_errors=True)
    (folder / _KEY).unlink(missing_ok=True)
    folder.rename(path)


def _write_table(build: _Build, warnings: dict[int, str], unreadable: set[str]) -> None:
    """`records.parquet`: the readable records."""
    import pandas as pd
    import pyarrow

    records = build.collection.records
    table = records.assign(
        row=np.arange(len(records)), warnings=[warnings.get(row, "") for row in range(len(records))]
    ).loc[~records.index.isin(list(unreadable))]
    table["codes"] = [sorted(codes) for codes in table["codes"]]
    names = [name for name in (*TABLE_COLUMNS, "part") if name in table.columns]
    columns = table.rename_axis("record").reset_index()[["record", *names]]
    findings = build.collection.findings
    labels = build.collection.labels(findings)[table["row"].to_numpy()]
    for finding, values in zip(findings, labels.T, strict=True):
        columns[f"label_{finding}"] = pd.arrays.IntegerArray((values == PRESENT).astype(np.int8), values == UNKNOWN)
    partial = build.folder / f"{RECORDS}.partial"
    parquet_module().write_table(pyarrow.Table.from_pandas(columns, preserve_index=False), partial)
    partial.replace(build.folder / RECORDS)


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
