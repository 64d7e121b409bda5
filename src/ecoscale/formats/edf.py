"""EDF, EDF+ and BDF, by the package `edfio`: a few data records at a time, each few a small file of their own.

Formats: https://www.edfplus.info/specs/, https://www.biosemi.com/faq/file_format.htm
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError, MissingExtraError
from ecoscale.formats.leads import canonical_lead
from ecoscale.formats.quantities import agreed_rate, millivolts, refuse_other_unit, refuse_record, required_millivolts
from ecoscale.formats.sampled import SampledFile, named_channels
from ecoscale.formats.stated import Stated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_EDF, _BDF = b"0       ", b"\xffBIOSEMI"
_HEADER_BYTES = 256
_N_RECORDS = slice(236, 244)
_ECG_LABEL = re.compile(r"\b(?:ecg|ekg)", re.IGNORECASE)


def is_edf(head: bytes) -> bool:
    """Whether a file's first bytes are an EDF or BDF header: their mark, and as many bytes as its channels need."""
    if not head.startswith((_EDF, _BDF)):
        return False
    n_bytes, n_signals = _integer(head[184:192]), _integer(head[252:256])
    return n_signals is not None and n_signals > 0 and n_bytes == _HEADER_BYTES * (n_signals + 1)


def open_edf(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> SampledFile:
    """Open an EDF or BDF file; its samples are read when they are wanted.

    Leads are found by label ("ECG I", "EKG V1", "aVR"). Where no label names one, `leads` name those with ECG or EKG in
    their label, or else all that are measured in volts, in the file's order.

    Raises `FormatError` for a damaged, unfinished or discontinuous file, leads of different rates, or labels that name
    no lead while `leads` are not given; `MissingExtraError` without edfio.
    """
    refuse_record(record, source, "an EDF file")
    file = _File.open(path, source)
    labels = [signal.label for signal in file.signals]
    chosen = _channels(file.signals, leads)
    names = [labels[index] for index in chosen]
    found = dict(zip(chosen, named_channels(names, leads, source), strict=True))
    wanted = [index for index, lead in found.items() if lead]
    signals = [file.signals[index] for index in wanted]

    per_record = {signal.samples_per_data_record for signal in signals}
    if len(per_record) > 1:
        spelt = ", ".join(f"{s.label} {s.samples_per_data_record / file.record_seconds:g} Hz" for s in signals)
        raise FormatError(
            f"{source}: its leads have different rates ({spelt}); expected one rate for all leads: resample them first"
        )
    _refuse_empty_ranges(signals, source)
    units = [signal.physical_dimension for signal in signals]
    factors = [
        required_millivolts(own, source, f"the physical dimension of {signal.label}")
        for own, signal in zip(units, signals, strict=True)
    ]
    refuse_other_unit(units, unit, source, "the physical dimension")
    (n_together,) = per_record or {1}
    return SampledFile(
        source,
        "",
        agreed_rate(n_together / file.record_seconds, rate, source, "the rate of its leads"),
        tuple(found[index] or "" for index in wanted),
        file.n_records * n_together,
        partial(_rows, file, wanted, factors, n_together),
        ignored=(*(label for index, label in enumerate(labels) if index not in wanted), *file.annotations),
        notes=file.notes,
        start=file.start,
    )


def stated(path: Path, source: str) -> Stated:
    """The channels of any EDF or BDF file, by their labels and physical dimensions; annotations are none."""
    file = _File.open(path, source)

    def rows(places: Sequence[int]) -> tuple[NDArray, Sequence[str]]:
        chosen = [file.signals[place] for place in places]
        _refuse_empty_ranges(chosen, source)
        n_together = chosen[0].samples_per_data_record
        (whole,) = _rows(file, list(places), [1.0] * len(places), n_together, file.n_records * n_together, [])
        return whole, ()

    return Stated(
        tuple(signal.label for signal in file.signals),
        tuple(signal.physical_dimension or None for signal in file.signals),
        tuple(signal.samples_per_data_record / file.record_seconds for signal in file.signals),
        tuple(signal.samples_per_data_record * file.n_records for signal in file.signals),
        rows,
        notes=file.notes,
    )


def _refuse_empty_ranges(signals: Sequence[Any], source: str) -> None:
    """Raise `FormatError` for a channel whose gain does not follow from its ranges."""
    for signal in signals:
        if signal.digital_min >= signal.digital_max or signal.physical_min == signal.physical_max:
            raise FormatError(
                f"{source}: {signal.label} is digital {signal.digital_min} to {signal.digital_max}, physical "
                f"{signal.physical_min:g} to {signal.physical_max:g} {signal.physical_dimension}; expected two "
                "different ends of each range: the gain is not guessed"
            )


def _channels(signals: Sequence[Any], leads: Sequence[str] | None) -> list[int]:
    """Which channels may be leads: all, or where labels name none and leads are given, those that these can name."""
    every = list(range(len(signals)))
    if leads is None or any(canonical_lead(signal.label) for signal in signals):
        return every
    called = [index for index in every if _ECG_LABEL.search(signals[index].label)]
    return called or [index for index in every if millivolts(signals[index].physical_dimension)]


def _rows(
    file: _File, wanted: list[int], factors: list[float], n_together: int, n_samples: int, _: list[str]
) -> Iterator[NDArray[np.floating]]:
    scale = np.array(factors)[:, None]
    for signals in file.read(max(1, n_samples // n_together)):
        yield np.stack([signals[index].data for index in wanted]) * scale


@dataclass(frozen=True)
class _File:
    """A file whose header was read and whose length is what the header says."""

    path: Path
    source: str
    header: bytes
    signals: tuple[Any, ...]
    record_bytes: int
    record_seconds: float
    n_records: int
    start: datetime | time | None
    annotations: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, source: str) -> _File:
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                fixed = file.read(_HEADER_BYTES)
                n_bytes = _integer(fixed[184:192]) or 0
                header = fixed + file.read(max(0, min(n_bytes, size) - _HEADER_BYTES))
        except OSError as error:
            raise FormatError(f"{source}: the file cannot be read: {error.strerror}") from error
        if len(header) != n_bytes:
            raise FormatError(
                f"{source}: an EDF file of {size} bytes; expected a header of {n_bytes}. It is cut off: copy or "
                "download it again"
            )
        if fixed[192:236].startswith((b"EDF+D", b"BDF+D")):
            raise FormatError(
                f"{source}: a discontinuous EDF+ file (EDF+D), with gaps between its data records; expected EDF or "
                "EDF+C: export it as continuous, or each stretch as a file of its own"
            )
        n_records, seconds = _integer(header[_N_RECORDS]), _number(header[244:252])
        if n_records is None or n_records < 1 or seconds <= 0:
            raise FormatError(
                f"{source}: the EDF header states {_text(header[_N_RECORDS])!r} data records of "
                f"{_text(header[244:252])!r} s; expected positive numbers (-1: the recording was never finished; 0 s: "
                "it holds annotations only)"
            )
        return _parsed(cls, path, source, header, size, n_records, seconds)

    def read(self, n_records: int) -> Iterator[tuple[Any, ...]]:
        """The signals of all data records, so many records at a time."""
        try:
            with self.path.open("rb") as file:
                file.seek(len(self.header))
                for first in range(0, self.n_records, n_records):
                    count = min(n_records, self.n_records - first)
                    data = file.read(count * self.record_bytes)
                    if len(data) < count * self.record_bytes:
                        raise FormatError(f"{self.source}: the file became shorter while it was read")
                    yield _of_bytes(self.header, count, data, self.source).signals
        except OSError as error:
            raise FormatError(f"{self.source}: the file cannot be read: {error.strerror}") from error


def _parsed(
    cls: type[_File], path: Path, source: str, header: bytes, size: int, n_records: int, seconds: float
) -> _File:
    edf = _of_bytes(header, 0, b"", source)
    width = 3 if header.startswith(_BDF) else 2
    try:
        # edfio leaves annotations out of `signals`, but they take room in a record.
        n_signals = len(header) // _HEADER_BYTES - 1
        at = _HEADER_BYTES + 216 * n_signals
        counts = [_integer(header[at + 8 * n : at + 8 * n + 8]) for n in range(n_signals)]
        signals = edf.signals
        for signal in signals:  # what is wrong with a field is said now, not in the middle of the file
            _ = signal.label, signal.physical_dimension, signal.physical_range, signal.digital_range
    except EcoscaleError:
        raise
    except Exception as error:
        raise _damaged(source, error) from error
    if any(count is None or count < 1 for count in counts):
        raise FormatError(
            f"{source}: the EDF header states {counts} samples of its channels in a data record; expected positive "
            "numbers"
        )
    record_bytes = width * sum(count or 0 for count in counts)
    expected = len(header) + n_records * record_bytes
    if size < expected:
        raise FormatError(
            f"{source}: the file has {size} bytes; expected {expected} for {n_records} data records of {record_bytes} "
            "bytes, as its EDF header says. It is cut off: copy or download it again"
        )
    notes = []
    if size > expected:
        notes.append(f"length: {size - expected} bytes follow the {n_records} data records of the header; left out")
    # Annotations are no signals to edfio.
    annotations = ("annotations",) * (len(counts) > len(signals))
    start = _start(header)
    return cls(path, source, header, signals, record_bytes, seconds, n_records, start, annotations, tuple(notes))


def _of_bytes(header: bytes, n_records: int, data: bytes, source: str) -> Any:
    """What edfio makes of a header and so many data records: a file of its own, never the whole."""
    try:
        import edfio
    except ImportError:
        raise MissingExtraError("reading EDF and BDF", "edfio", "formats") from None
    counted = header[: _N_RECORDS.start] + f"{n_records:<8}".encode() + header[_N_RECORDS.stop :]
    reader = edfio.read_bdf if header.startswith(_BDF) else edfio.read_edf
    try:
        header.decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    try:
        return reader(BytesIO(counted + data), header_encoding=encoding)
    except Exception as error:  # edfio lets ValueError and others pass from damaged headers
        raise _damaged(source, error) from error


def _damaged(source: str, error: Exception) -> FormatError:
    return FormatError(f"{source}: the EDF header cannot be read ({type(error).__name__}: {error}). Is it whole?")


def _start(header: bytes) -> datetime | time | None:
    """When it began; the time alone where EDF+ has an X for the date, None where the fields are not a time."""
    try:
        hour, minute, second = map(int, header[176:184].split(b"."))
        at = time(hour, minute, second)
    except ValueError:
        return None
    if header[88:168].startswith(b"Startdate X"):
        return at
    try:
        day, month, year = map(int, header[168:176].split(b"."))
        # The years of two digits are those from 1985 to 2084.
        return datetime(year + (1900 if year >= 85 else 2000), month, day, hour, minute, second)
    except ValueError:
        return at


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip()


def _number(field: bytes) -> float:
    """A finite number, or 0 for what is none."""
    try:
        value = float(field)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _integer(field: bytes) -> int | None:
    try:
        return int(field)
    except ValueError:
        return None
