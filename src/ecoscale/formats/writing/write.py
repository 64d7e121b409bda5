"""`write_ecg`: the writer for a format, and files that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ecoscale.errors import FormatError
from ecoscale.formats.writing import dicom, edf, parquet, table, wfdb_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecoscale.ecg import ECG
    from ecoscale.formats.long_records import LongRecord

WritableFormat = Literal["wfdb", "csv", "dicom", "edf", "parquet"]

SUFFIXES: dict[WritableFormat, tuple[str, ...]] = {
    "wfdb": (".hea", ".dat"),
    "csv": (".csv",),
    "dicom": (".dcm",),
    "edf": (".edf",),
    "parquet": (".parquet",),
}
"""The files of a recording in each format, that which says that it is there first."""

_WRITERS: dict[WritableFormat, Callable[[ECG, Path], tuple[str, ...]]] = {
    "wfdb": wfdb_record.write,
    "csv": table.write,
    "dicom": dicom.write,
    "edf": edf.write,
    "parquet": parquet.write,
}


@dataclass(frozen=True)
class Written:
    """What was written: the files, the one to read first, and `notes` on what they do not hold as it was."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def written_format(path: str | Path) -> WritableFormat:
    """The format that a path's suffix means. Raises `FormatError` for any other suffix."""
    suffix = Path(path).suffix.lower()
    for name, (first, *_) in SUFFIXES.items():
        if suffix == first:
            return name
    known = ", ".join(first for first, *_ in SUFFIXES.values())
    raise FormatError(f"{path}: its suffix {suffix!r} is not that of a format that is written ({known}); name a format")


def write_ecg(ecg: ECG, path: str | Path, format: WritableFormat | None = None) -> Written:  # noqa: A002
    """Write one recording, over what is there; `path` is that of the header for WFDB.

    Samples of an ECG that came from integers are kept to the bit. WFDB, DICOM and EDF hold 16-bit integers: the step is
    the one that gives the samples back, else the finest that they have room for, which `Written.notes` says. Files are
    written under another name and renamed when they are whole.

    Parameters
    ----------
    ecg
        What to write; only its signal, rate, leads and (in WFDB and Parquet) notes are.
    path
        The file. Its folder is made where it does not exist.
    format
        wfdb, csv, dicom, edf or parquet; default: what the suffix of `path` says.

    Raises
    ------
    FormatError
        If the suffix or format is not known, or the format cannot state this rate.
    SignalError
        If the format has no missing samples and the ECG has, or 16 bits are not enough for its amplitude.
    MissingExtraError
        If the format's package is not installed (the extra `formats`).
    """
    path, name = _target(path, format)
    return _whole(path, name, lambda staged: _WRITERS[name](ecg, staged))


def write_long_record(record: LongRecord, path: str | Path) -> Written:
    """Write a recording that is not in memory, as WFDB, which alone is written in pieces. Errors as `write_ecg`."""
    path, _ = _target(path, "wfdb")
    return _whole(
        path,
        "wfdb",
        lambda staged: wfdb_record.write_pieces(
            staged,
            record.pieces,
            leads=record.leads,
            rate=record.rate,
            n_samples=record.n_samples,
            notes=record.notes,
            source=record.source,
        ),
    )


def _target(path: str | Path, name: WritableFormat | None) -> tuple[Path, WritableFormat]:
    path = Path(path)
    if name is None:
        name = written_format(path)
    elif name not in get_args(WritableFormat):
        raise FormatError(f"{path}: format {name!r} is not written; those that are: {', '.join(SUFFIXES)}")
    if name == "wfdb" and path.suffix != ".hea":  # a header under another suffix would be found by no reader
        path = path.with_suffix(".hea") if path.suffix == ".dat" else path.with_name(f"{path.name}.hea")
    return path, name


def _whole(path: Path, name: WritableFormat, write: Callable[[Path], tuple[str, ...]]) -> Written:
    """Let `write` write beside `path`, out of sight, and rename what it wrote: of WFDB the header last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    others = SUFFIXES[name][1:]
    files = [path, *(path.with_suffix(suffix) for suffix in others)]
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:100]}.", suffix=".partial", dir=path.parent))
    try:
        notes = write(folder / path.name)
        if others:
            path.unlink(missing_ok=True)  # a header must not be beside another record's samples
        for file in reversed(files):
            (folder / file.name).replace(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Written(tuple(files), notes)
