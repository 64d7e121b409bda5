"""WFDB records (PhysioNet): a text header `.hea` and the signal files it names, `.dat` or MATLAB 4 `.mat`.

The header is parsed here, because the package `wfdb` matches only the beginning of a line and drops what is not ASCII:
it reads a gain written `1,000/mV` as 1, and a unit written with the micro sign as V. Samples are read by `wfdb`, except
in the plain 16-bit format of nearly every ECG collection: that takes a tenth of the time, and no import of pandas.
Format: https://physionet.org/physiotools/wag/header-5.htm
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
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, required_millivolts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

# Bytes of a sample in each signal format that wfdb reads; None where they are compressed (FLAC).
_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
_FORMATS: dict[str, float | None] = {**_BYTES, "508": None, "516": None, "524": None}

_IMPORTING = Lock()

_DEFAULT_GAIN = 200.0
_MISSING_16 = -32768

_RECORD_LINE = re.compile(
    r"(?P<name>[-\w]+)(?:/(?P<segments>\d{1,15}))?\s+(?P<signals>\d{1,15})"
    r"(?:\s+(?P<rate>\d+\.?\d*|\.\d+)(?:/-?[\d.]+(?:\(-?[\d.]+\))?)?(?:\s+(?P<samples>\d{1,15})(?:\s+(?P<clock>.*))?)?)?"
)
_SEGMENT_LINE = re.compile(r"(?P<name>[-\w]+|~)\s+(?P<samples>\d{1,15})")
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d(?:\.\d{1,6})?")
_FORMAT_FIELD = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,15}))?")
_GAIN_FIELD = re.compile(
    r"(?P<gain>-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?:\((?P<baseline>-?\d{1,15})\))?(?:/(?P<unit>\S+))?"
)
_FILE_FIELD = re.compile(r"[-\w]+(?:\.\w+)?")
# ADC resolution, ADC zero, first value, checksum and block size are the numbers, and the description names the lead.
_SIGNAL_LINE = re.compile(
    r"(?P<file>\S+)(?:\s+(?P<format>\S+))?(?:\s+(?P<scale>[-\d.]\S*))?"
    r"(?P<numbers>(?:\s*-?\d{1,15}(?!\S)){0,5})\s*(?P<name>.*)"
)


class SignalLine(NamedTuple):
    """One signal of a header: where its samples lie and what they mean."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float | None
    baseline: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A parsed header. `rate` and `n_samples` are None where it does not state them."""

    record: str
    rate: float | None
    n_samples: int | None
    clock: str
    signals: tuple[SignalLine, ...]
    text: str


def is_header(text: str) -> bool:
    """Whether the text begins as a WFDB header does: a record line, then a signal or segment line."""
    lines = _lines(text)
    record = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    if record is None or len(lines) < 2:
        return False
    if record["segments"]:
        return True
    words = lines[1].split()
    stored = _FORMAT_FIELD.fullmatch(words[1]) if len(words) > 1 else None
    # A table of integers has no letter in its first column.
    return bool(stored and stored["format"] in _FORMATS and re.search(r"[^\W\d]|~", words[0]))


def header_beside(path: Path) -> Path | None:
    """The header of the record to which a signal file, or a record name without suffix, belongs; None without one."""
    if not path.name:
        return None
    named, header = path.parent / f"{path.name}.hea", path.with_suffix(".hea")
    try:
        if named.is_file():
            return named
        if header.is_file() and path.name in [line.split()[0] for line in _lines(read_text(header))[1:]]:
            return header
    except OSError:  # no permission, or a name too long: nothing that can be read is beside it
        pass
    return None


@dataclass(frozen=True)
class Master:
    """The header of a record of several segments: the name and number of samples of each."""

    record: str
    rate: float | None
    clock: str
    segments: tuple[tuple[str, int], ...]


def n_segments(text: str) -> int | None:
    """How many segments a header says that its record has; None for a header of signals."""
    lines = _lines(text)
    match = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    return int(match["segments"]) if match and match["segments"] else None


def parse_master(text: str, source: str) -> Master:
    """Parse the header of a record of several segments; a `FormatError` names the line that is wrong."""
    first, *rest = _lines(text)
    match = _RECORD_LINE.fullmatch(first)
    assert match is not None, "n_segments says whether it is such a header"
    if int(match["segments"]) != len(rest):
        raise FormatError(
            f"{source}: the first line of the WFDB header announces {match['segments']} segments, and {len(rest)} "
            "lines follow; expected as many as announced. Is the header cut off?"
        )
    segments = []
    for number, line in enumerate(rest, 1):
        found = _SEGMENT_LINE.fullmatch(line)
        if found is None:
            raise FormatError(
                f"{source}: segment {number} in the WFDB header is {line[:80]!r}; expected 'RECORD N_SAMPLES', or "
                "'~ N_SAMPLES' for a gap"
            )
        segments.append((found["name"], int(found["samples"])))
    rate = float(match["rate"]) if match["rate"] else None
    return Master(match["name"], rate, match["clock"] or "", tuple(segments))


def read_text(path: Path) -> str:
    """The text of a header, whose micro signs may be UTF-8 or Latin-1."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_header(text: str, source: str) -> Header:
    """Parse a single-segment header; a `FormatError` names the line and the field that is wrong."""
    lines = _lines(text)
    found = lines[0][:80] if lines else "nothing"
    match = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    if match is None:
        raise FormatError(
            f"{source}: the first line of the WFDB header is {found!r}; expected "
            "'RECORD N_SIGNALS RATE N_SAMPLES', for example '00001_hr 12 500 5000'"
        )
    if match["segments"]:
        raise FormatError(
            f"{source}: a WFDB record of {match['segments']} segments; expected a single segment: "
            "read the header of one segment, or all of them with ecoscale timeline"
        )
    n_signals = int(match["signals"])
    if n_signals != len(lines) - 1 or not n_signals:
        raise FormatError(
            f"{source}: the first line of the WFDB header announces {n_signals} signals, and {len(lines) - 1} signal "
            "lines follow; expected as many as announced, at least one. Is the header cut off?"
        )
    return Header(
        record=match["name"],
        rate=float(match["rate"]) if match["rate"] else None,
        n_samples=int(match["samples"]) if match["samples"] else None,
        clock=match["clock"] or "",
        signals=tuple(_signal_line(line, number, source) for number, line in enumerate(lines[1:], 1)),
        text=text,
    )


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
    try:
        text = read_text(path)
    except OSError as error:
        raise FormatError(f"{source}: the WFDB header {path} cannot be read: {error.strerror}") from error
    header = parse_header(text, source)
    if record not in (None, header.record):
        raise FormatError(f"{source}: record {record!r} was asked for; the header is that of {header.record!r}")

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
    notes = []
    if uncalibrated := [signal.name for signal in chosen if signal.gain is None]:
        notes.append(
            f"uncalibrated: the header states no gain for {', '.join(uncalibrated)}; WFDB's {_DEFAULT_GAIN:g} a unit "
            "is assumed, so amplitudes may be wrong"
        )
    for name in dict.fromkeys(signal.file for signal in signals):
        _check_signal_file(path.parent / name, name, header, source)
    return Described(
        header=header,
        wanted=tuple(wanted),
        leads=tuple(lead for lead in names if lead),
        ignored=tuple(signal.name for signal, lead in zip(signals, names, strict=True) if not lead),
        rate=frame_rate * min(per_frame),
        per_frame=min(per_frame),
        factors=tuple(factors),
        notes=tuple(notes),
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
) -> ECG:
    """Read the record of which `path` is the header, whatever the header's file is called.

    Raises `FormatError` for a header or signal file that is not as it should be, `LeadError` for missing leads.
    """
    described = describe(path, source=source, record=record, rate=rate, unit=unit, leads=leads)
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


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _signal_line(line: str, number: int, source: str) -> SignalLine:
    def wrong(field: str, found: str, expected: str) -> FormatError:
        return FormatError(
            f"{source}: {field} of signal {number} in the WFDB header is {found!r}; expected {expected}. "
            f"The line is {line[:120]!r}"
        )

    fields = _SIGNAL_LINE.fullmatch(line)
    assert fields is not None, "of a line that is not empty, only the file must be there"
    file, form, scale, numbers, name = fields.groups()
    stored = _stored(form) if form else None
    if stored is None:
        raise wrong("the format", form or "", f"one of {', '.join(_FORMATS)}, for example '16' or '16+24'")
    if not _FILE_FIELD.fullmatch(file):
        raise wrong("the signal file", file, "a file name beside the header, such as '00001_hr.dat'")
    scaling = _scaling(scale) if scale else (None, None, "mV")
    if scaling is None:
        raise wrong("the gain", scale, "GAIN(BASELINE)/UNIT, such as '1000(0)/mV'")
    gain, baseline, unit = scaling
    stated = numbers.split()
    adc_zero = int(stated[1]) if len(stated) > 1 else 0
    kind, per_frame, skew, offset = stored
    if per_frame < 1:
        raise wrong("the number of samples per frame", form or "", "at least 1")
    return SignalLine(
        file=file,
        format=kind,
        per_frame=per_frame,
        skew=skew,
        offset=offset,
        gain=gain,
        baseline=adc_zero if baseline is None else baseline,
        unit=unit,
        checksum=int(stated[3]) if len(stated) > 3 else None,
        name=name,
    )


# The two fields that are the same in all the records of a collection are parsed once.
@lru_cache(maxsize=1024)
def _stored(text: str) -> tuple[str, int, int, int] | None:
    """Format, samples per frame, skew and byte offset; None for no such field, or a format that is not known."""
    found = _FORMAT_FIELD.fullmatch(text)
    if found is None or found["format"] not in _FORMATS:
        return None
    return found["format"], int(found["frame"] or 1), int(found["skew"] or 0), int(found["offset"] or 0)


@lru_cache(maxsize=1024)
def _scaling(text: str) -> tuple[float | None, int | None, str] | None:
    """Gain and baseline, None where they are not stated, and unit; None for no such field."""
    found = _GAIN_FIELD.fullmatch(text)
    if found is None:
        return None
    gain, baseline, unit = found.group("gain", "baseline", "unit")
    return float(gain) or None, int(baseline) if baseline else None, unit or "mV"


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
    width = _FORMATS[first.format]
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
        lines = _lines(header.text)
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
