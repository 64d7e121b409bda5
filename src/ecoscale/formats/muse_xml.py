"""GE MUSE XML: the `RestingECG` that the MUSE system exports.

Its `Waveform` elements hold a median beat and the rhythm; each lead is Base64 of 16-bit integers, low byte first. GE
publishes no description. What is read here agrees with exports that are public (the example ECGs of BRAVEHEART,
https://github.com/BIVectors/BRAVEHEART), whose `LeadDataCRC32` is the CRC-32 of a lead's bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.documents import damage_reported, parse_xml
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_millivolts, agreed_rate, refuse_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

ROOT = "RestingECG"

_LARGEST_EXPONENT = 9


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
    """Read the rhythm of a MUSE export, never its median beat; of several rhythms the longest.

    Limb leads that MUSE does not store (III, aVR, aVL, aVF) are computed, and noted; so is a lead whose bytes differ
    from their checksum.

    Raises `FormatError` for a file without a rhythm, or whose counts, rate or unit are missing or contradict its
    samples, `LeadError` for missing leads, `MissingExtraError` without defusedxml.
    """
    refuse_record(record, source, "a MUSE file")
    with damage_reported(source, "MUSE XML"):
        waveform, notes = _rhythm(parse_xml(path, source), source)
        channels = waveform.findall("{*}LeadData")
        names = [_text(channel, "LeadID") for channel in channels]
        found = name_channels(names, leads, source)
        wanted = [
            (name, channel) for name, channel, lead in zip(names, channels, found, strict=True) if lead is not None
        ]
        rows = [_millivolts(channel, f"{source}: lead {name}", unit) for name, channel in wanted]
        _refuse_uneven(wanted, rows, source)
        notes += _notes(wanted)
        return twelve_lead_ecg(
            np.stack(rows) if rows else np.empty((0, 0)),
            [lead for lead in found if lead],
            rate=agreed_rate(_rate(waveform, source), rate, source, "SampleBase"),
            source=source,
            ignored=[name for name, lead in zip(names, found, strict=True) if not lead],
            notes=notes,
            fewer_leads=fewer_leads,
        )


def _rhythm(root: Element, source: str) -> tuple[Element, list[str]]:
    """The longest rhythm, and a note where there are others."""
    waveforms = root.findall("{*}Waveform")
    kinds = [_text(waveform, "WaveformType") for waveform in waveforms]
    rhythms = [waveform for waveform, kind in zip(waveforms, kinds, strict=True) if kind.casefold() == "rhythm"]
    if not rhythms:
        found = ", ".join(kind or "(no type)" for kind in kinds) or "none at all"
        raise FormatError(
            f"{source}: no Waveform with the WaveformType Rhythm (found {found}); expected a rhythm of several "
            "seconds: export the ECG from MUSE with its waveforms"
        )
    lengths = [len(rhythm.findtext("{*}LeadData/{*}WaveFormData") or "") for rhythm in rhythms]
    number = lengths.index(max(lengths))
    notes = [f"other_waveforms: rhythm {number + 1} of {len(rhythms)} was read"] if len(rhythms) > 1 else []
    return rhythms[number], notes


def _rate(waveform: Element, source: str) -> float | None:
    """`SampleBase` times ten to the power of `SampleExponent`; None where there is no `SampleBase`."""
    if not _text(waveform, "SampleBase"):
        return None
    exponent = _number(waveform, "SampleExponent", source, default=0.0)
    if abs(exponent) > _LARGEST_EXPONENT or exponent != int(exponent):
        raise FormatError(f"{source}: SampleExponent is {exponent:g}; expected a small whole number")
    return _number(waveform, "SampleBase", source) * 10.0 ** int(exponent)


def _millivolts(channel: Element, where: str, unit: str | None) -> NDArray[np.float64]:
    size = _number(channel, "LeadSampleSize", where, default=2.0)
    if size != 2:
        raise FormatError(f"{where}: LeadSampleSize is {size:g} bytes; expected 2")
    if offset := _number(channel, "LeadOffsetFirstSample", where, default=0.0):
        raise FormatError(
            f"{where}: LeadOffsetFirstSample is {offset:g}; expected 0: what stands before the first "
            "sample is not known"
        )
    data = _bytes(channel, where)
    for count, n_bytes in (("LeadByteCountTotal", 1), ("LeadSampleCountTotal", 2)):
        if _text(channel, count) and (stated := _number(channel, count, where)) * n_bytes != len(data):
            raise FormatError(
                f"{where}: {count} is {stated:g}, but WaveFormData holds {len(data)} bytes; expected the two to agree. "
                "Is the file whole?"
            )
    per_bit = _number(channel, "LeadAmplitudeUnitsPerBit", where)
    stated_unit = _text(channel, "LeadAmplitudeUnits") or None
    return np.frombuffer(data, "<i2") * (per_bit * agreed_millivolts(stated_unit, unit, where, "LeadAmplitudeUnits"))


def _bytes(channel: Element, where: str) -> bytes:
    text = "".join(_text(channel, "WaveFormData").split())
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{where}: WaveFormData is not Base64 ({error}). Is the file whole?") from error
    if not data or len(data) % 2:
        raise FormatError(f"{where}: WaveFormData holds {len(data)} bytes; expected samples of two bytes each")
    return data


def _refuse_uneven(wanted: list[tuple[str, Element]], rows: list[NDArray[np.float64]], source: str) -> None:
    """Leads of different lengths, or that began at different times, are not one recording."""
    if len(lengths := {len(row) for row in rows}) > 1:
        raise FormatError(
            f"{source}: leads of {min(lengths)} and of {max(lengths)} samples; expected as many in each. Is the "
            "file whole?"
        )
    starts = {_number(channel, "LeadTimeOffset", source, default=0.0) for _, channel in wanted}
    if len(starts) > 1:
        raise FormatError(
            f"{source}: LeadTimeOffset is {' and '.join(f'{start:g}' for start in sorted(starts)[:5])}; expected leads "
            "that were recorded at the same time"
        )


def _notes(wanted: list[tuple[str, Element]]) -> list[str]:
    notes = []
    altered = [name for name, channel in wanted if _is_altered(channel)]
    if altered:
        notes.append(f"checksum: {', '.join(altered)} differ from LeadDataCRC32; the file was altered")
    shifted = [name for name, channel in wanted if _text(channel, "FirstSampleBaseline") not in ("", "0")]
    if shifted:
        notes.append(
            f"not_applied: FirstSampleBaseline of {', '.join(shifted)} is not 0; what it means is not documented, and "
            "the samples were taken as they are"
        )
    return notes


def _is_altered(channel: Element) -> bool:
    stated = _text(channel, "LeadDataCRC32")
    return stated.isdecimal() and str(zlib.crc32(_bytes(channel, ""))) != str(int(stated))


def _text(element: Element, name: str) -> str:
    return (element.findtext("{*}" + name) or "").strip()


def _number(element: Element, name: str, where: str, default: float | None = None) -> float:
    text = _text(element, name)
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{where}: {name} is {text!r}; expected a number: it is not guessed")
    return value
