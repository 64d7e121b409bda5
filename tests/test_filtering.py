"""Resampling and the high-pass: scipy's results, to float rounding."""

from math import gcd

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.signal import butter, firwin, resample_poly, sosfiltfilt

from ecoscale.filtering import anti_aliasing_filter, butterworth_highpass, highpass, resample

FLOAT32 = 2e-6
"""Of the largest sample: sums of a hundred products in float32, in one order or another."""


def wandering(n_leads, n_samples, seed=0):
    """Signals with a baseline that is far from zero and drifts."""
    random = np.random.default_rng(seed)
    return (np.cumsum(random.normal(size=(n_leads, n_samples)), axis=1) / 20 + 3).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(up=st.integers(1, 60), down=st.integers(1, 60), n_samples=st.integers(1, 3000), seed=st.integers(0, 9))
def test_resampling_is_scipys(up, down, n_samples, seed):
    assume(gcd(up, down) == 1 and up != down)
    signal = wandering(3, n_samples, seed)
    window = anti_aliasing_filter(up, down)
    expected = resample_poly(signal.astype(float), up, down, 1, window.astype(float), padtype="line")
    if n_samples == 1:  # scipy divides by the samples but one
        expected = np.zeros_like(expected)
        signal = np.zeros_like(signal)
    found = resample(signal, up, down)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=FLOAT32 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("up", "down"), [(1, 5), (4, 5), (2, 5), (100, 257), (5, 1), (1999, 2000)])
def test_the_filter_against_aliasing_is_the_one_that_scipy_designs(up, down):
    largest = max(up, down)
    expected = firwin(20 * largest + 1, 1 / largest, window=("kaiser", 5.0))
    np.testing.assert_allclose(anti_aliasing_filter(up, down), expected, atol=1e-7 * expected.max())


@settings(deadline=None, max_examples=60)
@given(
    corner=st.floats(0.05, 5),
    rate=st.sampled_from([100.0, 250.0, 257.0, 400.0, 500.0]),
    n_samples=st.integers(1, 6000),
    seed=st.integers(0, 9),
)
def test_the_highpass_is_scipys(corner, rate, n_samples, seed):
    signal = wandering(5, n_samples, seed)
    extension = min(int(2 * rate / corner), n_samples - 1)
    sections = butter(2, corner, "highpass", fs=rate, output="sos")
    expected = sosfiltfilt(sections, signal, axis=1, padtype="even", padlen=extension)
    found = highpass(signal, corner, rate, extension)
    assert found.dtype == np.float32
    # Half a step of float32; float64 adds a thousandth of it.
    np.testing.assert_allclose(found, expected, atol=7e-8 * max(1, np.abs(expected).max()))


@given(st.floats(0.01, 20), st.floats(50, 1000))
def test_the_coefficients_are_scipys(corner, rate):
    for found, expected in zip(butterworth_highpass(corner, rate), butter(2, corner, "highpass", fs=rate), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-15)
