"""The folder of a run's results, on a file system or in object storage: files appear in it whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ecoscale.errors import ResultsError
from ecoscale.storage import explained, filesystem, is_url

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITING = ".writing"
"""What the name of a file ends in while it is written; readers of Parquet pass over those that begin with a dot."""


class ResultsFolder:
    """A folder by its path or URL. Names in it are relative, with `/`; sending it to another process sends the name."""

    def __init__(self, location: str) -> None:
        self.location = location if is_url(location) else os.path.abspath(location)  # noqa: PTH100 - links stay
        self._is_url = is_url(location)

    def __reduce__(self) -> tuple:
        return ResultsFolder, (self.location,)

    def __str__(self) -> str:
        return self.location

    def at(self, name: str) -> str:
        """Path or URL of a file in it."""
        return f"{self.location.rstrip('/')}/{name}" if name else self.location

    @contextmanager
    def new_file(self, name: str) -> Iterator[Path]:
        """A path to write to: what is written appears under `name` when the block ends without an error.

        Raises `ResultsError` or `StorageError` where it cannot be written, as on a full disk.
        """
        if self._is_url:
            with tempfile.TemporaryDirectory(prefix="ecoscale-") as scratch:
                path = Path(scratch) / "file"
                yield path
                fs, there = filesystem(self.at(name))
                with explained(self.at(name)):
                    fs.makedirs(fs._parent(there), exist_ok=True)
                    fs.put_file(str(path), there)
            return
        path = Path(self.at(name))
        partial = path.with_name(f".{path.name}.{uuid4().hex}{WRITING}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
        except OSError as error:
            raise ResultsError(
                f"{path}: cannot be written ({error.strerror or error}); what was written before is kept: when there "
                "is room, the same command with --resume goes on"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, as `new_file` does."""
        with self.new_file(name) as path:
            path.write_bytes(content)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            with self.opened(name) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        """A file open for reading, from any place in it. Raises `FileNotFoundError`, `StorageError`, `ResultsError`."""
        if not self._is_url:
            with Path(self.at(name)).open("rb") as stream:
                yield stream
            return
        fs, there = filesystem(self.at(name))
        with explained(self.at(name)):
            fs.invalidate_cache(fs._parent(there))
            there_is = fs.exists(there)
        if not there_is:
            raise FileNotFoundError(self.at(name))
        with explained(self.at(name)), fs.open(there, "rb") as stream:
            yield stream

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        if not self._is_url:
            return Path(self.at(name)).exists()
        fs, there = filesystem(self.at(name))
        with explained(self.at(name)):
            fs.invalidate_cache(fs._parent(there))
            return fs.exists(there)

    def names(self, below: str = "") -> list[str]:
        """The files in a folder of it and in those below, hidden ones left out, in order; none where it is not."""
        if not self._is_url:
            root = Path(self.at(below))
            found = [
                os.path.relpath(os.path.join(folder, name), self.location)  # noqa: PTH118 - millions of them
                for folder, _, files in os.walk(root)
                for name in files
                if not name.startswith(".")
            ]
            return sorted(name.replace(os.sep, "/") for name in found)
        fs, there = filesystem(self.at(below))
        _, root = filesystem(self.location)
        with explained(self.at(below)):
            fs.invalidate_cache()
            found = fs.find(there)
        return sorted(name.removeprefix(root).lstrip("/") for name in found)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        if not self._is_url:
            Path(self.at(name)).unlink(missing_ok=True)
            return
        fs, there = filesystem(self.at(name))
        with explained(self.at(name)), suppress(FileNotFoundError):
            fs.rm_file(there)

    def remove_unfinished(self) -> None:
        """Take away what processes that were killed had begun to write."""
        if not self._is_url:
            for path in Path(self.location).rglob(f".*{WRITING}"):
                path.unlink(missing_ok=True)
