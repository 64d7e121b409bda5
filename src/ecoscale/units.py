"""Units of a signal as text: one spelling of the micro sign, and voltages that differ by a power of ten.

Nothing else is converted: whether `bpm` and `1/min` are the same is for who made the file to say.
"""

from __future__ import annotations

# Of one volt; case matters, since MV is another unit than mV.
_EXPONENTS = {"V": 0, "mV": -3, "uV": -6, "nV": -9}
_MICRO_SIGNS = str.maketrans("µμ", "uu")


def plain_unit(unit: str) -> str:
    """A unit without blanks around it, its micro sign (U+00B5 or the Greek letter) as `u`."""
    return unit.strip().translate(_MICRO_SIGNS)


def unit_factor(found: str, wanted: str) -> float | None:
    """How many `wanted` one `found` is: 1 for the same unit, a power of ten between voltages, else None."""
    found, wanted = plain_unit(found), plain_unit(wanted)
    if found == wanted:
        return 1.0
    if found in _EXPONENTS and wanted in _EXPONENTS:
        return float(f"1e{_EXPONENTS[found] - _EXPONENTS[wanted]}")
    return None
