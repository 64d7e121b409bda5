import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.errors import FormatError
from ecoscale.formats.quantities import agreed_rate, millivolts, refuse_other_unit, required_millivolts


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *[("V", 1e3), ("Volt", 1e3), ("mV", 1), ("MV", 1), (" mv ", 1), ("millivolts", 1), ("nV", 1e-6)],
        *[("uV", 1e-3), ("UV", 1e-3), ("\u00b5V", 1e-3), ("\u03bcV", 1e-3), ("Microvolt", 1e-3), ("microvolts", 1e-3)],
    ],
)
def test_a_unit_of_voltage_is_known_in_any_spelling(unit, factor):
    assert millivolts(unit) == factor


@pytest.mark.parametrize("unit", ["", "mmHg", "LSB", "m", "kV", "%", "pm", "mV/LSB"])
def test_what_is_not_a_unit_of_voltage_is_refused_by_name(unit):
    assert millivolts(unit) is None
    with pytest.raises(FormatError, match=r"a file: the unit of II.*expected V, mV, uV or nV"):
        required_millivolts(unit, "a file", "the unit of II")


@given(rate=st.floats(1, 1e5))
def test_a_rate_that_the_file_or_the_caller_states_is_taken_and_both_may(rate):
    assert agreed_rate(rate, None, "", "") == agreed_rate(None, rate, "", "") == agreed_rate(rate, rate, "", "") == rate


def test_a_rate_is_never_guessed():
    with pytest.raises(FormatError, match=r"a file: the header's rate is not stated.*rate="):
        agreed_rate(None, None, "a file", "the header's rate")


def test_two_rates_are_refused():
    with pytest.raises(FormatError, match=r"500 Hz, but rate=400"):
        agreed_rate(500, 400, "a file", "the header's rate")


@pytest.mark.parametrize("rate", [0, -500, math.nan, math.inf])
def test_a_rate_that_is_not_a_positive_number_is_refused(rate):
    with pytest.raises(FormatError, match="positive"):
        agreed_rate(rate, None, "a file", "the rate")
    with pytest.raises(FormatError, match="positive"):
        agreed_rate(None, rate, "a file", "the rate")


def test_a_unit_given_may_be_spelt_otherwise_than_the_files_but_not_be_another():
    refuse_other_unit(["uV", "µV"], "microvolt", "a file", "the unit")
    refuse_other_unit(["uV"], None, "a file", "the unit")
    with pytest.raises(FormatError, match="'mV', but unit='uV' was given"):
        refuse_other_unit(["mV"], "uV", "a file", "the unit")
