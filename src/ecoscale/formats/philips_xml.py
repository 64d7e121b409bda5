"""Philips ECG XML: the `restingecgdata` of PageWriter carts, TraceMaster and IntelliSpace ECG (schemas 1.03 and 1.04).

Samples lie in `parsedwaveforms`, by the schema in microvolts: as Base64 or plain digits, and mostly compressed by
Philips' own XLI, which the package `sierraecg` decodes (https://github.com/sixlettervariables/sierra-ecg-tools). XLI
stores III and the augmented leads as what they differ by from what I and II make of them.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError, MissingExtraError
from ecoscale.formats.documents import damage_reported, parse_numbers, parse_xml
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, refuse_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

ROOT = "restingecgdata"

VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")

LONGEST_SECONDS = 600.0
"""Longer ones are refused: a few compressed bytes may claim any length, and no cart records as long."""

_TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_TWELVE_BY_NAME = ("STD-12", "10-WIRE")
_XLI_HEADER = 8
_XLI_BITS = 10
_SURPLUS_SECONDS = 2.0

# A calibration pulse is 1 mV in every lead at once, which no heart makes: III would be 0 where I and II are 1 mV.
_PULSE_MILLIVOLT = 1.0
_PULSE_TOLERANCE = 0.05
_PULSE_SECONDS = 0.1
_REST_MILLIVOLT = 0.025
_TAIL_SECONDS = 1.5


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
    """Read the rhythm of a Philips file, never its representative beats.

    Some carts append a calibration pulse to every lead, and no field says so. It is told by its samples, which are
    alike in all leads, cut off with the rest before and after it, and noted.

    Raises `FormatError` for another version of the schema, an unknown compression, or samples that are not as many as
    stated, `LeadError` for missing leads, `MissingExtraError` without defusedxml or sierraecg.
    """
    refuse_record(record, source, "a Philips file")
    with damage_reported(source, "Philips XML"):
        root = parse_xml(path, source)
        _refuse_other_version(root, source)
        waveforms = root.find("{*}waveforms/{*}parsedwaveforms")
        if waveforms is None:
            raise FormatError(f"{source}: no parsedwaveforms; expected samples: export the ECG with its waveforms")
        acquired = root.find("{*}dataacquisition/{*}signalcharacteristics")
        stated = _Stated(waveforms, acquired, source)
        names = _names(stated, source)
        found = name_channels(names, leads, source)
        sampling = agreed_rate(stated.number("samplespersecond", "samplingrate"), rate, source, "samplingrate")
        n_samples = _n_samples(stated, sampling, source)
        samples, notes = _samples(waveforms, stated, names, n_samples, sampling, source)
        resolution = stated.number("resolution", "signalresolution")
        if resolution is None or resolution <= 0:
            raise FormatError(
                f"{source}: resolution is {resolution}; expected the microvolts of one step: it is not guessed"
            )
        refuse_other_unit(["uV"], unit, source, "the schema's unit")
        zero = stated.number("signaloffset") or 0.0
        wanted = [row for row, lead in enumerate(found) if lead]
        signal = (samples[wanted] - zero) * (resolution / 1000)
        signal, cut = _without_calibration(signal, sampling)
        return twelve_lead_ecg(
            signal,
            [lead for lead in found if lead],
            rate=sampling,
            source=source,
            ignored=[name for name, lead in zip(names, found, strict=True) if not lead],
            notes=[*notes, *cut],
            fewer_leads=fewer_leads,
        )


class _Stated:
    """What is said of the samples: by `parsedwaveforms`, which may have been changed since, else as acquired."""

    def __init__(self, waveforms: Element, acquired: Element | None, source: str) -> None:
        self._waveforms, self._acquired, self._source = waveforms, acquired, source

    def text(self, *names: str) -> str:
        """The first of these that is there; empty where none is."""
        for name in names:
            if text := (self._waveforms.get(name) or "").strip():
                return text
        for name in names:
            element = None if self._acquired is None else self._acquired.find("{*}" + name)
            if element is not None and (text := (element.text or "").strip()):
                return text
        return ""

    def number(self, *names: str) -> float | None:
        """The same as a number; None where none is there."""
        text = self.text(*names)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FormatError(f"{self._source}: {names[0]} is {text!r}; expected a number")
        return value


def _refuse_other_version(root: Element, source: str) -> None:
    kind, version = (
        (root.findtext(f"{{*}}documentinfo/{{*}}{name}") or "").strip() for name in ("documenttype", "documentversion")
    )
    if version not in VERSIONS:
        raise FormatError(
            f"{source}: a {kind or 'Philips'} document of version {version or '(none)'}; expected "
            f"{', '.join(VERSIONS)}: export it as one of these, or as DICOM"
        )


def _names(stated: _Stated, source: str) -> list[str]:
    """The leads in the file's order: `leadlabels`, or in version 1.03 those that the acquisition is named after."""
    labels = stated.text("leadlabels").split()
    count = stated.number("numberofleads")
    if labels:
        if count is not None and not 0 < count <= len(labels):
            raise FormatError(
                f"{source}: numberofleads is {count:g} and leadlabels names {len(labels)}; expected as many"
            )
        return labels[: int(count)] if count is not None else labels
    acquisition, count = stated.text("acquisitiontype", "leadset"), stated.number("numberchannelsallocated")
    if acquisition not in _TWELVE_BY_NAME or count != len(_TWELVE):
        raise FormatError(
            f"{source}: no leadlabels, and {count or 0:g} channels of the acquisitiontype {acquisition or '(none)'}; "
            f"expected leadlabels, or 12 of {' or '.join(_TWELVE_BY_NAME)}: an order of leads is not guessed"
        )
    return list(_TWELVE)


def _n_samples(stated: _Stated, rate: float, source: str) -> int:
    duration = stated.number("durationperchannel")
    if duration is None or not 0 < duration <= 1000 * LONGEST_SECONDS:
        raise FormatError(
            f"{source}: durationperchannel is {stated.text('durationperchannel')!r}; expected milliseconds, at most "
            f"{1000 * LONGEST_SECONDS:g}"
        )
    if rate > 1e5:
        raise FormatError(f"{source}: samplingrate is {rate:g} Hz; expected that of an ECG")
    return max(1, int(duration * rate / 1000))


def _samples(
    waveforms: Element, stated: _Stated, names: list[str], n_samples: int, rate: float, source: str
) -> tuple[NDArray[np.float64], list[str]]:
    """`(leads, samples)` in steps, and the note on samples beyond those stated."""
    encoding, compression = stated.text("dataencoding"), stated.text("compression", "compressmethod")
    if not compression and stated.text("compressflag").casefold() == "true":
        compression = "not named"
    text = waveforms.text or ""
    if encoding == "Plain" and compression in ("", "Uncompressed"):
        values = parse_numbers(text, source, "parsedwaveforms")
    elif encoding == "Base64" and compression in ("", "Uncompressed"):
        _refuse_other_width(stated, source)
        data = _bytes(text, source)
        values = np.frombuffer(data[: len(data) - len(data) % 2], "<i2").astype(np.float64)
    elif encoding == "Base64" and compression == "XLI":
        _refuse_other_width(stated, source)
        rows = _decompressed(_bytes(text, source), names, n_samples, n_samples + round(_SURPLUS_SECONDS * rate), source)
        surplus = min(len(row) for row in rows) - n_samples
        notes = [f"surplus_samples: the last {surplus / rate:g} s, beyond the durationperchannel, were left out"]
        stacked = np.stack([row[:n_samples] for row in rows]).astype(np.float64)
        return _without_residuals(names, stacked, source), notes if surplus > 1 else []
    else:
        raise FormatError(
            f"{source}: parsedwaveforms has the encoding {encoding or '(none)'!r} and the compression "
            f"{compression or '(none)'!r}; expected Base64 with XLI or none, or Plain: export it as DICOM"
        )
    if len(values) != n_samples * len(names):
        raise FormatError(
            f"{source}: parsedwaveforms holds {len(values)} samples; expected {n_samples} of {len(names)} leads. "
            "Is the file whole?"
        )
    return values.reshape(len(names), n_samples), []


def _refuse_other_width(stated: _Stated, source: str) -> None:
    bits, signed = stated.number("bitspersample", "nbitspersample"), stated.text("signalsigned")
    if bits not in (None, 16) or signed.casefold() == "false":
        raise FormatError(
            f"{source}: samples of {bits or 16:g} bits, signed {signed or 'not stated'}; expected 16 bits, signed: "
            "export it as DICOM"
        )


def _bytes(text: str, source: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{source}: parsedwaveforms is not Base64 ({error}). Is the file whole?") from error


def _decompressed(data: bytes, names: list[str], n_samples: int, most: int, source: str) -> list[NDArray[np.int16]]:
    """Each lead's chunk: its size (4 bytes), 2 bytes unknown, its first difference (2 bytes), then LZW codes."""
    try:
        from sierraecg.lzw import LzwDecoder
        from sierraecg.xli import xli_decode_deltas
    except ImportError:
        raise MissingExtraError("reading compressed Philips XML", "sierraecg", "formats") from None
    rows, at = [], 0
    for name in names:
        size = int.from_bytes(data[at : at + 4], "little", signed=True)
        left = max(0, len(data) - at - _XLI_HEADER)
        if not 0 < size <= left:
            raise FormatError(
                f"{source}: lead {name} claims {size} compressed bytes of the {left} that are left. Is the file whole?"
            )
        first = int.from_bytes(data[at + 6 : at + _XLI_HEADER], "little", signed=True)
        at += _XLI_HEADER
        decoder = LzwDecoder(data[at : at + size], bits=_XLI_BITS)
        at += size
        # A code may stand for 767 bytes: no more are decoded than can be meant.
        decoded: list[int] = []
        while len(decoded) <= 2 * most and (byte := decoder.read()) >= 0:
            decoded.append(byte)
        if not 2 * n_samples <= len(decoded) <= 2 * most:
            found = f"{len(decoded) // 2} samples" if len(decoded) < 2 * n_samples else f"more than {most} samples"
            raise FormatError(
                f"{source}: lead {name} decompresses to {found}; expected the {n_samples} that durationperchannel "
                "states. Is the file whole?"
            )
        rows.append(xli_decode_deltas(decoded + [0] * (len(decoded) % 2), first))
    return rows


def _without_residuals(names: list[str], rows: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """III, aVR, aVL and aVF from what they differ by from I and II (rounded down, as the carts do)."""
    at = {name: row for row, name in enumerate(names)}
    derived = _TWELVE[2:6]
    if not any(name in at for name in derived):
        return rows
    if missing := [name for name in _TWELVE[:6] if name not in at]:
        raise FormatError(
            f"{source}: compressed {', '.join(name for name in derived if name in at)} without {', '.join(missing)}; "
            "expected all six limb leads, of which the last four are stored as differences"
        )
    i, ii = rows[at["I"]], rows[at["II"]]
    iii = ii - i - rows[at["III"]]
    rows[at["III"]] = iii
    rows[at["aVR"]] = -rows[at["aVR"]] - np.floor((i + ii) / 2)
    rows[at["aVL"]] = np.floor((i - iii) / 2) - rows[at["aVL"]]
    rows[at["aVF"]] = np.floor((ii + iii) / 2) - rows[at["aVF"]]
    return rows


def _without_calibration(signal: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], list[str]]:
    """The signal in mV before a calibration pulse at its end, and the note on what was cut."""
    n_samples = signal.shape[1]
    first = max(0, n_samples - round(_TAIL_SECONDS * rate))
    tail = signal[:, first:]
    if len(signal) < 3 or not np.isfinite(tail).all():
        return signal, []
    pulse = np.all(np.abs(tail - _PULSE_MILLIVOLT) <= _PULSE_TOLERANCE, axis=0)
    rest: NDArray[np.bool_] = np.all(np.abs(tail) <= _REST_MILLIVOLT, axis=0)
    at = np.flatnonzero(pulse)
    # One run of the pulse, with nothing after it but rest.
    if len(at) < _PULSE_SECONDS * rate or at[-1] - at[0] != len(at) - 1 or not rest[at[-1] + 2 :].all():
        return signal, []
    before = np.flatnonzero(~rest[: at[0]])
    start = first + (before[-1] + 1 if len(before) else 0)
    if start == 0:
        return signal, []
    cut = n_samples - start
    return signal[:, :start], [
        f"calibration_pulse: the last {cut / rate:g} s were cut off: they are 1 mV in every lead at "
        "once, and no heartbeat"
    ]
