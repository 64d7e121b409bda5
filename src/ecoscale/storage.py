"""Files at URLs (`s3://`, `gs://`, `az://`, `https://`): found and read through fsspec, and copied to this machine.

What is read again and again, such as a prepared store, is copied once into a cache folder and then read there; what is
read once is opened where it lies (`filesystem`). Credentials, endpoints, time limits and retries are those of the
fsspec package of the scheme, set as it documents them.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ecoscale.errors import EcoscaleError, MissingExtraError, StorageError
from ecoscale.workers import in_threads, one_process_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fsspec import AbstractFileSystem

PIECE = 16 * 2**20
"""Bytes that are asked for at once."""

CONNECTIONS = 8
"""Pieces under way at the same time."""

FEW = 100
"""Up to so many files, each is made sure to be on the disk before the copy counts: a power failure leaves it whole."""

CACHE_VARIABLE = "ECOSCALE_CACHE"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

_HOW_TO_SIGN_IN = {
    "s3": "s3fs takes credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role; "
    "another server than Amazon's is AWS_ENDPOINT_URL, a public bucket FSSPEC_S3_ANON=true",
    "gs": "gcsfs takes credentials from 'gcloud auth application-default login', GOOGLE_APPLICATION_CREDENTIALS or the "
    "machine's account; a public bucket is FSSPEC_GCS_TOKEN=anon",
    "az": "adlfs takes credentials from AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or "
    "AZURE_STORAGE_CONNECTION_STRING",
}
_SCHEMES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_FOREIGN = ("botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs", "gcsfs", "google", "azure", "adlfs")
"""What the packages behind fsspec raise beside OSError."""


class StoredFile(NamedTuple):
    """A file below a URL: `name` relative to it, `location` for its file system, bytes, and what changes with it."""

    name: str
    location: str
    size: int
    version: str


def is_url(text: str) -> bool:
    """Whether a text names a place by a scheme (`s3://bucket/store`). Give it text: a `Path` has lost one slash."""
    return _URL.match(text) is not None


def filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec file system of a URL, and the path in it. Nothing is asked of a server yet.

    Raises `MissingExtraError` without the package of its scheme, `StorageError` for a scheme that there is none for.
    Use what it returns inside `explained(url)`.
    """
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(url, "fsspec", "cloud") from error
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs what it raises, with every line that led to it
    with explained(url):
        try:
            fs, path = fsspec.core.url_to_fs(url)
        except ImportError as error:
            scheme = _scheme(url)
            if scheme == "az":
                raise StorageError(f"{url}: needs the package 'adlfs'; install it with: pip install adlfs") from error
            package = {"s3": "s3fs", "gs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}.get(scheme, scheme)
            raise MissingExtraError(url, package, "cloud") from error
        except ValueError as error:
            raise StorageError(f"{url}: {error}; expected s3://, gs://, az://, https:// or file://") from error
    return fs, path


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what a file system raises in the block into a `StorageError` that names the URL and says what to set."""
    hint = _HOW_TO_SIGN_IN.get(_scheme(url), "")
    try:
        yield
    except EcoscaleError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"{url}: nothing is there ({error}); check the names of bucket and path") from error
    except PermissionError as error:
        raise StorageError(f"{url}: not allowed ({error}){'; ' * bool(hint)}{hint}") from error
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(_FOREIGN):
            raise
        reason = str(error) or type(error).__name__
        raise StorageError(f"{url}: cannot be reached ({reason}){'; ' * bool(hint)}{hint}") from error


def files_below(url: str) -> list[StoredFile]:
    """The files below a URL by name, or the one file that it names. Raises `StorageError` if there is none."""
    fs, root = filesystem(url)
    with explained(url):
        fs.invalidate_cache()  # what others have written meanwhile
        listed: dict[str, dict[str, Any]] = dict(fs.find(root, detail=True))
        # The listing of a web server names files and says no more.
        found = {at: info if info.get("size") is not None else fs.info(at) for at, info in listed.items()}
    files = [
        StoredFile(_relative(url, root, location), location, int(info["size"]), _version(info))
        for location, info in found.items()
        if info["type"] == "file" and not location.endswith("/")
    ]
    if not files:
        raise StorageError(f"{url}: nothing is there; check the names of bucket and path")
    return sorted(files)


def read_whole(url: str) -> bytes:
    """The content of a file. Raises `StorageError`."""
    fs, path = filesystem(url)
    with explained(url):
        content: Any = fs.cat_file(path)
    return content


def write_whole(url: str, content: bytes) -> None:
    """Write a file that is never seen half-written: object stores show one when all of it has come."""
    fs, path = filesystem(url)
    with explained(url):
        if not _is_local(fs):
            fs.pipe_file(path, content)
            return
        partial = Path(f"{path}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)


def exists(url: str) -> bool:
    """Whether a file, or anything below a folder, is there."""
    fs, path = filesystem(url)
    with explained(url):
        fs.invalidate_cache()
        return fs.exists(path)


def refuse_unwritable(url: str) -> None:
    """Raise `StorageError` if nothing can be written below a URL: an empty file is, and removed."""
    trial = f"{url.rstrip('/')}/.ecoscale-trial"
    write_whole(trial, b"")
    fs, path = filesystem(trial)
    with explained(trial):
        fs.rm_file(path)


def cache_folder() -> Path:
    """Where copies lie unless told otherwise: `$ECOSCALE_CACHE`, or the user's cache folder of the system."""
    if stated := os.environ.get(CACHE_VARIABLE):
        return Path(stated)
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise MissingExtraError("copying from a URL", "platformdirs", "cloud") from error
    return user_cache_path("ecoscale", appauthor=False)


def local_copy(
    url: str,
    cache: str | Path | None = None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: Callable[[Iterable[Any], str, int], Iterable[Any]] = lambda items, _description, _total: items,
) -> Path:
    """What lies at a URL, a file or a folder, as it is on this machine: copied there unless it was before.

    A copy is made by one process of a machine while others that want it wait, under another name until it is whole.
    Interrupted, it goes on where it stopped. Its folder is named after the URL and the sizes and versions of its files,
    so that what has changed is copied anew; copies that nobody needs any more can be deleted. A `file://` is read in
    place.

    Parameters
    ----------
    url
        What to copy.
    cache
        The folder of copies; default `cache_folder()`.
    check
        Given the copy (as what is returned) before it counts as one; raises an `EcoscaleError` if it is not whole.
    progress
        May wrap the pieces as they come: `progress(pieces, description, total)`.

    Raises
    ------
    StorageError
        If it cannot be had, the disk has no room, or it changed meanwhile.
    MissingExtraError
        Without the packages of the extra `cloud`.
    """
    fs, root = filesystem(url)
    if _is_local(fs):
        return Path(root)
    files = files_below(url)
    alone = len(files) == 1 and files[0].location.strip("/") == root.strip("/")
    place = _place(url, files, Path(cache) if cache is not None else cache_folder())
    copy = place / files[0].name if alone else place
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(place.with_name(f".{place.name}.lock"), "copying from a URL", "cloud"):
            # Another process may have copied it while this one waited.
            if not place.exists():
                partial = place.with_name(f"{place.name}.partial")
                _copy(url, fs, files, partial, progress)
                _check(url, files, partial, partial / files[0].name if alone else partial, check)
                partial.rename(place)
    return copy


def upload(
    folder: Path,
    url: str,
    *,
    last: str,
    cache: str | Path | None = None,
    progress: Callable[[Iterable[Any], str, int], Iterable[Any]] = lambda items, _description, _total: items,
) -> Path:
    """Copy a folder's files to a URL, the one named `last` after the others: where it is seen, all are there.

    The folder's files then become this machine's copy of what lies at the URL, which is returned: see `local_copy`.
    Raises `StorageError`.
    """
    fs, root = filesystem(url)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names.sort(key=lambda name: name == last)
    for name in progress(names, f"uploading to {url}", len(names)):
        with explained(f"{url} ({name})"):
            if _is_local(fs):
                Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            fs.put_file(str(folder / name), f"{root}/{name}")
    there = files_below(url)
    sent = {name: (folder / name).stat().st_size for name in names}
    if sent != {file.name: file.size for file in there if file.name in sent}:
        raise StorageError(f"{url}: what lies there is not what was sent; another may be writing there; try again")
    if _is_local(fs):
        return Path(root)
    place = _place(url, there, Path(cache) if cache is not None else cache_folder())
    if len(there) == len(names) and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
    return local_copy(url, cache, progress=progress)


def _copy(url: str, fs: AbstractFileSystem, files: Sequence[StoredFile], folder: Path, progress: Callable) -> None:
    """Copy files into a folder, going on with what is there."""
    folder.mkdir(exist_ok=True)
    there = {file: _size(folder / file.name) for file in files}
    there = {file: size if size <= file.size else 0 for file, size in there.items()}
    durable = len(files) <= FEW  # of thousands, each would cost milliseconds
    missing = sum(file.size - there[file] for file in files)
    if missing > (free := shutil.disk_usage(folder).free):
        raise StorageError(
            f"{folder}: {missing / 1e9:.2f} GB of {url} are still to come, and {free / 1e9:.2f} GB are free there; "
            f"make room, or choose another folder ({CACHE_VARIABLE})"
        )

    def fetch(file: StoredFile, start: int, end: int) -> tuple[StoredFile, int, bytes]:
        with explained(f"{url} ({file.name})"):
            content: Any = fs.cat_file(file.location, start=start, end=end) if end else b""
        if len(content) != end - start:
            raise StorageError(
                f"{url} ({file.name}): {len(content)} bytes came, {end - start} were asked for; does this server send "
                "parts of files (HTTP range requests)?"
            )
        return file, start, content

    jobs = [
        (file, start, min(start + PIECE, file.size))
        for file in files
        for start in range(there[file], file.size, PIECE) or [0] * (file.size == 0)
    ]
    pieces = progress(in_threads(fetch, jobs, CONNECTIONS, 2 * CONNECTIONS), f"copying {url}", len(jobs))
    try:
        for file, start, content in pieces:
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if start else "wb") as stream:
                stream.seek(start)
                stream.write(content)
                if durable and start + len(content) == file.size:
                    stream.flush()
                    os.fsync(stream.fileno())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StorageError(
            f"{folder}: the disk is full; what has come is kept: make room, and the same command goes on from there"
        ) from error


def _check(
    url: str, files: Sequence[StoredFile], partial: Path, copy: Path, check: Callable[[Path], object] | None
) -> None:
    """Refuse, and take away, what is not what lies at the URL."""
    if files_below(url) != list(files):
        shutil.rmtree(partial)
        raise StorageError(f"{url}: it changed while it was copied; try again when it is whole")
    if check is None:
        return
    try:
        check(copy)
    except EcoscaleError as error:
        shutil.rmtree(partial)
        raise StorageError(f"{url}: its copy on this machine is not whole ({error}); upload it again") from error


def _size(path: Path) -> int:
    """Bytes that are there of a file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _place(url: str, files: Sequence[StoredFile], cache: Path) -> Path:
    identity = "\n".join([url.rstrip("/"), *(f"{file.name}\t{file.size}\t{file.version}" for file in files)])
    name = re.sub(r"[^\w.-]", "_", url.rstrip("/").rpartition("/")[2]) or "copy"
    return cache / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _relative(url: str, root: str, location: str) -> str:
    """A file's name below the URL; its own name where the URL is of the file."""
    location, root = location.strip("/"), root.strip("/")
    name = location.rpartition("/")[2] if location == root else location.removeprefix(root).lstrip("/")
    if ".." in PurePosixPath(name).parts:
        raise StorageError(f"{url}: holds {name!r}, a name that leads out of the folder; rename it")
    return name


def _version(info: dict[str, Any]) -> str:
    """What the file system says that changes when a file does."""
    for key in ("ETag", "etag", "generation", "md5", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return str(info[key]).strip('"')
    return ""


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0].lower()
    return _SCHEMES.get(scheme, scheme)


def _is_local(fs: AbstractFileSystem) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
