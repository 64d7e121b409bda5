import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.ecg import ECG
from ecoscale.errors import SignalError
from ecoscale.formats.writing.steps import MISSING, StepSearch, rounding_notes, steps_of

# Of WFDB headers, ECG carts and Holters: steps a millivolt.
USUAL_GAINS = (200, 204.8, 400, 409.6, 500, 800, 1000, 2000, 10_000)


def walk(n_samples=800, seed=0, largest=40):
    """Integers as an ECG has them: each near the one before."""
    steps = np.random.default_rng(seed).integers(-largest, largest + 1, n_samples).cumsum()
    return steps - steps[0]


def step_of(*pieces):
    search = StepSearch()
    for piece in pieces:
        search.add(np.asarray(piece, np.float32))
    return search.step("I", "a.hea")


@given(
    gain=st.sampled_from(USUAL_GAINS),
    values=st.lists(st.integers(-32767, 32767), min_size=1, max_size=60),
)
def test_integers_in_usual_steps_come_back_to_the_bit(gain, values):
    millivolts = (np.array(values) / gain).astype(np.float32)
    step = step_of(millivolts)
    assert step.exact
    back = (step.integers(millivolts).astype(float) + step.offset) / step.gain
    np.testing.assert_array_equal(back.astype(np.float32), millivolts)


@settings(max_examples=60)
@given(
    gain=st.integers(50, 20_000) | st.sampled_from([333.25, 102.4, 1 / 0.003, 1000 / 4.88, 1000 / 0.298]),
    seed=st.integers(0, 99),
)
def test_any_step_is_found_from_samples_that_follow_each_other(gain, seed):
    millivolts = (walk(seed=seed) / gain).astype(np.float32)
    step = step_of(millivolts)
    assert step.exact
    back = (step.integers(millivolts).astype(float) + step.offset) / step.gain
    np.testing.assert_array_equal(back.astype(np.float32), millivolts)


@settings(max_examples=60)
@given(scale=st.floats(1e-3, 50), seed=st.integers(0, 99))
def test_samples_of_no_step_are_off_by_half_a_step_at_most_and_it_is_said(scale, seed):
    random = np.random.default_rng(seed)
    millivolts = (scale * random.normal(size=500).clip(-3, 3)).astype(np.float32)
    step = step_of(millivolts)
    back = (step.integers(millivolts).astype(float) + step.offset) / step.gain
    assert np.abs(back - millivolts).max() <= 0.5 / step.gain * (1 + 1e-6)
    (note,) = rounding_notes(["I"], [step])
    assert note.startswith(
        f"rounded: I to steps of {step.microvolts:g} uV, an error of at most {step.microvolts / 2:g}"
    )


def test_the_step_of_pieces_is_that_of_the_whole():
    # The first second alone would do with 2 uV.
    first, second = walk(500) * 2 / 1000, (walk(500, seed=1) * 2 + 1) / 1000
    assert step_of(first).microvolts == 2
    assert step_of(first, second).microvolts == 1


def test_derived_limb_leads_have_half_the_step_of_the_others():
    signal = np.stack([walk(seed=seed) for seed in range(8)]) * 5 / 1000
    ecg = ECG(signal, 500, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")).derive_limb_leads()
    steps = dict(zip(ecg.leads, steps_of(ecg), strict=True))
    assert {lead: step.microvolts for lead, step in steps.items() if lead != "III"} == {
        lead: 2.5 if lead in ("aVR", "aVL", "aVF") else 5 for lead in ecg.leads if lead != "III"
    }
    assert all(step.exact for step in steps.values())


def test_a_lead_far_from_zero_keeps_its_step_by_an_offset():
    millivolts = (walk() + 150_000) / 1000
    step = step_of(millivolts)
    assert (step.microvolts, step.exact) == (1, True)
    assert step.offset > 100_000
    np.testing.assert_array_equal(step.integers(np.float32(millivolts)).astype(int) + step.offset, walk() + 150_000)


def test_a_coarse_step_is_found_where_finer_ones_need_more_than_16_bits():
    step = step_of([-900.0, 20.0, 900.0])
    assert (step.microvolts, step.exact) == (50, True)


def test_a_lead_of_zeros_or_of_nothing_has_a_step():
    assert step_of(np.zeros(100)).exact
    assert step_of(np.full(100, np.nan)).integers(np.full(3, np.nan)).tolist() == [MISSING] * 3


def test_an_amplitude_that_16_bits_cannot_hold_is_refused_and_never_clipped():
    with pytest.raises(
        SignalError, match=r"a.hea: lead I goes from -[\d.]+ to [\d.]+ mV, .*csv and parquet hold any number"
    ):
        step_of(np.random.default_rng(0).normal(scale=200, size=500))
