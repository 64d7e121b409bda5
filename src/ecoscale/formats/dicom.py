"""DICOM 12-lead, general and ambulatory ECG waveforms (PS3.3 A.34 and C.10.9)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError, LeadError, MissingExtraError
from ecoscale.formats.leads import canonical_lead, lead_of_code, name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, required_millivolts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

_WAVEFORM_CLASSES = b"1.2.840.10008.5.1.4.1.1.9."
_SOP_CLASS = b"\x02\x00\x02\x00UI"


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
) -> ECG:
    """Read the rhythm of a DICOM ECG: of its multiplex groups the longest original one, not the median beat.

    Raises `FormatError` for a file that is not an ECG waveform or lacks a sensitivity or unit, `LeadError` for missing
    leads, `MissingExtraError` without pydicom.
    """
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("reading DICOM", "pydicom", "formats") from None
    if record is not None:
        raise FormatError(f"{source}: record {record!r} was asked for; a DICOM file holds one recording: leave it out")
    try:
        dataset = pydicom.dcmread(path)
        return _read(dataset, source, rate, unit, leads, fewer_leads)
    except EcoscaleError:
        raise
    except Exception as error:  # pydicom lets KeyError, struct.error and others pass from damaged files
        raise FormatError(
            f"{source}: the DICOM file cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _read(
    dataset: Any,
    source: str,
    rate: float | None,
    unit: str | None,
    given: Sequence[str] | None,
    fewer_leads: bool,
) -> ECG:
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
    samples = _raw_samples(dataset, index, where)
    if samples.shape[0] != len(channels):
        raise FormatError(
            f"{where} holds {samples.shape[0]} channels and defines {len(channels)}; expected as many definitions"
        )
    found = name_channels(names, given, source, stated)
    rate = agreed_rate(_number(group, "SamplingFrequency", where), rate, source, "SamplingFrequency")

    rows, units = [], []
    for channel, name, lead, row in zip(channels, names, found, samples, strict=True):
        if lead is None:
            continue
        factors = [_number(channel, "ChannelSensitivity", f"{where}, channel {name}")]
        factors += [_number(channel, "ChannelSensitivityCorrectionFactor", where, 1.0)]
        symbols = channel.get("ChannelSensitivityUnitsSequence")
        if not symbols:
            raise FormatError(
                f"{where}, channel {name}: ChannelSensitivityUnitsSequence is missing; expected the unit of the "
                "samples: it is not guessed"
            )
        units.append(str(symbols[0].get("CodeValue", "")))
        millivolt = required_millivolts(units[-1], source, f"the unit of {name}")
        # The baseline is in the sensitivity's unit (PS3.3 C.10.9.1.4.3), not in steps.
        rows.append((row * math.prod(factors) + _number(channel, "ChannelBaseline", where, 0.0)) * millivolt)
    refuse_other_unit(units, unit, source, "ChannelSensitivityUnitsSequence")

    notes = []
    if group.get("WaveformOriginality", "ORIGINAL") == "DERIVED":
        notes.append("derived_waveform: the file holds no original waveform; a derived one was read")
    try:
        return twelve_lead_ecg(
            np.stack(rows) if rows else np.empty((0, 0)),
            [lead for lead in found if lead],
            rate=rate,
            source=source,
            ignored=[name for name, lead in zip(names, found, strict=True) if not lead],
            notes=notes,
            fewer_leads=fewer_leads,
        )
    except LeadError as error:
        if len(groups) == 1:
            raise
        raise LeadError(
            f"{error}. This is waveform group {index + 1} of {len(groups)}; leads of different groups are not put "
            "together, because they may have been recorded one after the other"
        ) from None


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


def _raw_samples(dataset: Any, index: int, where: str) -> NDArray[np.float64]:
    """`(channels, samples)` as stored, NaN where they are the padding value."""
    from pydicom.waveforms.numpy_handler import multiplex_array

    group = dataset.WaveformSequence[index]
    kind = str(group.get("WaveformSampleInterpretation", "")), group.get("WaveformBitsAllocated")
    if kind[0] not in ("SB", "UB", "SS", "US", "SL", "UL", "SV", "UV"):
        raise FormatError(
            f"{where}: WaveformSampleInterpretation is {kind[0] or 'not stated'!r}; expected integers (SS, SL, ...), "
            "not companded audio"
        )
    n_bytes = int(group.NumberOfWaveformChannels) * int(group.NumberOfWaveformSamples) * (int(kind[1] or 0) // 8)
    if not 0 < n_bytes <= len(group.WaveformData):
        raise FormatError(
            f"{where}: WaveformData has {len(group.WaveformData)} bytes; expected {n_bytes} for "
            f"{group.NumberOfWaveformSamples} samples of {group.NumberOfWaveformChannels} channels"
        )
    raw = multiplex_array(dataset, index, as_raw=True)
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes):
        padding = np.frombuffer(padding[: raw.itemsize], raw.dtype)[0]
    missing = np.zeros(raw.shape, bool) if padding is None else raw == padding
    if dataset.original_encoding[1] is False:  # pydicom takes the bytes of a big-endian file for little-endian
        raw = raw.byteswap()
    samples = raw.astype(np.float64)
    samples[missing] = np.nan
    return samples.T


def _number(item: Any, keyword: str, where: str, default: float | None = None) -> float:
    value = item.get(keyword)
    if value is None:
        value = default
    if value is None or not math.isfinite(float(value)):
        raise FormatError(f"{where}: {keyword} is {value!r}; expected a number: it is not guessed")
    return float(value)
