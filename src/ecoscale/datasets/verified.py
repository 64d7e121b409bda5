"""What a folder's files were found to be, so that 90,000 of them need not be read again to know that they are whole.

One JSON line for each file (`checksum`, `size`, `mtime_ns`) or unpacked archive (`members`) is appended to
`.ecoscale-download.jsonl` in the folder once its checksum was right; the last line of a path counts, and a line that
was cut off by a killed process is as good as none. A file whose size and time of change are those of its line is
taken for whole; any other is read and compared by its checksum. Losing the file costs that reading, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from typing import TYPE_CHECKING, Any

from ecoscale.datasets.archive import OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = f"{OWN_PREFIX}.jsonl"


def file_checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file as listings write it: `sha256:...`, `md5:...`."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


class VerifiedFiles:
    """The verified files of a folder. Nothing is written before `save`; it may be used from several threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / NAME
        self._files: dict[str, dict[str, Any]] = {}
        self._archives: dict[str, dict[str, Any]] = {}
        self._unsaved: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        for line in self._lines():
            self._keep(line)

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in lines if isinstance(line, dict) and isinstance(line.get("path"), str)]

    def _keep(self, line: dict[str, Any]) -> None:
        (self._archives if "members" in line else self._files)[line["path"]] = line

    def _add(self, line: dict[str, Any]) -> None:
        with self._lock:
            if line not in (self._files.get(line["path"]), self._archives.get(line["path"])):
                self._keep(line)
                self._unsaved.append(line)

    def record(self, path: str, checksum: str) -> None:
        """Note that the file at `path` has this checksum now."""
        found = (self.directory / path).stat()
        self._add({"path": path, "checksum": checksum, "size": found.st_size, "mtime_ns": found.st_mtime_ns})

    def record_unpacked(self, path: str, checksum: str, members: Sequence[str], *, kept: bool) -> None:
        """Note that the archive at `path` was unpacked to `members` (paths in the folder), and whether it is kept."""
        for member in members:
            self.record(member, file_checksum(self.directory / member, "sha256"))
        self._add({"path": path, "checksum": checksum, "members": list(members), "kept": kept})

    def save(self) -> None:
        """Append what is new to the folder's file."""
        with self._lock:
            if not self._unsaved:
                return
            with self._path.open("a+b") as stream:
                if stream.tell():
                    stream.seek(-1, 2)
                    if stream.read(1) != b"\n":  # a killed process's last line
                        stream.write(b"\n")
                stream.write("".join(json.dumps(line) + "\n" for line in self._unsaved).encode())
            self._unsaved.clear()

    def holds(self, path: str, checksum: str, size: int | None = None, *, reread: bool = False) -> bool:
        """Whether the file lies there whole: by its line, or, where that does not fit or on `reread`, by reading it."""
        try:
            found = (self.directory / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISREG(found.st_mode) or size not in (None, found.st_size):
            return False
        line = self._files.get(path, {})
        known = (line.get("checksum"), line.get("size"), line.get("mtime_ns"))
        if known == (checksum, found.st_size, found.st_mtime_ns) and not reread:
            return True
        if file_checksum(self.directory / path, checksum.partition(":")[0]) != checksum:
            return False
        self.record(path, checksum)
        return True

    def unpacked(self, path: str, checksum: str, *, reread: bool = False) -> bool:
        """Whether this very archive was unpacked here, and each of its files still lies there whole."""
        line = self._archives.get(path)
        if line is None or line.get("checksum") != checksum or not isinstance(line["members"], list):
            return False
        return all(
            (of := self._files.get(member)) is not None and self.holds(member, of["checksum"], reread=reread)
            for member in line["members"]
        )

    def checksums(self) -> dict[str, str]:
        """The checksum that each file had when it was verified, by its path."""
        return {path: line["checksum"] for path, line in self._files.items() if isinstance(line.get("checksum"), str)}

    def kept(self, path: str) -> bool:
        """Whether an unpacked archive was to be kept."""
        return bool(self._archives.get(path, {}).get("kept", True))
