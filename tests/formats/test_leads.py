import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.ecg import CHEST_LEADS, ECG, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats.leads import canonical_lead, lead_of_code, name_channels, twelve_lead_ecg

BEFORE = ["", "Lead ", "lead_", "LEAD-", "ECG ", "ECG-", "ecg lead ", "MDC_ECG_LEAD_", "ECG: "]
AFTER = ["", " ", " (Einthoven)"]
CASES = [str, str.upper, str.lower, str.swapcase]


@pytest.mark.parametrize("lead", LEADS)
@given(before=st.sampled_from(BEFORE), after=st.sampled_from(AFTER), case=st.sampled_from(CASES))
def test_a_lead_is_known_in_any_case_and_with_its_usual_announcements(lead, before, after, case):
    assert canonical_lead(case(before + lead + after)) == lead


@pytest.mark.parametrize(("name", "lead"), [("DI", "I"), ("dii", "II"), ("DIII", "III"), ("Ⅱ", "II"), ("\tv3\n", "V3")])
def test_brazilian_and_unicode_spellings_are_known(name, lead):
    assert canonical_lead(name) == lead


@pytest.mark.parametrize("name", [*"1X", "", "V0", "V7", "VL", "VR", "vx", "V3R", "V1-V2", "dV1", "C1", "-aVR", "aVR2"])
@pytest.mark.parametrize("before", ["", "Lead "])
def test_another_signal_is_not_taken_for_a_lead(before, name):
    assert canonical_lead(before + name) is None


@pytest.mark.parametrize("name", ["MLII", "MCL1", "IIII", "I+", "II-", "lead", "ECG", "RESP"])
def test_a_name_that_only_contains_a_lead_is_not_taken_for_it(name):
    assert canonical_lead(name) is None


def test_scp_and_mdc_codes_number_the_leads_alike():
    numbers = dict(zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), LEADS, strict=True))
    for number, lead in numbers.items():
        assert lead_of_code(f"5.6.3-9-{number}") == lead_of_code(f"2:{number}") == lead
    assert lead_of_code("5.6.3-9-65") is None
    assert lead_of_code("I") is None


def test_channels_that_are_not_leads_have_no_name():
    assert name_channels(["I", "RESP", "avr"], None, "a file") == ("I", None, "aVR")


def test_leads_given_name_the_channels_of_a_file_that_names_none():
    assert name_channels(["ch1", "ch2"], ["ii", "V1"], "a file") == ("II", "V1")


@pytest.mark.parametrize("leads", [["II", "I"], ["I"], ["I", "II", "III"]])
def test_leads_given_that_differ_from_the_files_own_are_refused(leads):
    with pytest.raises(FormatError, match=r"a file.*'I', 'II'.*leads="):
        name_channels(["I", "II"], leads, "a file")


def test_a_lead_named_twice_is_refused_with_both_names():
    with pytest.raises(LeadError, match="'Lead II' and 'ii' both name lead II"):
        name_channels(["I", "Lead II", "ii"], None, "a file")


def test_an_unknown_lead_given_is_refused_by_name():
    with pytest.raises(LeadError, match="MLII"):
        name_channels(["ch1"], ["MLII"], "a file")


@given(order=st.permutations(LEADS))
def test_any_order_of_leads_becomes_the_canonical_one(order):
    signal = np.arange(12 * 5, dtype=float).reshape(12, 5)
    rows = dict(zip(order, signal, strict=True))
    ecg = twelve_lead_ecg(signal, order, rate=500, source="a file")
    assert ecg.leads == LEADS
    assert np.array_equal(ecg.signal, np.float32([rows[lead] for lead in LEADS]))


@given(limb=st.lists(st.sampled_from(LEADS[:6]), min_size=2, max_size=5, unique=True), seed=st.integers(0, 99))
def test_missing_limb_leads_follow_from_any_two(limb, seed):
    eight = np.random.default_rng(seed).normal(size=(8, 20))
    whole = ECG(eight, 500, ("I", "II", *CHEST_LEADS)).derive_limb_leads()
    ecg = twelve_lead_ecg(
        whole.select([*limb, *CHEST_LEADS]).signal, [*limb, *CHEST_LEADS], rate=500, source="", ignored=["RESP"]
    )
    np.testing.assert_allclose(ecg.signal, whole.signal, atol=1e-5)
    assert [note.split(":")[0] for note in ecg.notes] == ["ignored_channels", "derived_leads"]


@pytest.mark.parametrize(
    ("leads", "missing"),
    [
        (("I", "II", "V1", "V2", "V4", "V5"), "lead V3, V6 missing"),
        (("I", *CHEST_LEADS), "lead II, III, aVR, aVL, aVF missing"),
        (("I", *CHEST_LEADS[1:]), "lead II, III, aVR, aVL, aVF, V1 missing"),
        ((), "lead I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6 missing"),
    ],
)
def test_leads_that_cannot_be_derived_are_all_named(leads, missing):
    with pytest.raises(LeadError, match=f"{missing}.*its other channels are MLII"):
        twelve_lead_ecg(np.ones((len(leads), 9)), leads, rate=500, source="a file", ignored=["MLII"])


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        (("I",), ("I",)),
        (("V5", "II"), ("II", "V5")),
        (("aVF", "I"), LEADS[:6]),
        (("V6", "II", "I", "V1"), (*LEADS[:6], "V1", "V6")),
    ],
)
def test_fewer_leads_are_taken_where_they_may_be(leads, expected):
    signal = np.arange(len(leads) * 9, dtype=float).reshape(len(leads), 9)
    ecg = twelve_lead_ecg(signal, leads, rate=500, source="a file", fewer_leads=True)
    assert ecg.leads == expected
    np.testing.assert_array_equal(ecg.select(leads).signal, signal)


def test_none_of_the_twelve_leads_is_refused_all_the_same():
    with pytest.raises(LeadError, match="found none of the twelve; its other channels are MLII"):
        twelve_lead_ecg(np.empty((0, 9)), (), rate=500, source="a file", ignored=["MLII"], fewer_leads=True)


def test_infinite_samples_are_missing_ones():
    signal = np.ones((12, 9))
    signal[3, 4] = np.inf
    assert np.argwhere(np.isnan(twelve_lead_ecg(signal, LEADS, rate=500, source="").signal)).tolist() == [[3, 4]]


def test_numbers_beyond_any_amplifier_are_refused():
    with pytest.raises(FormatError, match=r"1e\+300 mV.*unit or the gain"):
        twelve_lead_ecg(np.full((12, 9), 1e300), LEADS, rate=500, source="a file")
