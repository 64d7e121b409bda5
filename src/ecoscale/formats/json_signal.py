"""JSON of one recording: `{"signal": [[...], ...], "rate": 500, "unit": "mV", "leads": ["I", ...]}`.

`signal` is `(leads, samples)` or `(samples, leads)`, which the number of leads decides, or an object of arrays by lead;
`null` is a missing sample. A bare array is read too. What the file does not state, the caller must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.arrays import bare_array, bare_ecg, require
from ecoscale.formats.documents import damage_reported, holds_keys, parse_json
from ecoscale.formats.leads import name_channels, twelve_lead_ecg
from ecoscale.formats.quantities import agreed_millivolts, agreed_rate, refuse_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

KEYS = ("signal", "rate", "unit", "leads", "record")


def may_hold_signal(path: Path) -> bool:
    """Whether a JSON file has the keys of a recording that states what reading it needs."""
    return holds_keys(path, *KEYS[:3])


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
    """Read a recording, or an array of which `rate`, `unit` and `leads` say what it is.

    Raises `FormatError` for other JSON, for arrays of unequal length, or where something is neither stated nor given;
    `LeadError` for missing leads.
    """
    refuse_record(record, source)
    with damage_reported(source, "JSON"):
        found = parse_json(path, source)
        stated = found if isinstance(found, dict) else {"signal": found}
        unknown = [str(key) for key in stated if key not in KEYS]
        if "signal" not in stated or unknown:
            has = f"has {', '.join(unknown[:5])}" if "signal" in stated else "has no signal"
            raise FormatError(
                f"{source}: the JSON {has}; expected an object of {', '.join(KEYS[:4])} (and record), or an "
                "Observation of FHIR"
            )
        return _ecg(stated, source, rate, unit, leads, fewer_leads)


def _ecg(
    stated: dict[str, Any],
    source: str,
    rate: float | None,
    unit: str | None,
    leads: Sequence[str] | None,
    fewer_leads: bool,
) -> ECG:
    signal, names = stated["signal"], stated.get("leads")
    if isinstance(signal, dict):
        if names is not None:
            raise FormatError(f"{source}: signal names its leads and so does leads; expected one of the two")
        signal, names = list(signal.values()), list(signal)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise FormatError(f"{source}: leads is {str(names)[:40]!r}; expected a list of names")
    own_rate, own_unit = stated.get("rate"), stated.get("unit")
    if own_rate is not None and (isinstance(own_rate, bool) or not isinstance(own_rate, int | float)):
        raise FormatError(f"{source}: rate is {own_rate!r}; expected samples per second")
    if own_unit is not None and not isinstance(own_unit, str):
        raise FormatError(f"{source}: unit is {own_unit!r}; expected its name")
    values = _array(signal, source)
    record = str(stated.get("record") or "")
    require("the JSON", source, rate=rate if own_rate is None else own_rate, unit=unit or own_unit)
    hertz = agreed_rate(own_rate, rate, source, "rate")
    factor = agreed_millivolts(own_unit, unit, source, "unit")
    if names is None:
        require("the JSON", source, leads=leads)
        return bare_ecg(bare_array(values * factor, source, hertz, "mV", leads), source, fewer_leads, record)
    found = name_channels(names, leads, source)
    rows = values if values.shape[0] == len(names) else values.T
    if rows.shape[0] != len(names) or (values.shape[0] == values.shape[1] and not isinstance(stated["signal"], dict)):
        raise FormatError(
            f"{source}: signal is {values.shape[0]} x {values.shape[1]} numbers for {len(names)} leads; expected one "
            "side to be the number of leads, and the other not"
        )
    wanted = [row for row, lead in enumerate(found) if lead]
    return twelve_lead_ecg(
        rows[wanted] * factor,
        [lead for lead in found if lead],
        rate=hertz,
        source=source,
        record=record,
        ignored=[name for name, lead in zip(names, found, strict=True) if not lead],
        fewer_leads=fewer_leads,
    )


def _array(signal: Any, source: str) -> NDArray[np.float64]:
    if not isinstance(signal, list) or not signal or not all(isinstance(row, list) for row in signal):
        raise FormatError(f"{source}: signal is no array of arrays; expected (leads, samples)")
    if len(lengths := {len(row) for row in signal}) > 1 or lengths == {0}:
        raise FormatError(
            f"{source}: signal has rows of {min(lengths)} and of {max(lengths)} numbers; expected as many in each, and "
            "at least one"
        )
    kinds = {type(value) for row in signal for value in row}
    if kinds - {int, float, type(None)}:
        raise FormatError(
            f"{source}: signal holds {', '.join(sorted(kind.__name__ for kind in kinds))}; expected numbers, or null "
            "for a missing sample"
        )
    return np.array(signal, dtype=np.float64)
