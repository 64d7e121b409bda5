"""The header `.hea` of a WFDB record: a record line, then a line for each signal, or for each segment.

It is parsed here, because the package `wfdb` matches only the beginning of a line and drops what is not ASCII: it reads
a gain written `1,000/mV` as 1, and a unit written with the micro sign as V.
Format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ecoscale.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
BYTES_PER_SAMPLE: dict[str, float | None] = {**_BYTES, "508": None, "516": None, "524": None}
"""Bytes of a sample in each signal format that wfdb reads; None where they are compressed (FLAC)."""

_RECORD_LINE = re.compile(
    r"(?P<name>[-\w]+)(?:/(?P<segments>\d{1,15}))?\s+(?P<signals>\d{1,15})"
    r"(?:\s+(?P<rate>\d+\.?\d*|\.\d+)(?:/-?[\d.]+(?:\(-?[\d.]+\))?)?(?:\s+(?P<samples>\d{1,15})(?:\s+(?P<clock>.*))?)?)?"
)
_SEGMENT_LINE = re.compile(r"(?P<name>[-\w]+|~)\s+(?P<samples>\d{1,15})")
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
    lines = content_lines(text)
    record = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    if record is None or len(lines) < 2:
        return False
    if record["segments"]:
        return True
    words = lines[1].split()
    stored = _FORMAT_FIELD.fullmatch(words[1]) if len(words) > 1 else None
    # A table of integers has no letter in its first column.
    return bool(stored and stored["format"] in BYTES_PER_SAMPLE and re.search(r"[^\W\d]|~", words[0]))


def header_beside(path: Path) -> Path | None:
    """The header of the record to which a signal file, or a record name without suffix, belongs; None without one."""
    if not path.name:
        return None
    named, header = path.parent / f"{path.name}.hea", path.with_suffix(".hea")
    try:
        if named.is_file():
            return named
        if header.is_file() and path.name in [line.split()[0] for line in content_lines(read_text(header))[1:]]:
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
    lines = content_lines(text)
    match = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    return int(match["segments"]) if match and match["segments"] else None


def parse_master(text: str, source: str) -> Master:
    """Parse the header of a record of several segments; a `FormatError` names the line that is wrong."""
    first, *rest = content_lines(text)
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
    total = sum(n_samples for _, n_samples in segments)
    if match["samples"] and int(match["samples"]) != total:
        raise FormatError(
            f"{source}: the first line of the WFDB header states {match['samples']} samples, and its segments have "
            f"{total} together; expected as many. Is a segment missing?"
        )
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
    lines = content_lines(text)
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


def content_lines(text: str) -> list[str]:
    """The lines of a header that are neither empty nor comments."""
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
        raise wrong("the format", form or "", f"one of {', '.join(BYTES_PER_SAMPLE)}, for example '16' or '16+24'")
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
    if found is None or found["format"] not in BYTES_PER_SAMPLE:
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
