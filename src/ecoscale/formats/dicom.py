"""DICOM 12-lead, general and ambulatory ECG waveforms (PS3.3 A.34 and C.10.9)."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError, LeadError, MissingExtraError
from ecoscale.formats.leads import canonical_lead, lead_of_code, name_channels
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, refuse_record, required_millivolts
from ecoscale.formats.sampled import SampledFile, in_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

_WAVEFORM_CLASSES = b"1.2.840.10008.5.1.4.1.1.9."
_SOP_CLASS = b"\x02\x00\x02\x00UI"

# WaveformSampleInterpretation (PS3.3 C.10.9.1.5) as numpy has them.
_INTEGERS = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4", "SV": "i8", "UV": "u8"}


def is_dicom(head: bytes) -> bool:
    """Whether a file's first bytes are a DICOM preamble."""
    return head[128:132] == b"DICM"


def may_hold_waveform(head: bytes) -> bool:
    """Whether a DICOM file's first bytes name a waveform as its class; true where they name none."""
    at = head.find(_SOP_CLASS)
    return at < 0 or head[at + 8 :].startswith(_WAVEFORM_CLASSES)


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
    """Read the rhythm of a DICOM ECG: of its multiplex groups the longest original one, not the median beat.

    Raises `FormatError` for a file that is not an ECG waveform or lacks a sensitivity or unit, `LeadError` for missing
    leads, `MissingExtraError` without pydicom.
    """
    opened, number, n_groups = _open(path, source, record, rate, unit, leads)
    try:
        return opened.ecg(fewer_leads=fewer_leads, longest=longest)
    except LeadError as error:
        if n_groups == 1:
            raise
        raise LeadError(
            f"{error}. This is waveform group {number} of {n_groups}; leads of different groups are not put together, "
            "because they may have been recorded one after the other"
        ) from None


def open_dicom(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> SampledFile:
    """Open the same rhythm. The file is in memory as it is stored; its samples become numbers when they are wanted.

    Raises as `read`.
    """
    return _open(path, source, record, rate, unit, leads)[0]


def _open(
    path: Path,
    source: str,
    record: str | None,
    rate: float | None,
    unit: str | None,
    leads: Sequence[str] | None,
) -> tuple[SampledFile, int, int]:
    """The rhythm, the number of its waveform group, and how many groups there are."""
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("reading DICOM", "pydicom", "formats") from None
    refuse_record(record, source, "a DICOM file")
    try:
        dataset = pydicom.dcmread(path)
        return _rhythm_of(dataset, source, rate, unit, leads)
    except EcoscaleError:
        raise
    except Exception as error:  # pydicom lets KeyError, struct.error and others pass from damaged files
        raise FormatError(
            f"{source}: the DICOM file cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _rhythm_of(
    dataset: Any, source: str, rate: float | None, unit: str | None, given: Sequence[str] | None
) -> tuple[SampledFile, int, int]:
    groups = list(dataset.get("WaveformSequence") or [])
    if not groups:
        kind = dataset.get("SOPClassUID")
        raise FormatError(
            f"{source}: a DICOM file without WaveformSequence (its class is "
            f"{getattr(kind, 'name', kind) or 'not stated'}); expected an ECG waveform"
        )
    index = _rhythm(groups, source)
    group = groups[index]
    where = f"{source}: waveform group {index + 1} ({group.get('MultiplexGroupLabel', 'no label')})"
    channels = list(group.get("ChannelDefinitionSequence") or [])
    names, stated = zip(*(_lead(channel, source) for channel in channels), strict=True) if channels else ((), ())
    stored, missing = _stored(dataset, group, where)
    if stored.shape[1] != len(channels):
        raise FormatError(
            f"{where} holds {stored.shape[1]} channels and defines {len(channels)}; expected as many definitions"
        )
    found = name_channels(names, given, source, stated)
    rate = agreed_rate(_number(group, "SamplingFrequency", where), rate, source, "SamplingFrequency")

    wanted = [row for row, lead in enumerate(found) if lead]
    units, factors, baselines = [], [], []
    for row in wanted:
        channel, name = channels[row], names[row]
        sensitivity = _number(channel, "ChannelSensitivity", f"{where}, channel {name}")
        correction = _number(channel, "ChannelSensitivityCorrectionFactor", where, 1.0)
        symbols = channel.get("ChannelSensitivityUnitsSequence")
        if not symbols:
            raise FormatError(
                f"{where}, channel {name}: ChannelSensitivityUnitsSequence is missing; expected the unit of the "
                "samples: it is not guessed"
            )
        units.append(str(symbols[0].get("CodeValue", "")))
        millivolt = required_millivolts(units[-1], source, f"the unit of {name}")
        factors.append(sensitivity * correction * millivolt)
        # The baseline is in the sensitivity's unit (PS3.3 C.10.9.1.4.3), not in steps.
        baselines.append(_number(channel, "ChannelBaseline", where, 0.0) * millivolt)
    refuse_other_unit(units, unit, source, "ChannelSensitivityUnitsSequence")

    notes = ()
    if group.get("WaveformOriginality", "ORIGINAL") == "DERIVED":
        notes = ("derived_waveform: the file holds no original waveform; a derived one was read",)
    opened = SampledFile(
        source,
        "",
        rate,
        tuple(lead for lead in found if lead),
        stored.shape[0],
        partial(_rows, stored[:, wanted], missing, np.array(factors)[:, None], np.array(baselines)[:, None]),
        ignored=tuple(name for name, lead in zip(names, found, strict=True) if not lead),
        notes=notes,
        start=_start(dataset),
    )
    return opened, index + 1, len(groups)


def _rows(
    stored: NDArray, missing: Any, factors: NDArray, baselines: NDArray, n_samples: int, _: list[str]
) -> Iterator[NDArray[np.floating]]:
    for digital in in_pieces(stored.T, n_samples):
        rows = digital * factors + baselines
        if missing is not None:
            rows[digital == missing] = np.nan
        yield rows


def _start(dataset: Any) -> datetime | None:
    """When the acquisition began, without its time zone; None where the file does not say."""
    text = str(dataset.get("AcquisitionDateTime") or "")
    with suppress(ValueError):
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S")
    return None


def _rhythm(groups: list[Any], source: str) -> int:
    """Index of the longest original group, else of the longest derived one that is not a median beat."""

    def rank(index: int) -> tuple[bool, float, int]:
        group = groups[index]
        frequency = float(group.get("SamplingFrequency") or 0)
        duration = int(group.get("NumberOfWaveformSamples") or 0) / frequency if frequency > 0 else 0.0
        return (group.get("WaveformOriginality", "ORIGINAL") != "DERIVED", duration, -index)

    rhythm = [
        index
        for index, group in enumerate(groups)
        if not (
            group.get("WaveformOriginality") == "DERIVED"
            and any(word in str(group.get("MultiplexGroupLabel", "")).upper() for word in ("MEDIAN", "BEAT", "AVERAGE"))
        )
    ]
    if not rhythm:
        raise FormatError(f"{source}: a DICOM file with a median beat only; expected a rhythm of several seconds")
    return max(rhythm, key=rank)


def _lead(channel: Any, source: str) -> tuple[str, str | None]:
    """A channel's name as written, and its lead by code, else by name."""
    sources = channel.get("ChannelSourceSequence") or [{}]
    code, meaning = (str(sources[0].get(key) or "") for key in ("CodeValue", "CodeMeaning"))
    label = str(channel.get("ChannelLabel") or "")
    coded, named = lead_of_code(code), canonical_lead(meaning) or canonical_lead(label)
    if coded and named and coded != named:
        raise FormatError(
            f"{source}: a channel's source code {code!r} is lead {coded}, but it is called {meaning or label!r}; "
            "expected the two to agree"
        )
    return meaning or label or code, coded or named


def _stored(dataset: Any, group: Any, where: str) -> tuple[NDArray, Any]:
    """`(samples, channels)` of integers as they are stored, and the one that stands for a missing sample, if any."""
    kind, bits = str(group.get("WaveformSampleInterpretation", "")), int(group.get("WaveformBitsAllocated") or 0)
    if kind not in _INTEGERS:
        raise FormatError(
            f"{where}: WaveformSampleInterpretation is {kind or 'not stated'!r}; expected integers (SS, SL, ...), "
            "not companded audio"
        )
    if bits != 8 * int(_INTEGERS[kind][1:]):
        raise FormatError(
            f"{where}: WaveformBitsAllocated is {bits}; expected {8 * int(_INTEGERS[kind][1:])} for {kind}"
        )
    n_channels, n_samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    n_bytes = n_channels * n_samples * (bits // 8)
    data = group.WaveformData
    if not 0 < n_bytes <= len(data):
        raise FormatError(
            f"{where}: WaveformData has {len(data)} bytes; expected {n_bytes} for {n_samples} samples of {n_channels} "
            "channels"
        )
    order = ">" if dataset.original_encoding[1] is False else "<"
    stored = np.frombuffer(data, f"{order}{_INTEGERS[kind]}", count=n_channels * n_samples).reshape(-1, n_channels)
    missing = group.get("WaveformPaddingValue")
    if isinstance(missing, bytes):
        missing = np.frombuffer(missing[: bits // 8], stored.dtype)[0]
    return stored, missing


def _number(item: Any, keyword: str, where: str, default: float | None = None) -> float:
    value = item.get(keyword)
    if value is None:
        value = default
    if value is None or not math.isfinite(float(value)):
        raise FormatError(f"{where}: {keyword} is {value!r}; expected a number: it is not guessed")
    return float(value)
