"""Stores and collections that lie at URLs: copied to this machine to be read, and stores made for a URL."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ecoscale.datasets.preparing import prepare, refuse_another, store_key
from ecoscale.datasets.processes import silent
from ecoscale.datasets.store import MANIFEST, Manifest, PreparedStore, is_store, open_store
from ecoscale.errors import DatasetError
from ecoscale.storage import cache_folder, exists, is_url, local_copy, read_whole, refuse_unwritable, upload

if TYPE_CHECKING:
    from ecoscale.datasets.collection import Collection
    from ecoscale.datasets.processes import Progress
    from ecoscale.datasets.store import DType
    from ecoscale.preparation import Preparation


def local_folder(place: str | Path, cache: str | Path | None = None, progress: Progress = silent) -> Path:
    """The folder of a collection or a prepared store on this machine: itself, or the copy of what lies at a URL.

    Every byte of a store's copy is compared with the store's checksums before it counts as one. See
    `ecoscale.storage.local_copy`, also for what it raises.
    """
    if isinstance(place, Path) or not is_url(place):
        return Path(place)

    def check(copy: Path) -> None:
        if is_store(copy):
            open_store(copy).verify(lambda blocks: progress(blocks, f"verifying {place}", len(list(blocks))))

    return local_copy(place, cache, check=check, progress=progress)


def prepare_at_url(
    collection: Collection,
    preparation: Preparation,
    url: str,
    *,
    cache: str | Path | None = None,
    dtype: DType = "int16",
    workers: int | None = None,
    verify: bool = False,
    progress: Progress = silent,
) -> PreparedStore:
    """The store of a collection at a URL, made there if it is not yet: see `prepare`. What is opened is its local copy.

    It is made in the folder of copies (`cache`) and then uploaded, its manifest last, so that the store is whole
    wherever it is seen. `verify` compares what was made with its checksums before that.

    Raises `DatasetError` if another store lies there, and what `prepare` and `ecoscale.storage.local_copy` raise.
    """
    key, manifest_url = store_key(collection, preparation, dtype), f"{url.rstrip('/')}/{MANIFEST}"
    if exists(manifest_url):
        try:
            manifest = Manifest.model_validate_json(read_whole(manifest_url))
        except ValidationError as error:
            raise DatasetError(f"{manifest_url}: not the manifest of a prepared store; choose another place") from error
        refuse_another(url, manifest, key)
        return open_store(local_folder(url, cache, progress))
    refuse_unwritable(url)  # before the hours that preparing may take
    folder = Path(cache) if cache is not None else cache_folder()
    made = folder / f"preparing-{key['digest'][:12]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    store = prepare(collection, preparation, made, dtype=dtype, workers=workers, progress=progress)
    if verify:
        store.verify(lambda blocks: progress(blocks, "verifying", len(list(blocks))))
    copy = upload(made, url, last=MANIFEST, cache=folder, progress=progress)
    shutil.rmtree(made, ignore_errors=True)
    return open_store(copy)
