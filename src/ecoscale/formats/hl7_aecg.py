"""HL7 annotated ECG (aECG): ANSI/HL7 V3 ECG R1-2004, read as its implementation guide of 21 March 2005 describes it.

An `AnnotatedECG` holds series; a series sequence sets; a set one sequence of times and a sequence of voltages a lead,
`origin + scale * digit`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import FormatError, LeadError
from ecoscale.formats.documents import damage_reported, parse_numbers, parse_xml
from ecoscale.formats.leads import canonical_lead, name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_millivolts, agreed_rate, rate_of_interval, refuse_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from ecoscale.ecg import ECG

ROOT = "AnnotatedECG"

_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


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
    """Read the rhythm of an aECG: of its rhythm series' sequence sets the one with most leads, then the longest.

    Representative beats are never read. What other sets hold is noted, and not put together with this one: they may
    have been recorded one after the other.

    Raises `FormatError` for a file that is not as the standard says or does not state its increment or unit,
    `LeadError` for missing leads, `MissingExtraError` without defusedxml.
    """
    refuse_record(record, source, "an aECG file")
    with damage_reported(source, "aECG"):
        sets = _rhythm_sets(parse_xml(path, source), source)
        best = max(sets, key=lambda each: (each.n_leads, each.n_characters))
        notes = []
        if len(sets) > 1:
            notes.append(f"other_sequences: {best.name} was read, of the {len(sets)} in the file")
        try:
            return _read_set(best, source, rate, unit, leads, fewer_leads, notes)
        except LeadError as error:
            if len(sets) == 1:
                raise
            raise LeadError(
                f"{error}. This is {best.name} of {len(sets)}; leads of different sets are not put together, because "
                "they may have been recorded one after the other"
            ) from None


@dataclass(frozen=True, eq=False)
class _SequenceSet:
    """A sequence set of a rhythm series: where it stands, its times, and its other sequences by their code."""

    name: str
    times: list[Element]
    sequences: list[tuple[str, Element]]

    @property
    def n_leads(self) -> int:
        return len({canonical_lead(code) for code, _ in self.sequences} - {None})

    @property
    def n_characters(self) -> int:
        return max((len(_digits(sequence)) for _, sequence in self.sequences), default=0)


def _rhythm_sets(root: Element, source: str) -> list[_SequenceSet]:
    series = root.findall("{*}component/{*}series")
    codes = [_attribute(each.find("{*}code"), "code") for each in series]
    rhythm = [each for each, code in zip(series, codes, strict=True) if code.upper() == "RHYTHM"]
    if not rhythm:
        found = ", ".join(sorted({code or "(no code)" for code in codes})) or "none at all"
        raise FormatError(
            f"{source}: no series with the code RHYTHM (found {found}); expected a rhythm of several seconds"
        )
    sets = []
    for number, each in enumerate(rhythm, 1):
        for index, found in enumerate(each.findall("{*}component/{*}sequenceSet"), 1):
            coded = [
                (_attribute(sequence.find("{*}code"), "code"), sequence)
                for sequence in found.findall("{*}component/{*}sequence")
            ]
            times = [sequence for code, sequence in coded if code.upper().startswith("TIME_")]
            others = [(code, sequence) for code, sequence in coded if not code.upper().startswith("TIME_")]
            if others:
                sets.append(_SequenceSet(f"sequence set {index} of rhythm series {number}", times, others))
    if not sets:
        raise FormatError(
            f"{source}: the rhythm series holds no sequence of samples; expected a sequenceSet with leads"
        )
    return sets


def _read_set(
    chosen: _SequenceSet,
    source: str,
    rate: float | None,
    unit: str | None,
    given: Sequence[str] | None,
    fewer_leads: bool,
    notes: list[str],
) -> ECG:
    where = f"{source}: {chosen.name}"
    codes = [code for code, _ in chosen.sequences]
    found = name_channels(codes, given, source)
    rows = [
        _millivolts(sequence, f"{where}, {code}", unit)
        for lead, (code, sequence) in zip(found, chosen.sequences, strict=True)
        if lead
    ]
    if len(lengths := {len(row) for row in rows}) > 1:
        raise FormatError(
            f"{where} has leads of {min(lengths)} and of {max(lengths)} samples; expected as many in each. Is the file "
            "whole?"
        )
    return twelve_lead_ecg(
        np.stack(rows) if rows else np.empty((0, 0)),
        [lead for lead in found if lead],
        rate=agreed_rate(_rate(chosen, where), rate, where, "the increment of its times"),
        source=source,
        ignored=[code for code, lead in zip(codes, found, strict=True) if not lead],
        notes=notes,
        fewer_leads=fewer_leads,
    )


def _rate(chosen: _SequenceSet, where: str) -> float | None:
    increments = [time.find("{*}value/{*}increment") for time in chosen.times]
    rates = {
        rate_of_interval(
            _number(each, where, "increment"), _attribute(each, "unit"), where, "the increment of its times"
        )
        for each in increments
        if each is not None
    }
    if len(rates) > 1:
        raise FormatError(
            f"{where} states the rates {' and '.join(f'{rate:g}' for rate in sorted(rates))} Hz; expected one"
        )
    return rates.pop() if rates else None


def _millivolts(sequence: Element, where: str, unit: str | None) -> np.ndarray:
    value = sequence.find("{*}value")
    kind = _attribute(value, _TYPE).rpartition(":")[2]
    if value is None or kind not in ("SLIST_PQ", ""):
        raise FormatError(
            f"{where}: its value is of the type {kind or 'none'!r}; expected SLIST_PQ, a list of voltages"
        )
    scale, origin = value.find("{*}scale"), value.find("{*}origin")
    samples = parse_numbers(_digits(sequence), where, "digits")
    if not len(samples):
        raise FormatError(f"{where}: digits is empty; expected the samples. Is the file whole?")
    stated = _attribute(scale, "unit") or None
    factor = agreed_millivolts(stated, unit, where, "the unit of scale")
    zero = 0.0
    if origin is not None and (value_of_origin := _number(origin, where, "origin")):
        zero = value_of_origin * agreed_millivolts(
            _attribute(origin, "unit") or None, unit, where, "the unit of origin"
        )
    return samples * (_number(scale, where, "scale") * factor) + zero


def _digits(sequence: Element) -> str:
    return sequence.findtext("{*}value/{*}digits") or ""


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else (element.get(name) or "").strip()


def _number(element: Element | None, where: str, field: str) -> float:
    text = _attribute(element, "value")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{where}: the value of {field} is {text!r}; expected a number: it is not guessed")
    return value
