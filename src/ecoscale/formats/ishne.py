"""ISHNE Holter files: a header of 522 bytes, a block of free length, then 16-bit samples of all leads in turn.

Format: Badilini F. The ISHNE Holter Standard Output File Format. Annals of Noninvasive Electrocardiology 1998;
3(3):263-266.
"""

from __future__ import annotations

import binascii
import struct
from datetime import datetime, time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, refuse_record
from ecoscale.formats.sampled import SampledFile, named_channels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


MAGIC = b"ISHNE1.0"
_FIXED_BYTES = 522
_CHECKED_FROM = 10
_MOST_LEADS = 12

# Table 1 of the paper. 0 and 1 are unknown and bipolar; 2 to 4 and 17 to 19 are X, Y, Z and ES, AS, AI.
_LEADS = dict(enumerate(LEADS, 5))
_OTHER_CODES = {0: "unknown", 1: "bipolar", 2: "X", 3: "Y", 4: "Z", 17: "ES", 18: "AS", 19: "AI"}

# What the paper proposes for a lead that failed.
_FAULT = -32768


def is_ishne(head: bytes) -> bool:
    """Whether a file's first bytes are those of an ISHNE Holter file."""
    return head.startswith(MAGIC)


def open_ishne(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> SampledFile:
    """Open an ISHNE Holter file; its samples are read when they are wanted.

    The header's number of samples is of each lead with some writers, of all leads with others; so the length of the
    file counts, and a note says where neither reading fits it.

    Raises `FormatError` for a header that cannot be, or names no lead while `leads` are not given.
    """
    refuse_record(record, source, "an ISHNE file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_FIXED_BYTES)
            if len(head) < _FIXED_BYTES:
                raise FormatError(
                    f"{source}: an ISHNE Holter file of {len(head)} bytes; expected a header of {_FIXED_BYTES}. It is "
                    "cut off: copy or download it again"
                )
            variable, stated = struct.unpack_from("<ii", head, 10)
            if not 0 <= variable <= size - _FIXED_BYTES:
                raise FormatError(
                    f"{source}: the ISHNE header states a variable block of {variable} bytes; expected at most the "
                    f"{size - _FIXED_BYTES} that follow the header"
                )
            block = file.read(variable)
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror}") from error

    (n_leads,) = struct.unpack_from("<h", head, 156)
    if not 1 <= n_leads <= _MOST_LEADS:
        raise FormatError(f"{source}: the ISHNE header states {n_leads} leads; expected 1 to {_MOST_LEADS}")
    codes = struct.unpack_from("<12h", head, 158)[:n_leads]
    resolutions = struct.unpack_from("<12h", head, 206)[:n_leads]
    (frequency,) = struct.unpack_from("<h", head, 272)
    names = [_LEADS.get(code) or f"{_OTHER_CODES.get(code, 'code')} ({code})" for code in codes]
    found = named_channels(names, leads, source)
    wanted = [row for row, lead in enumerate(found) if lead]
    for row in wanted:
        if resolutions[row] <= 0:
            raise FormatError(
                f"{source}: the resolution of {names[row]} in the ISHNE header is {resolutions[row]}; expected "
                "nanovolts a step: it is not guessed"
            )
    if wanted:
        refuse_other_unit(["nV"], unit, source, "the unit of an ISHNE file")

    offset = _FIXED_BYTES + variable
    n_samples = (size - offset) // (2 * n_leads)
    if not n_samples:
        raise FormatError(f"{source}: the ISHNE file holds no samples after its header; expected {stated}")
    notes = []
    if stated not in (n_samples, n_samples * n_leads) or (size - offset) % (2 * n_leads):
        notes.append(
            f"length: the ISHNE header states {stated} samples, and the file holds {n_samples} of each of {n_leads} "
            "leads; all that are there were read. Is the file whole?"
        )
    if _altered(head, block):
        notes.append("checksum: the ISHNE header differs from its checksum; it was altered")
    return SampledFile(
        source,
        "",
        agreed_rate(float(frequency), rate, source, "the ISHNE header's sampling rate"),
        tuple(lead for lead in found if lead),
        n_samples,
        partial(_rows, path, offset, n_leads, wanted, [resolutions[row] for row in wanted], source),
        ignored=tuple(name for name, lead in zip(names, found, strict=True) if not lead),
        notes=tuple(notes),
        start=_start(head),
    )


def _rows(
    path: Path,
    offset: int,
    n_leads: int,
    wanted: list[int],
    nanovolts: list[int],
    source: str,
    n_samples: int,
    _: list[str],
) -> Iterator[NDArray[np.floating]]:
    scale = np.array(nanovolts, dtype=np.float64)[:, None] * 1e-6
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while (data := file.read(2 * n_leads * n_samples)) and len(data) >= 2 * n_leads:
                frames = np.frombuffer(data, "<i2", count=len(data) // (2 * n_leads) * n_leads).reshape(-1, n_leads)
                digital = frames[:, wanted].T
                rows = digital * scale
                rows[digital == _FAULT] = np.nan
                yield rows
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror}") from error


def _altered(head: bytes, block: bytes) -> bool:
    """Whether the header and the variable block differ from their CRC-CCITT; 0 is what writers put who compute none.

    The paper leaves the order of its two bytes open.
    """
    stored = head[8:10]
    computed = binascii.crc_hqx(head[_CHECKED_FROM:] + block, 0xFFFF)
    return any(stored) and computed not in (int.from_bytes(stored, "little"), int.from_bytes(stored, "big"))


def _start(head: bytes) -> datetime | time | None:
    day, month, year = struct.unpack_from("<3h", head, 138)
    try:
        at = time(*struct.unpack_from("<3h", head, 150))
    except ValueError:
        return None
    try:
        return datetime(year, month, day, at.hour, at.minute, at.second)
    except ValueError:
        return at
