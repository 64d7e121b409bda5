"""Lead names: from any spelling to the canonical twelve, and from a file's channels to a 12-lead `ECG`."""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.ecg import CHEST_LEADS, ECG, LEADS, LIMB_LEADS
from ecoscale.errors import FormatError, LeadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A name may be announced ("Lead I", "ECG-V1", "MDC_ECG_LEAD_AVR") and explained ("Lead I (Einthoven)"); DI, DII, DIII
# is how Brazil writes the bipolar leads, CODE among it. A minus sign of its own is an inverted lead, another signal.
_NAME = re.compile(
    r"(?:mdc[\s_])?(?:(?:lead|ecg|ekg)(?:[\s_:.]*|-))*"
    r"(?P<lead>d?i{1,3}|avr|avl|avf|v[1-6])"
    r"(?:\s*\((?:einthoven|goldberger|wilson)\))?"
)
_CANONICAL = {lead.casefold(): lead for lead in LEADS} | {f"d{lead.casefold()}": lead for lead in LEADS[:3]}

# ISO/IEEE 11073-10102, which SCP-ECG and the DICOM context group 3001 number alike.
_NUMBERED = dict(zip((1, 2, 61, 62, 63, 64, *range(3, 9)), LEADS, strict=True))
_CODE = re.compile(r"(?:5\.6\.3-9-|2:)(\d+)")

# In mV. Implausible amplitudes are for ECG.check; beyond this, the numbers are of something else.
_LARGEST = 1e9


@lru_cache(maxsize=1024)
def canonical_lead(name: str) -> str | None:
    """The canonical name of a lead written in any case or spelling; None for what is not one of the twelve.

    `MLII`, `MCL1`, `V3R`, `-aVR` and `VL` are other signals than II, V1, V3, aVR and aVL, and are not taken for them.
    """
    match = _NAME.fullmatch(unicodedata.normalize("NFKC", name).strip().casefold())
    return _CANONICAL[match["lead"]] if match else None


def lead_of_code(code: str) -> str | None:
    """The lead of an SCP-ECG (`5.6.3-9-1`) or MDC (`2:1`) code; None for any other code."""
    match = _CODE.fullmatch(code.strip())
    return _NUMBERED.get(int(match[1])) if match else None


def code_of_lead(lead: str) -> str:
    """The MDC code (`2:1`) of a canonical lead, as DICOM's context group 3001 lists it."""
    return f"2:{next(number for number, name in _NUMBERED.items() if name == lead)}"


def canonical_leads(names: Sequence[str], source: str) -> tuple[str, ...]:
    """All of these names canonical; a `LeadError` names those that are unknown or occur twice."""
    leads = tuple(canonical_lead(name) for name in names)
    if unknown := [name for name, lead in zip(names, leads, strict=True) if lead is None]:
        raise LeadError(
            f"{source}: unknown lead {', '.join(map(repr, unknown))} in the leads given; the names are "
            f"{', '.join(LEADS)}"
        )
    return _each_once(names, leads, source)


def name_channels(
    names: Sequence[str], given: Sequence[str] | None, source: str, stated: Sequence[str | None] | None = None
) -> tuple[str | None, ...]:
    """The lead of each of a file's channels, None for a channel that is not one of the twelve.

    `stated` is what the file's own codes say, where it has better than names. Leads that the caller gives name the
    channels of a file that names none of them; where the file does, they must be the same in the same order.

    Raises `FormatError` where the two contradict each other, `LeadError` for an unknown or doubled lead.
    """
    found = tuple(map(canonical_lead, names)) if stated is None else tuple(stated)
    if given is not None:
        wanted = canonical_leads(given, source)
        own = tuple(lead for lead in found if lead)
        if not own and len(wanted) == len(names):
            return wanted
        if own != wanted:
            raise FormatError(
                f"{source}: its channels are {', '.join(map(repr, names))}, but leads={' '.join(wanted)} was given; "
                "leave leads out where the file names them, else give one name a channel, in its order"
            )
    return _each_once(names, found, source)


def twelve_lead_ecg(
    signal: NDArray,
    leads: Sequence[str],
    *,
    rate: float,
    source: str,
    record: str = "",
    ignored: Sequence[str] = (),
    notes: Sequence[str] = (),
    fewer_leads: bool = False,
) -> ECG:
    """All twelve leads in canonical order from `signal` `(leads, samples)` in mV; or those at hand, if `fewer_leads`.

    Limb leads that are missing are computed from any two others, and noted; so are the names of the channels that
    were left out. Raises `LeadError` naming every lead that is neither there nor can be derived.
    """
    notes = list(notes)
    if ignored:
        notes.insert(0, f"ignored_channels: {', '.join(map(_readable, ignored))}; not among the twelve leads")
    limb = [lead for lead in LIMB_LEADS if lead in leads]
    missing = [lead for lead in CHEST_LEADS if lead not in leads]
    if len(limb) < 2:
        missing = [lead for lead in LIMB_LEADS if lead not in leads] + missing
    if missing and not (fewer_leads and leads):
        others = f"; its other channels are {', '.join(map(_readable, ignored))}" if ignored else ""
        raise LeadError(
            f"{source}: lead {', '.join(missing)} missing (found {', '.join(leads) or 'none of the twelve'}{others}). "
            "All of V1 to V6 and any two limb leads are needed: the limb leads follow from two of them, a chest lead "
            "from none"
        )
    largest = max(float(np.max(signal)), -float(np.min(signal)))
    if not math.isfinite(largest):  # as it is wherever a sample is not
        finite = np.isfinite(signal)
        signal = np.where(finite, signal, np.nan)
        largest = max(float(np.nanmax(signal)), -float(np.nanmin(signal))) if finite.any() else 0.0
    if largest > _LARGEST:
        raise FormatError(f"{source}: samples reach {largest:.3g} mV; expected an ECG: the unit or the gain is wrong")
    ecg = ECG(signal, rate, tuple(leads), source=source, record=record, notes=tuple(notes))
    if len(limb) > 1:
        ecg = ecg.derive_limb_leads()
    return ecg.select(lead for lead in LEADS if lead in ecg.leads)


def _each_once(names: Sequence[str], leads: tuple[str | None, ...], source: str) -> tuple:
    for lead in LEADS:
        if leads.count(lead) > 1:
            twice = [name for name, other in zip(names, leads, strict=True) if other == lead]
            raise LeadError(f"{source}: {' and '.join(map(repr, twice))} both name lead {lead}; keep the right one")
    return leads


def _readable(name: str) -> str:
    return name or "(unnamed)"
