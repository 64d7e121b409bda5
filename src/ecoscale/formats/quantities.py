"""Units, rates and lengths: what a file states, what the caller states, and that the two agree."""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from ecoscale.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

UNITS = "V, mV, uV or nV"

# Looked up after NFKC and casefold, which make one of the micro sign and the Greek letter, and mV of MV: no ECG is
# measured in megavolts.
_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "μv": 1e-3, "nv": 1e-6}
_MILLIVOLTS |= {"volt": 1e3, "millivolt": 1.0, "microvolt": 1e-3, "nanovolt": 1e-6}
_MILLIVOLTS |= {name + "s": factor for name, factor in _MILLIVOLTS.items() if name.endswith("volt")}

_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "μs": 1e-6}
_SECONDS |= {"millisecond": 1e-3, "milliseconds": 1e-3, "microsecond": 1e-6, "microseconds": 1e-6}


@lru_cache(maxsize=1024)
def millivolts(unit: str) -> float | None:
    """How many millivolts one `unit` is; None for what is not a unit of voltage."""
    return _MILLIVOLTS.get(unicodedata.normalize("NFKC", unit).strip().casefold())


def required_millivolts(unit: str, source: str, field: str) -> float:
    """`millivolts(unit)`, or a `FormatError` naming the file and the field that states the unit."""
    factor = millivolts(unit)
    if factor is None:
        raise FormatError(f"{source}: {field} is {unit!r}, which is not a unit of voltage; expected {UNITS}")
    return factor


def agreed_millivolts(stated: str | None, given: str | None, source: str, field: str) -> float:
    """How many millivolts one unit is: of the unit that the file states, or else the caller gives.

    Raises `FormatError` where there is none, where it is not a unit of voltage, or where the two differ.
    """
    if stated is None and given is None:
        raise FormatError(f"{source}: {field} is not stated and is not guessed; give unit= ({UNITS})")
    if stated is None:
        return required_millivolts(given or "", source, "the unit given")
    factor = required_millivolts(stated, source, field)
    refuse_other_unit([stated], given, source, field)
    return factor


def rate_of_interval(interval: float, unit: str, source: str, field: str) -> float:
    """The rate in Hz of samples that are so far apart, in s, ms or us; `FormatError` for what is not such a time."""
    seconds = _SECONDS.get(unicodedata.normalize("NFKC", unit).strip().casefold())
    if seconds is None:
        raise FormatError(f"{source}: {field} is in {unit!r}; expected s, ms or us")
    if not (math.isfinite(interval) and 0 < interval * seconds < math.inf):
        raise FormatError(f"{source}: {field} is {interval!r}; expected a positive time between samples")
    # To ten digits, which is more than any clock is worth: 1 / 0.002 need not come out as 500.
    rate = float(f"{1 / (interval * seconds):.10g}") if interval * seconds > 1e-12 else math.inf
    if not math.isfinite(rate):
        raise FormatError(f"{source}: {field} is {interval!r} {unit}; expected a time between samples of an ECG")
    return rate


def rate_of_times(times: NDArray[np.float64], unit: str, source: str) -> tuple[float, float]:
    """The rate in Hz that a column of times states, and to which share of it the times tell.

    Times may be rounded, so that a step is up to half as long or long again; the rate is that of all of them, in the
    fewest decimals that are within what their rounding leaves open. Raises `FormatError` for times that are missing,
    do not rise, or leave a gap.
    """
    import numpy as np

    steps = np.diff(times)
    if len(steps) < 2 or not np.isfinite(steps).all():
        raise FormatError(f"{source}: the time column has missing or too few times; expected one for each sample")
    usual = float(np.median(steps))
    if not usual > 0 or float(np.abs(steps - usual).max()) >= 0.75 * usual:
        at = int(np.argmax(np.abs(steps - usual)))
        raise FormatError(
            f"{source}: the time column is not even: {times[at]:g} {unit} is followed by {times[at + 1]:g} {unit}, "
            f"where the usual step is {usual:g}; expected samples at even intervals: fill or cut the gap first"
        )
    length = float(times[-1] - times[0])
    places = times[0] + np.arange(len(times)) * (length / len(steps))
    tolerance = 2 * float(np.abs(times - places).max()) / length + 1e-9
    if tolerance > 0.05:
        raise FormatError(
            f"{source}: the time column is not even: times are up to {tolerance * length / 2:g} {unit} off even steps; "
            "expected samples at even intervals"
        )
    rate = rate_of_interval(length / len(steps), unit, source, "the step of the time column")
    rounded = (round(rate, digits) for digits in range(10))
    return next((each for each in rounded if each and abs(rate - each) <= tolerance * rate), rate), tolerance


def agreed_rate(stated: float | None, given: float | None, source: str, field: str) -> float:
    """The rate in Hz that the file states, or else the caller gives.

    Raises `FormatError` where there is none, where it is not a positive number, or where the two differ.
    """
    rate = given if stated is None else stated
    if rate is None:
        raise FormatError(f"{source}: {field} is not stated and is not guessed; give rate= in samples per second")
    for value, name in ((stated, field), (given, "the rate given")):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise FormatError(f"{source}: {name} is {value!r}; expected a positive number of samples per second")
    if stated is not None and given is not None and not math.isclose(stated, given, rel_tol=1e-6):
        raise FormatError(
            f"{source}: {field} is {stated:g} Hz, but rate={given:g} was given; leave rate out: the file states it"
        )
    return float(rate)


def refuse_longer(n_samples: int, rate: float, longest: float | None, source: str) -> None:
    """Raise `FormatError` for more than `longest` seconds; None: of any length."""
    if longest is not None and n_samples > longest * rate:
        raise FormatError(
            f"{source}: {n_samples / rate / 3600:.1f} h long; expected at most {longest / 3600:g} h, because it would "
            "be read whole, and its windows averaged: ecoscale timeline reads it in pieces and says what it shows when"
        )


def refuse_other_unit(stated: Iterable[str], given: str | None, source: str, field: str) -> None:
    """Raise `FormatError` if the unit given is not the one, or each of those, that the file states."""
    if given is None:
        return
    factor = required_millivolts(given, source, "the unit given")
    for unit in stated:
        if millivolts(unit) != factor:
            raise FormatError(
                f"{source}: {field} is {unit!r}, but unit={given!r} was given; leave unit out: the file states it"
            )


def refuse_record(record: str | None, source: str, what: str = "this file") -> None:
    """Raise `FormatError` where a record is asked for by name, in a file that holds one."""
    if record is not None:
        raise FormatError(f"{source}: record {record!r} was asked for; {what} holds one recording: leave it out")
