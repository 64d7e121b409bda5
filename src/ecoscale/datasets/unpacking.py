"""Unpacking a downloaded zip or tar: beside its place first, moved when whole, and nothing outside its folder."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

from ecoscale.datasets.archive import OWN_PREFIX, published_path
from ecoscale.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def unpack(archive: Path) -> list[str]:
    """Unpack an archive into its folder; return the paths of its files, from there, with `/`.

    They are written to a folder `.ecoscale-download-NAME` first, and moved when all of them are there, over files of
    the same name. What an archive is, is told by its content: some `.tar.gz` are plain tar.

    Raises
    ------
    DatasetError
        If it is no archive or damaged, a path or link in it leads outside its folder, or the disk lacks the room for
        what it holds; nothing of it has been moved then.
    """
    from rich.filesize import decimal

    directory = archive.parent
    beside = directory / f"{OWN_PREFIX}-{archive.name}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                needed, free = sum(member.file_size for member in file.infolist()), shutil.disk_usage(directory).free
                if needed > free:
                    raise DatasetError(f"{archive}: holds {decimal(needed)}, but {decimal(free)} are free; make room")
                for member in file.namelist():
                    published_path(member, str(archive))
                file.extractall(beside)
        else:
            with tarfile.open(archive) as file:
                file.extractall(beside, filter="data")
        members = [path for path in sorted(beside.rglob("*")) if path.is_symlink() or not path.is_dir()]
        names = [published_path(path.relative_to(beside).as_posix(), str(archive)) for path in members]
        for path, name in zip(members, names, strict=True):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    except _BROKEN as error:
        raise DatasetError(f"{archive}: cannot be unpacked ({error}); see what its publisher says of it") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return names
