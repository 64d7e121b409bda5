"""FHIR `Observation` (R4, R5) with a lead in each `component`, as `valueSampledData`, in JSON.

Also one in a `Bundle`, or among what a resource `contained`. https://hl7.org/fhir/R5/datatypes.html#SampledData:
a sample is `origin + factor * data`, and E, U and L in the data are an error and values above and below the limits.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.documents import damage_reported, holds_keys, parse_json, parse_numbers
from ecoscale.formats.leads import canonical_lead, lead_of_code, name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_millivolts, agreed_rate, rate_of_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

_RESOURCE = re.compile(rb'"resourceType"\s*:\s*"')

# ISO/IEEE 11073-10101 counts leads from 131072 (MDC_ECG_LEAD) and potentials from 131328 (MDC_ECG_ELEC_POTL), in the
# same order; FHIR names its codes by either system.
_MDC_SYSTEMS = ("urn:iso:std:iso:11073:10101", "urn:oid:2.16.840.1.113883.6.24")
_MDC_LEAD, _MDC_POTENTIAL, _MDC_END = 131072, 131328, 131584
_POTENTIAL = re.compile(r"(?i)MDC_ECG_ELEC_POTL_")

_LARGEST_DEPTH = 8


def is_fhir(head: bytes) -> bool:
    """Whether JSON names a FHIR resource in a file's first bytes."""
    return bool(_RESOURCE.search(head))


def may_hold_signal(path: Path) -> bool:
    """Whether a file of FHIR resources holds SampledData."""
    return holds_keys(path, "valueSampledData")


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
    """Read the Observation that holds an ECG; `record` is the `id` of one where a file holds several.

    Raises `FormatError` for a file without one, or whose SampledData lacks its interval or unit or contradicts itself,
    `LeadError` for missing leads.
    """
    with damage_reported(source, "FHIR resource"):
        observation = _chosen(list(_observations(parse_json(path, source))), record, source)
        components = _components(observation)
        names, stated = zip(*(_lead(component, source) for component in components), strict=True)
        found = name_channels(names, leads, source, stated)
        wanted = [
            (name, lead, component["valueSampledData"])
            for name, lead, component in zip(names, found, components, strict=True)
            if lead
        ]
        rows, notes = [], []
        for name, _, sampled in wanted:
            row, note = _millivolts(sampled, f"{source}: component {name}", unit)
            rows.append(row)
            notes += note
        if len(lengths := {len(row) for row in rows}) > 1:
            raise FormatError(
                f"{source}: leads of {min(lengths)} and of {max(lengths)} samples; expected as many in each"
            )
        return twelve_lead_ecg(
            np.stack(rows) if rows else np.empty((0, 0)),
            [lead for _, lead, _ in wanted],
            rate=agreed_rate(_rate([each for *_, each in wanted], source), rate, source, "the interval of its samples"),
            source=source,
            record=record or "",
            ignored=[name for name, lead in zip(names, found, strict=True) if not lead],
            notes=notes,
            fewer_leads=fewer_leads,
        )


def _observations(resource: Any, depth: int = 0) -> Iterator[dict]:
    """The Observations with SampledData in a resource, in its entries and in what it contains."""
    if not isinstance(resource, dict) or depth > _LARGEST_DEPTH:
        return
    if resource.get("resourceType") == "Observation" and _components(resource):
        yield resource
    for entry in resource.get("entry") or []:
        yield from _observations(entry.get("resource"), depth + 1)
    for contained in resource.get("contained") or []:
        yield from _observations(contained, depth + 1)


def _components(observation: dict) -> list[dict]:
    parts = [*(observation.get("component") or []), observation]
    return [part for part in parts if isinstance(part.get("valueSampledData"), dict)]


def _chosen(observations: list[dict], record: str | None, source: str) -> dict:
    if not observations:
        raise FormatError(
            f"{source}: a FHIR resource without valueSampledData; expected an Observation with a lead in each component"
        )
    ids = [str(each.get("id") or "(no id)") for each in observations]
    if record is not None:
        observations = [each for each, name in zip(observations, ids, strict=True) if name == record]
    if len(observations) != 1:
        asked = f"record {record!r} is {len(observations)} of them" if record is not None else "one is read at a time"
        raise FormatError(
            f"{source}: holds Observations {', '.join(ids[:10])} with SampledData; {asked}: give the id of "
            "one as record"
        )
    return observations[0]


def _lead(component: dict, source: str) -> tuple[str, str | None]:
    """A component's name as written, and its lead by code, else by name."""
    code = component.get("code") or {}
    codings = code.get("coding") or []
    texts = [str(code.get("text") or "")] + [str(each.get("display") or each.get("code") or "") for each in codings]
    name = next((text for text in texts if text), "")
    coded = {lead for each in codings if (lead := _lead_of_coding(each))}
    named = {lead for text in texts if (lead := canonical_lead(_POTENTIAL.sub("", text, count=1)))}
    if len(coded | named) > 1:
        raise FormatError(
            f"{source}: a component is coded as lead {', '.join(sorted(coded)) or '(none)'} and called {name!r}; "
            "expected the two to agree"
        )
    return name, next(iter(coded | named), None)


def _lead_of_coding(coding: dict) -> str | None:
    code = str(coding.get("code") or "")
    if coding.get("system") not in _MDC_SYSTEMS or not re.fullmatch("[0-9]{6}", code):
        return None
    number = int(code)
    if not _MDC_LEAD <= number < _MDC_END:
        return None
    return lead_of_code(f"2:{number - (_MDC_POTENTIAL if number >= _MDC_POTENTIAL else _MDC_LEAD)}")


def _rate(sampled: list[dict], source: str) -> float | None:
    """By `interval` and `intervalUnit` (R5), or `period` in milliseconds (R4)."""
    field = "the interval of its samples"
    rates = set()
    for each in sampled:
        if each.get("interval") is not None:
            rates.add(rate_of_interval(_number(each, "interval", source), str(each.get("intervalUnit")), source, field))
        elif each.get("period") is not None:
            rates.add(rate_of_interval(_number(each, "period", source), "ms", source, field))
    if len(rates) > 1:
        raise FormatError(
            f"{source}: leads at {' and '.join(f'{rate:g}' for rate in sorted(rates))} Hz; expected one rate"
        )
    return rates.pop() if rates else None


def _millivolts(sampled: dict, where: str, unit: str | None) -> tuple[NDArray[np.float64], list[str]]:
    if (dimensions := sampled.get("dimensions", 1)) != 1:
        raise FormatError(f"{where}: dimensions is {dimensions!r}; expected 1, a lead in each component")
    for field in ("codeMap", "offsets"):
        if sampled.get(field):
            raise FormatError(f"{where}: has {field}; expected samples at even intervals, as decimals")
    origin = sampled.get("origin") or {}
    stated = origin.get("unit") or origin.get("code")
    factor = agreed_millivolts(None if stated is None else str(stated), unit, where, "the unit of origin")
    scale = _number(sampled, "factor", where, 1.0)
    text = str(sampled.get("data") or "")
    samples = parse_numbers(re.sub(r"\b[EUL]\b", "nan", text), where, "data")
    if not len(samples):
        raise FormatError(f"{where}: data is empty; expected the samples")
    beyond = len(re.findall(r"\b[UL]\b", text))
    notes = (
        [f"out_of_range: {where.rpartition(' ')[2]} has {beyond} samples beyond its limits (U, L)"] if beyond else []
    )
    return (samples * scale + _number(origin, "value", where, 0.0)) * factor, notes


def _number(item: dict, field: str, where: str, default: float | None = None) -> float:
    value = item.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FormatError(f"{where}: {field} is {value!r}; expected a number")
    return float(value)
