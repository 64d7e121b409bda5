"""A live signal: whatever comes in whichever chunks, a window says what the same samples in a file say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecoscale
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError, LeadError, SignalError
from ecoscale.inference import Classifier
from ecoscale.streaming import Stream

RATE = 200.0


@pytest.fixture(scope="module")
def classifier(tiny_bundle):
    return Classifier.load(tiny_bundle.path, threads=1)  # windows of 8 s


@pytest.fixture(scope="module")
def ecg():
    parts = [synthetic_ecg(findings, rate=RATE, duration=15, seed=6).ecg for findings in ((), ("AF",), ("LBBB",))]
    return ECG(np.concatenate([part.signal for part in parts], axis=1), RATE)


def probabilities(prediction):
    return [finding.probability for finding in prediction.findings.values()]


def excerpt(ecg, start, stop):
    return ECG(ecg.signal[:, round(start * RATE) : round(stop * RATE)], RATE, ecg.leads)


@settings(deadline=None, max_examples=25)
@given(chunks=st.lists(st.integers(1, 4000), min_size=1, max_size=30), hop=st.sampled_from([1.0, 2.5, 8.0, 11.0]))
def test_any_chunks_give_what_the_same_windows_give_in_a_file(classifier, ecg, chunks, hop):
    stream, found, first = Stream(classifier, rate=RATE, hop=hop), [], 0
    for n in chunks:
        found += stream.push(ecg.signal[:, first : first + n])
        first = min(first + n, ecg.n_samples)
    assert stream.seconds == first / RATE
    assert [window.start for window in found] == pytest.approx(np.arange(len(found)) * hop)
    assert len(found) == max(0, int((first / RATE - 8) // hop) + 1)
    expected = classifier.predict_batch([excerpt(ecg, window.start, window.stop) for window in found])
    for window, prediction in zip(found, expected, strict=True):
        np.testing.assert_allclose(probabilities(window.prediction), probabilities(prediction), atol=1e-6)
        assert window.warnings == prediction.warnings
        assert window.stop - window.start == pytest.approx(8)


def test_samples_one_at_a_time_in_another_unit_and_order_of_leads_give_the_same(classifier, ecg):
    order = LEADS[::-1]
    stream = Stream(classifier, rate=RATE, leads=order, unit="uV", hop=4)
    samples = 1000 * ecg.select(order).signal[:, :3000]
    found = [window for sample in samples.T for window in stream.push(sample)]
    whole = Stream(classifier, rate=RATE, hop=4).push(ecg.signal[:, :3000])
    assert len(found) == len(whole) == 2
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(probabilities(one.prediction), probabilities(other.prediction), atol=1e-5)


def test_limb_leads_are_derived(classifier, ecg):
    eight = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    (found,) = Stream(classifier, rate=RATE, leads=eight).push(ecg.select(eight).signal[:, :1600])
    expected = classifier.predict(excerpt(ecg, 0, 8))
    np.testing.assert_allclose(probabilities(found.prediction), probabilities(expected), atol=1e-3)


def test_a_short_gap_is_missing_samples_and_a_window_that_is_mostly_gap_is_not_classified(classifier, ecg):
    stream = Stream(classifier, rate=RATE, hop=2)
    found = stream.push(ecg.signal[:, :1600]) + stream.gap(1.5) + stream.push(ecg.signal[:, 1900:2000])
    assert [window.start for window in found] == [0, 2]
    signal = ecg.signal[:, 400:2000].copy()
    signal[:, 1200:1500] = np.nan
    expected = classifier.predict(ECG(signal, RATE))
    np.testing.assert_allclose(probabilities(found[1].prediction), probabilities(expected), atol=1e-6)
    assert found[1].warnings == expected.warnings
    assert found[1].warnings[0].startswith("missing_samples: I 18.8 %")
    later = stream.push(np.full((12, 1200), np.nan))
    assert [window.prediction is None for window in later] == [False, True, True]
    assert later[1].reason.startswith("missing_samples")
    assert later[1].present == ()


def test_after_a_gap_as_long_as_a_window_the_next_window_is_whole(classifier, ecg):
    stream = Stream(classifier, rate=RATE, hop=1)
    assert len(stream.push(ecg.signal[:, :1700])) == 1
    assert stream.gap(3600) == []
    assert stream.push(ecg.signal[:, 1700:3299]) == []
    (found,) = stream.push(ecg.signal[:, 3299:3300])
    assert (found.start, found.stop) == pytest.approx((3608.5, 3616.5))
    expected = classifier.predict(excerpt(ecg, 8.5, 16.5))
    np.testing.assert_allclose(probabilities(found.prediction), probabilities(expected), atol=1e-6)


def test_times_that_jump_are_gaps_and_times_that_shake_are_not(classifier, ecg):
    random = np.random.default_rng(0)
    stream, found = Stream(classifier, rate=RATE, hop=4, tolerance=0.05), []
    for first in range(0, 4100, 100):
        if first != 2000:  # half a second is lost
            found += stream.push(ecg.signal[:, first : first + 100], time=1e9 + first / RATE + random.uniform(0, 0.02))
    assert stream.seconds == pytest.approx(20.5, abs=0.03)
    missing = [any(warning.startswith("missing_samples") for warning in window.warnings) for window in found]
    assert [window.start - 1e9 for window in found] == pytest.approx([0, 4, 8, 12], abs=0.06)
    assert missing == [False, True, True, False]
    assert not any(window.clock_warnings for window in found)


def test_a_clock_that_runs_at_another_rate_than_stated_is_reported(classifier, ecg):
    stream, found = Stream(classifier, rate=RATE, hop=8), []
    for first in range(0, 3400, 100):
        found += stream.push(ecg.signal[:, first : first + 100], time=first / 195)
    assert ["rate_drift" in " ".join(window.clock_warnings) for window in found] == [True, True]
    assert "195" in found[1].clock_warnings[0]
    assert found[1].warnings[-1] == found[1].clock_warnings[0]


def test_a_time_before_the_last_sample_is_refused_until_a_reset(classifier, ecg):
    stream = Stream(classifier, rate=RATE)
    stream.push(ecg.signal[:, :400], time=100)
    with pytest.raises(SignalError, match=r"the time 100.000 s is 2.000 s before that of the next sample, 102.000 s"):
        stream.push(ecg.signal[:, :400], time=100)
    stream.reset()
    (found,) = stream.push(ecg.signal[:, :1600], time=100)
    assert (found.start, found.stop) == (100, 108)


def test_a_finding_is_confirmed_where_enough_of_the_last_windows_show_it(tiny_bundle, ecg):
    always = Classifier.load(tiny_bundle.path, threads=1, thresholds={"AF": 0.0, "SB": 1.0})
    stream = Stream(always, rate=RATE, hop=2, persistence=(2, 3))
    found = stream.push(ecg.signal[:, :2800])
    assert ["AF" in window.present for window in found] == [True] * 4
    assert ["AF" in window.confirmed for window in found] == [False, True, True, True]
    assert not any("SB" in window.confirmed for window in found)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rate": 0}, SignalError, "the rate is 0"),
        ({"hop": 0}, SignalError, "the hop is 0 s"),
        ({"tolerance": 0}, SignalError, "the tolerance is 0 s"),
        ({"persistence": (3, 2)}, SignalError, r"the persistence is \(3, 2\)"),
        ({"unit": "furlong"}, FormatError, "'furlong', which is not a unit of voltage"),
        ({"leads": ("II", "V1", "V5")}, LeadError, "no lead I, III"),
        ({"persistence": (1,)}, SignalError, r"the persistence is \(1,\)"),
        ({"leads": ("II", "MLII")}, LeadError, "unknown lead 'MLII'"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(classifier, options, error, message):
    with pytest.raises(error, match=message):
        Stream(classifier, **({"rate": RATE} | options))


@pytest.mark.parametrize("samples", [np.zeros(11), np.zeros((11, 5)), np.zeros((2, 12, 5)), np.full((12, 2), "x")])
def test_samples_of_another_shape_are_refused(classifier, samples):
    with pytest.raises(SignalError, match=r"expected numbers \(12, n\)"):
        Stream(classifier, rate=RATE).push(samples)


def test_rows_of_different_lengths_are_refused(classifier):
    with pytest.raises(SignalError, match="the samples are no array"):
        Stream(classifier, rate=RATE).push([[0.1, 0.2]] * 11 + [[0.1]])


@pytest.mark.parametrize("missing", [np.inf, -1e300, "masked"])
def test_what_is_no_voltage_is_missing_as_nan_is(classifier, ecg, missing):
    signal = ecg.signal[:, :1600].astype(float)
    gone = np.broadcast_to(np.arange(1600) % 100 == 0, signal.shape)
    expected = Stream(classifier, rate=RATE).push(np.where(gone, np.nan, signal))
    pushed = np.ma.masked_array(signal, gone) if missing == "masked" else np.where(gone, missing, signal)
    (found,) = Stream(classifier, rate=RATE).push(pushed)
    assert found.warnings == expected[0].warnings
    assert probabilities(found.prediction) == probabilities(expected[0].prediction)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_gap_that_is_none_is_refused(classifier, seconds):
    with pytest.raises(SignalError, match="expected a positive number of seconds"):
        Stream(classifier, rate=RATE).gap(seconds)


def test_it_is_in_the_front_of_the_package():
    assert ecoscale.Stream is Stream
