"""SCP-ECG: the resting ECG of a cart, in numbered sections (EN 1064:2005, ISO 11073-91064:2009).

Section 0 says where the others are, 1 when it was recorded, 2 by which Huffman codes, 3 which leads, 4 where the QRS
complexes are, 5 holds the reference beat, 6 the rhythm. Numbers are little-endian, samples counted from 1.
"""

from __future__ import annotations

import binascii
import struct
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats.leads import lead_of_code
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, refuse_record
from ecoscale.formats.sampled import SampledFile, in_pieces, named_channels
from ecoscale.formats.scp_huffman import decode_huffman, huffman_codes, undo_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_SECTION_HEADER = 16
_POINTER = 10
_RECORD_HEADER = 6
_LEAD = struct.Struct("<IIB")
_LARGEST_FILE = 2**26
"""Bytes: a section's length is far below, and a file above is something else."""


def is_scp(head: bytes) -> bool:
    """Whether a file's first bytes are those of an SCP-ECG record: section 0, whose first pointer is to itself."""
    if len(head) < _RECORD_HEADER + _SECTION_HEADER + _POINTER:
        return False
    section, length = struct.unpack_from("<HI", head, 8)
    itself = struct.unpack_from("<HII", head, _RECORD_HEADER + _SECTION_HEADER)
    return section == 0 and length > _SECTION_HEADER and (head[16:22] == b"SCPECG" or itself == (0, length, 7))


def open_scp(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> SampledFile:
    """Read an SCP-ECG record; the reference beat is added again where it was subtracted.

    Raises `FormatError` for a damaged record, for a rhythm with fewer samples between the QRS complexes than in them
    (bimodal compression), and for leads that were not recorded at the same time.
    """
    refuse_record(record, source, "an SCP-ECG file")
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise FormatError(f"{source}: an SCP-ECG file of {size} bytes; expected at most {_LARGEST_FILE}")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror}") from error
    try:
        return _opened(_Sections.of(data, source), source, rate, unit, leads)
    except EcoscaleError:
        raise
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise FormatError(f"{source}: the SCP-ECG file cannot be read ({error}). Is it whole?") from error


@dataclass(frozen=True)
class _Sections:
    """The contents of each section, without its header, and those that differ from their checksums."""

    source: str
    contents: dict[int, bytes]
    altered: tuple[str, ...]

    @classmethod
    def of(cls, data: bytes, source: str) -> _Sections:
        (stated,) = struct.unpack_from("<I", data, 2)
        if stated > len(data):
            raise FormatError(
                f"{source}: the SCP-ECG record states {stated} bytes, and the file has {len(data)}. It is cut off: "
                "copy or download it again"
            )
        (length,) = struct.unpack_from("<I", data, 10)
        if not _SECTION_HEADER + _POINTER <= length <= len(data) - _RECORD_HEADER:
            raise FormatError(
                f"{source}: section 0 of the SCP-ECG record states {length} bytes; expected at most the file's "
                f"{len(data)}"
            )
        altered = [] if _matches(data[:stated]) else ["the record"]
        contents = {}
        pointers = data[_RECORD_HEADER + _SECTION_HEADER : _RECORD_HEADER + length]
        for number, n_bytes, index in struct.iter_unpack("<HII", pointers[: len(pointers) // _POINTER * _POINTER]):
            if number not in range(1, 7) or not n_bytes:
                continue
            section = data[index - 1 : index - 1 + n_bytes] if index else b""
            if len(section) < n_bytes or n_bytes < _SECTION_HEADER:
                raise FormatError(
                    f"{source}: section {number} of the SCP-ECG record, {n_bytes} bytes at byte {index}, does not lie "
                    f"in the file of {len(data)} bytes. Is it whole?"
                )
            if struct.unpack_from("<H", section, 2) != (number,):
                raise FormatError(
                    f"{source}: section 0 points to section {number} where section "
                    f"{struct.unpack_from('<H', section, 2)[0]} begins; expected the two to agree"
                )
            if not _matches(section):
                altered.append(f"section {number}")
            contents[number] = section[_SECTION_HEADER:]
        return cls(source, contents, tuple(altered))

    def __getitem__(self, number: int) -> bytes:
        if number not in self.contents:
            what = {3: "lead definition", 4: "QRS locations", 5: "reference beat", 6: "rhythm"}[number]
            raise FormatError(f"{self.source}: the SCP-ECG record has no section {number} ({what}); expected one")
        return self.contents[number]


class _Encoded(NamedTuple):
    """Section 5 or 6: nanovolts a step, microseconds a sample, and the steps of each lead."""

    nanovolts: int
    interval: int
    steps: list[NDArray[np.int64]]


def _opened(
    sections: _Sections, source: str, rate: float | None, unit: str | None, given: Sequence[str] | None
) -> SampledFile:
    definition = sections[3]
    n_leads, flags = definition[0], definition[1]
    if len(definition) < 2 + _LEAD.size * n_leads or not n_leads:
        raise FormatError(
            f"{source}: section 3 of the SCP-ECG record states {n_leads} leads in {len(definition)} bytes; expected "
            f"{_LEAD.size} bytes a lead, and at least one"
        )
    spans = [_LEAD.unpack_from(definition, 2 + _LEAD.size * lead) for lead in range(n_leads)]
    coded = [lead_of_code(f"5.6.3-9-{code}") for _, _, code in spans]
    names = [lead or f"SCP-ECG lead {code}" for lead, (_, _, code) in zip(coded, spans, strict=True)]
    found = named_channels(names, given, source, coded)
    wanted = [row for row, lead in enumerate(found) if lead]
    times = {spans[row][:2] for row in wanted}
    if len(times) > 1:
        spelt = ", ".join(f"{names[row]} {spans[row][0]}-{spans[row][1]}" for row in wanted)
        raise FormatError(
            f"{source}: its leads are of different samples ({spelt}); expected all leads of the same time: those "
            "recorded one after the other are not put together"
        )
    for first, last, code in spans:
        if not 1 <= first <= last:
            raise FormatError(
                f"{source}: SCP-ECG lead {code} is of samples {first} to {last}; expected a first and a last one"
            )
    _refuse_decimated(sections, subtracted=bool(flags & 1))
    rhythm = _decoded(sections, 6, [last - first + 1 for first, last, _ in spans])
    rows = np.stack([rhythm.steps[row] for row in wanted]) * rhythm.nanovolts
    if flags & 1:
        rows += _reference_beats(sections, spans[wanted[0]][0], rows.shape[1], n_leads)[wanted]
    if wanted:
        refuse_other_unit(["nV"], unit, source, "the unit of an SCP-ECG file")
    notes = []
    if sections.altered:
        notes.append(f"checksum: {', '.join(sections.altered)} of the SCP-ECG file differ from the checksum stored")
    millivolts = rows * 1e-6
    return SampledFile(
        source,
        "",
        agreed_rate(1e6 / rhythm.interval, rate, source, "the rate of section 6"),
        tuple(lead for lead in found if lead),
        rows.shape[1],
        partial(_rows, millivolts),
        ignored=tuple(name for name, lead in zip(names, found, strict=True) if not lead),
        notes=tuple(notes),
        start=_start(sections.contents.get(1, b"")),
    )


def _rows(rows: NDArray[np.floating], n_samples: int, _: list[str]) -> Iterator[NDArray[np.floating]]:
    return in_pieces(rows, n_samples)


def _decoded(sections: _Sections, number: int, counts: list[int]) -> _Encoded:
    """The steps of each lead in section 5 or 6, which hold so many samples each."""
    source, section = sections.source, sections[number]
    interval = _interval(sections, number)
    nanovolts, encoding = struct.unpack_from("<H2xB", section)
    where = f"{source}: section {number} of the SCP-ECG record"
    if encoding not in (0, 1, 2):
        raise FormatError(f"{where} states difference encoding {encoding}; expected 0, 1 or 2")
    lengths = struct.unpack_from(f"<{len(counts)}H", section, 6)
    at = 6 + 2 * len(counts)
    if at + sum(lengths) > len(section):
        raise FormatError(
            f"{where} states {sum(lengths)} bytes of leads, and has {len(section) - at}. Is the file whole?"
        )
    codes = huffman_codes(sections.contents[2], source) if 2 in sections.contents else None
    steps = []
    for lead, (count, length) in enumerate(zip(counts, lengths, strict=True), 1):
        data = section[at : at + length]
        at += length
        if codes is not None:
            values = decode_huffman(data, count, codes, f"{where}, lead {lead}")
        elif length < 2 * count:
            raise FormatError(f"{where}, lead {lead}, has {length} bytes; expected {2 * count} for {count} samples")
        else:
            values = np.frombuffer(data, "<i2", count=count).astype(np.int64)
        steps.append(undo_differences(values, encoding, f"{where}, lead {lead}"))
    return _Encoded(nanovolts, interval, steps)


def _reference_beats(sections: _Sections, first: int, n_samples: int, n_leads: int) -> NDArray[np.int64]:
    """What was subtracted, `(leads, samples)` in nanovolts: the beat of section 5 wherever section 4 says.

    Beats of type 0 only. A beat lies so that its fiducial point is on that of the QRS complex.
    """
    source, located = sections.source, sections[4]
    milliseconds, fiducial, n_beats = struct.unpack_from("<HHH", located)
    interval = _interval(sections, 5)
    length = round(1000 * milliseconds / interval)
    if not 1 <= fiducial <= length:
        raise FormatError(
            f"{source}: section 4 of the SCP-ECG record states a reference beat of {milliseconds} ms with its fiducial "
            f"point at sample {fiducial}; expected one within the beat, of {length} samples"
        )
    beat = _decoded(sections, 5, [length] * n_leads)
    template = np.stack(beat.steps) * beat.nanovolts
    if len(located) < 6 + 14 * n_beats:
        raise FormatError(
            f"{source}: section 4 of the SCP-ECG record states {n_beats} QRS complexes in {len(located)} bytes; "
            "expected 14 bytes each"
        )
    added = np.zeros((n_leads, n_samples), np.int64)
    for kind, begin, centre, end in struct.iter_unpack("<HIII", located[6 : 6 + 14 * n_beats]):
        if kind != 0:
            continue
        # Sample numbers of the rhythm; the beat's first sample is `origin`.
        origin = centre - fiducial + 1
        begin, end = max(begin, first), min(end, first + n_samples - 1)
        if end < begin:
            continue
        if begin < origin or end >= origin + length:
            raise FormatError(
                f"{source}: section 4 of the SCP-ECG record subtracts samples {begin} to {end} of a beat that lies at "
                f"{origin} to {origin + length - 1}; expected a stretch within it"
            )
        added[:, begin - first : end - first + 1] += template[:, begin - origin : end - origin + 1]
    return added


def _refuse_decimated(sections: _Sections, *, subtracted: bool) -> None:
    """Raise `FormatError` for a rhythm with fewer samples between the QRS complexes than in them."""
    bimodal = sections[6][5]
    if not (bimodal or subtracted):
        return
    rhythm = _interval(sections, 6)
    beat = _interval(sections, 5) if 5 in sections.contents or subtracted else None
    if beat != rhythm:
        raise FormatError(
            f"{sections.source}: the SCP-ECG record is in bimodal compression, with a sample every {rhythm} us outside "
            f"the QRS complexes and every {beat or 'unknown'} us in them. That loses what it leaves out, and readers "
            "differ in how they fill it in, so it is not read: export it without bimodal compression, or as another "
            "format"
        )


def _interval(sections: _Sections, number: int) -> int:
    """Microseconds a sample in section 5 or 6."""
    nanovolts, interval = struct.unpack_from("<HH", sections[number])
    if not nanovolts or not interval:
        raise FormatError(
            f"{sections.source}: section {number} of the SCP-ECG record states {nanovolts} nV a step and {interval} us "
            "a sample; expected positive numbers: they are not guessed"
        )
    return interval


def _start(header: bytes) -> datetime | None:
    """Date and time of acquisition, tags 25 and 26 of section 1; None where either is missing or none."""
    tags, at = {}, 0
    while at + 3 <= len(header) and header[at] != 255:
        (length,) = struct.unpack_from("<H", header, at + 1)
        tags[header[at]] = header[at + 3 : at + 3 + length]
        at += 3 + length
    with suppress(struct.error, ValueError):
        return datetime(*struct.unpack("<HBB", tags.get(25, b"")), *struct.unpack("<BBB", tags.get(26, b"")))
    return None


def _matches(data: bytes) -> bool:
    """Whether data agrees with the CRC-CCITT in its first two bytes; 0 is what writers put who compute none."""
    (stored,) = struct.unpack_from("<H", data)
    return stored in (0, binascii.crc_hqx(data[2:], 0xFFFF))
