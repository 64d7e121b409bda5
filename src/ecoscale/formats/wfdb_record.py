"""WFDB records (PhysioNet): a text header `.hea` and the signal files it names, `.dat` or MATLAB 4 `.mat`.

Samples are read by the package `wfdb`, except in the plain 16-bit format of nearly every ECG collection: that takes a
tenth of the time, and no import of pandas. Format: https://physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import re
import shutil
import struct
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_longer, refuse_other_unit, required_millivolts
from ecoscale.formats.stated import Stated
from ecoscale.formats.wfdb_header import BYTES_PER_SAMPLE, Header, SignalLine, content_lines, parse_header, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

_IMPORTING = Lock()

_DEFAULT_GAIN = 200.0
_MISSING_16 = -32768

# A time and date that wfdb takes.
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d(?:\.\d{1,6})?")


@dataclass(frozen=True)
class Described:
    """What a header says of the record's leads: which signals they are, their rate, and how they become mV."""

    header: Header
    wanted: tuple[int, ...]
    leads: tuple[str, ...]
    ignored: tuple[str, ...]
    rate: float
    per_frame: int
    factors: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def signals(self) -> list[SignalLine]:
        """The signals that are leads."""
        return [self.header.signals[number] for number in self.wanted]

    def in_millivolts(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Rows in the header's units."""
        return rows if set(self.factors) == {1.0} else rows * np.array(self.factors)[:, None]

    def altered(self, sums: Sequence[int]) -> list[str]:
        """The note on leads whose samples add up to something else than the header's checksum, if there are such.

        0 is what writers put who do not compute it, and a skewed signal's sum is not that of the file.
        """
        names = [
            signal.name
            for total, signal in zip(sums, self.signals, strict=True)
            if signal.checksum and not signal.skew and (total - signal.checksum) % 65536
        ]
        if not names:
            return []
        return [
            f"checksum: {', '.join(names)} differ from the header's checksum; the signal file was altered or belongs "
            "to another header"
        ]


def describe(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Described:
    """What the header at `path` says of its leads, checked, and its signal files looked at but not read.

    Raises `FormatError` for a header or signal file that is not as it should be.
    """
    header = _header(path, source, record)
    signals = header.signals
    names = name_channels([signal.name for signal in signals], leads, source)
    wanted = [number for number, lead in enumerate(names) if lead]
    chosen = [signals[number] for number in wanted]
    per_frame = {signal.per_frame for signal in chosen} or {1}
    if len(per_frame) > 1:
        spelt = ", ".join(f"{signal.name} {signal.per_frame}" for signal in chosen)
        raise FormatError(
            f"{source}: its leads differ in samples per frame ({spelt}); expected one rate for all leads: resample "
            "the record, for example with WFDB's xform"
        )
    frame_rate = agreed_rate(header.rate, None if rate is None else rate / min(per_frame), source, "the header's rate")
    factors = [
        required_millivolts(signal.unit, source, f"the unit of signal {signal.name or number}")
        for number, signal in zip(wanted, chosen, strict=True)
    ]
    refuse_other_unit([signal.unit for signal in chosen], unit, source, "the header's unit")
    _check_signal_files(path, header, source)
    return Described(
        header=header,
        wanted=tuple(wanted),
        leads=tuple(lead for lead in names if lead),
        ignored=tuple(signal.name for signal, lead in zip(signals, names, strict=True) if not lead),
        rate=frame_rate * min(per_frame),
        per_frame=min(per_frame),
        factors=tuple(factors),
        notes=_uncalibrated(chosen),
    )


def stated(path: Path, source: str, record: str | None = None) -> Stated:
    """The channels of a record of any signals, of which `path` is the header, checked as `describe` does."""
    header = _header(path, source, record)
    _check_signal_files(path, header, source)
    rates = tuple(None if header.rate is None else header.rate * signal.per_frame for signal in header.signals)

    def rows(places: Sequence[int]) -> tuple[NDArray, Sequence[str]]:
        chosen = [header.signals[place] for place in places]
        names, ones = tuple(signal.name for signal in chosen), (1.0,) * len(chosen)
        rate, per_frame = rates[places[0]] or 1.0, chosen[0].per_frame
        described = Described(header, tuple(places), names, (), rate, per_frame, ones, _uncalibrated(chosen))
        (block,) = _blocks(path, described, None, source)
        return block.rows, (*described.notes, *described.altered(block.sums))

    return Stated(
        tuple(signal.name for signal in header.signals),
        tuple(signal.unit for signal in header.signals),
        rates,
        tuple(header.n_samples and header.n_samples * signal.per_frame for signal in header.signals),
        rows,
        record=header.record,
    )


def _header(path: Path, source: str, record: str | None) -> Header:
    try:
        text = read_text(path)
    except OSError as error:
        raise FormatError(f"{source}: the WFDB header {path} cannot be read: {error.strerror}") from error
    header = parse_header(text, source)
    if record not in (None, header.record):
        raise FormatError(f"{source}: record {record!r} was asked for; the header is that of {header.record!r}")
    return header


def _check_signal_files(path: Path, header: Header, source: str) -> None:
    for name in dict.fromkeys(signal.file for signal in header.signals):
        _check_signal_file(path.parent / name, name, header, source)


def _uncalibrated(signals: Sequence[SignalLine]) -> tuple[str, ...]:
    """The note on signals whose gain is not stated, if there are such."""
    if not (names := [signal.name for signal in signals if signal.gain is None]):
        return ()
    return (
        f"uncalibrated: the header states no gain for {', '.join(names)}; WFDB's {_DEFAULT_GAIN:g} a unit is assumed, "
        "so amplitudes may be wrong",
    )


def read(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
    longest: float | None = None,
) -> ECG:
    """Read the record of which `path` is the header, whatever the header's file is called.

    Raises `FormatError` for a header or signal file that is not as it should be, `LeadError` for missing leads.
    """
    described = describe(path, source=source, record=record, rate=rate, unit=unit, leads=leads)
    refuse_longer((described.header.n_samples or 0) * described.per_frame, described.rate, longest, source)
    rows, notes = np.empty((0, 0)), list(described.notes)
    if described.wanted:
        (block,) = _blocks(path, described, None, source)
        rows = described.in_millivolts(block.rows)
        notes += described.altered(block.sums)
    return twelve_lead_ecg(
        rows,
        described.leads,
        rate=described.rate,
        source=source,
        record=described.header.record,
        ignored=described.ignored,
        notes=notes,
        fewer_leads=fewer_leads,
    )


def read_in_pieces(path: Path, described: Described, n_samples: int, remarks: list[str], source: str) -> Iterator:
    """The leads in mV, `(leads, samples)`, in pieces of about `n_samples`; then the checksum's note into `remarks`.

    The header must state how many samples there are. Raises `FormatError` where the files are not as it says.
    """
    sums = [0] * len(described.wanted)
    for block in _blocks(path, described, max(1, n_samples // described.per_frame), source):
        sums = [total + own for total, own in zip(sums, block.sums, strict=True)]
        yield described.in_millivolts(block.rows)
    remarks += described.altered(sums)


def _check_signal_file(path: Path, name: str, header: Header, source: str) -> None:
    """That a signal file is there, long enough, and laid out as the header says."""
    group = [number for number, signal in enumerate(header.signals) if signal.file == name]
    signals = [header.signals[number] for number in group]
    first = signals[0]
    if group[-1] - group[0] + 1 != len(group) or {signal.format for signal in signals} != {first.format}:
        raise FormatError(
            f"{source}: the signals of {name} are not listed one after the other in one format; expected both of a "
            "WFDB header"
        )
    try:
        status = path.stat()
    except (OSError, ValueError):  # also a name longer than the system allows
        status = None
    if status is None or not S_ISREG(status.st_mode):
        raise FormatError(f"{source}: the signal file {name}, which the WFDB header names, is not beside it")
    size = status.st_size
    stated = header.n_samples
    if stated == 0:
        raise FormatError(f"{source}: the WFDB header states 0 samples; expected their number in its first line")
    if stated is not None and any(signal.skew >= stated for signal in signals):
        raise FormatError(f"{source}: a skew in the WFDB header is as long as the record; expected a few samples")
    width = BYTES_PER_SAMPLE[first.format]
    if stated is not None and width is not None:
        needed = first.offset + int(stated * sum(signal.per_frame for signal in signals) * width)
        if size < needed:
            raise FormatError(
                f"{source}: the signal file {name} has {size} bytes; expected at least {needed} for {stated} samples "
                f"of {len(signals)} signals in format {first.format}. It is cut off: copy or download it again"
            )
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (Path.open takes twice as long)
        head = file.read(20)
    if head.startswith(b"MATLAB"):
        raise FormatError(
            f"{source}: the signal file {name} is a MATLAB 5 file; a WFDB header describes one of version 4: save it "
            "with scipy.io.savemat(..., format='4') or MATLAB's save -v4"
        )
    if path.suffix.lower() == ".mat" and first.offset and first.format == "16":
        kind, n_rows, n_columns, imaginary, name_length = struct.unpack("<5i", head.ljust(20, b"\0"))
        matrix = (kind, n_rows, imaginary, 20 + name_length)
        if matrix != (30, len(signals), 0, first.offset) or (stated is not None and n_columns != stated):
            raise FormatError(
                f"{source}: the signal file {name} is not the MATLAB 4 matrix of {len(signals)} x {stated} 16-bit "
                f"samples at byte {first.offset} that the WFDB header describes"
            )


class _Block(NamedTuple):
    """Leads `(leads, samples)` in the header's units, and the sum of each lead's stored integers."""

    rows: NDArray[np.floating]
    sums: list[int]


def _blocks(path: Path, described: Described, n_frames: int | None, source: str) -> Iterator[_Block]:
    """The leads from beginning to end in blocks of `n_frames`, or in one block."""
    header = described.header
    if header.n_samples and all((s.format, s.per_frame, s.skew) == ("16", 1, 0) for s in header.signals):
        yield from _plain_blocks(path.parent, described, n_frames or header.n_samples, source)
        return
    try:
        with _known_to_wfdb(path, header) as stem:
            if n_frames is None or not header.n_samples:
                yield _wfdb_block(stem, described)
                return
            for first in range(0, header.n_samples, n_frames):
                yield _wfdb_block(stem, described, first, min(first + n_frames, header.n_samples))
    except EcoscaleError:
        raise
    except Exception as error:  # wfdb documents no exceptions of its own and lets those of numpy and pandas pass
        raise FormatError(
            f"{source}: the signal files {', '.join(dict.fromkeys(s.file for s in header.signals))} cannot be read as "
            f"the WFDB header describes them ({type(error).__name__}: {error}). Are they whole, and of this record?"
        ) from error


@contextmanager
def _known_to_wfdb(path: Path, header: Header) -> Iterator[Path]:
    """The record's name as wfdb takes it: it opens RECORD.hea only, and refuses some dates that publishers write.

    Other headers it gets in a copy.
    """
    _wfdb()
    if path.suffix == ".hea" and (not header.clock or _CLOCK.fullmatch(header.clock)):
        yield path.with_suffix("")
        return
    with tempfile.TemporaryDirectory(prefix="ecoscale-") as folder:
        lines = content_lines(header.text)
        lines[0] = f"record {len(header.signals)} 1 {header.n_samples or ''}"
        (Path(folder) / "record.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name in {signal.file for signal in header.signals}:
            try:
                (Path(folder) / name).symlink_to((path.parent / name).resolve())
            except OSError:
                shutil.copyfile(path.parent / name, Path(folder) / name)
        yield Path(folder) / "record"


def _wfdb() -> Any:
    """The package, imported when first needed: it takes pandas and half a second with it."""
    # One thread at a time: what to warn of is set for all of them.
    with _IMPORTING:
        if "wfdb" not in sys.modules:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # wfdb 4.3.1 uses what pandas 3.1 deprecates
                import_module("wfdb")
    return sys.modules["wfdb"]


def _wfdb_block(stem: Path, described: Described, first: int = 0, last: int | None = None) -> _Block:
    channels = list(described.wanted)
    record: Any = _wfdb().rdrecord(
        str(stem), sampfrom=first, sampto=last, channels=channels, physical=False, smooth_frames=False
    )
    return _Block(np.stack(record.dac(expanded=True)), _sums(record.e_d_signal))


def _plain_blocks(folder: Path, described: Described, n_frames: int, source: str) -> Iterator[_Block]:
    """The same of a record in format 16 throughout: little-endian integers, all signals of a file in turn."""
    header, signals = described.header, described.signals
    files = [signal.file for signal in header.signals]
    total = header.n_samples or 0
    baselines = np.array([[signal.baseline] for signal in signals])
    gains = np.array([[signal.gain or _DEFAULT_GAIN] for signal in signals])
    # Quotients of numbers that float32 holds are the same when rounded once: half the work.
    exact = (np.abs(baselines) < 2**23).all() and (gains == gains.astype(np.float32)).all()
    precision = np.float32 if exact else np.float64
    for begin in range(0, total, n_frames):
        count = min(n_frames, total - begin)
        stored = {}
        try:
            for name in dict.fromkeys(signal.file for signal in signals):
                first, width = header.signals[files.index(name)], files.count(name)
                offset = first.offset + 2 * width * begin
                values = np.fromfile(folder / name, "<i2", count=count * width, offset=offset)
                stored[name] = values.reshape(count, width)
        except (OSError, ValueError) as error:
            raise FormatError(f"{source}: the signal files {', '.join(set(files))} cannot be read: {error}") from error
        if len(stored) == 1 and list(described.wanted) == list(range(len(files))):
            digital = np.ascontiguousarray(stored[files[0]].T)
        else:
            digital = np.empty((len(signals), count), np.int16)
            for row, (number, signal) in enumerate(zip(described.wanted, signals, strict=True)):
                digital[row] = stored[signal.file][:, number - files.index(signal.file)]
        # In place: as one operation, subtracting integers from integers into floats takes twice as long.
        rows = digital.astype(precision)
        if baselines.any():
            rows -= baselines.astype(precision)
        rows /= gains.astype(precision)
        if digital.min() == _MISSING_16:
            rows[digital == _MISSING_16] = np.nan
        yield _Block(rows, _sums(digital))


def _sums(digital: Sequence[NDArray[np.integer]] | NDArray[np.integer]) -> list[int]:
    # They may overflow: a checksum counts modulo 65,536.
    if isinstance(digital, np.ndarray):
        return digital.sum(axis=1, dtype=digital.dtype).tolist()
    return [int(samples.sum(dtype=samples.dtype)) for samples in digital]
