import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecoscale.drawing import draw_ecg
from ecoscale.ecg import ECG
from ecoscale.errors import SignalError
from ecoscale.explaining import Explanation
from ecoscale.explaining.explanation import by_step, map_record, stretch
from ecoscale.preparation import Preparation

LEADS = ("I", "II", "V1")


def explained(relevance, **changed):
    about = {"finding": "AF", "method": "occlusion", "leads": LEADS, "start": 2.0, "step": 0.5, "probability": 0.7}
    return Explanation.of(np.asarray(relevance, dtype=float), **(about | changed))


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (3, 7), elements=st.floats(-50, 50, width=32)))
def test_values_times_scale_are_the_relevance_and_the_largest_is_one(relevance):
    found = explained(relevance)
    assert found.values.dtype == np.float32
    assert np.allclose(found.values * found.scale, relevance, atol=1e-5)
    assert np.abs(found.values).max() == (1 if relevance.any() else 0)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (3, 7), elements=st.floats(-50, 50, width=32)))
def test_shares_are_of_what_speaks_for_the_finding(relevance):
    found = explained(relevance)
    shares = list(found.lead_shares.values())
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1 if (found.values > 0).any() else 0)
    spans = found.spans(most=100)
    assert sum(span.share for span in spans) <= 1 + 1e-9
    if found.values.sum(axis=0, dtype=np.float64).max() > 0:
        assert sum(span.share for span in spans) >= 0.5
        assert all(span.leads and 2 <= span.start < span.stop <= 2 + 7 * 0.5 for span in spans)
    else:
        assert spans == ()


def test_spans_say_when_and_in_which_leads_the_one_with_most_first():
    first, second = explained([[0, 0, 9, 9, 0, 0, 0], [0, 0, 1, 0, 0, 6, 0], [0, -1, 0, 0, 0, 7, 0]]).spans()
    assert (first.start, first.stop, first.leads) == (4.5, 5.0, ("V1",))
    assert (second.start, second.stop, second.leads) == (3.0, 3.5, ("I",))
    assert (first.share, second.share) == pytest.approx((13 / 32, 10 / 32))
    assert len(explained([[0, 0, 9, 9, 0, 8, 0]], leads=("I",)).spans(most=1)) == 1


def test_an_explanation_is_plain_values_that_json_takes():
    content = json.loads(json.dumps(explained([[1, -2, 0], [0, 0, 0], [0, 1, 0]], remainder=0.01).to_dict()))
    assert content["values"] == [[0.5, -1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    assert (content["scale"], content["step"], content["start"]) == (2.0, 0.5, 2.0)
    assert content["lead_shares"] == {"I": 0.5, "II": 0.0, "V1": 0.5}
    assert content["remainder"] == 0.01
    assert "remainder" not in explained(np.ones((3, 3))).to_dict()


def test_an_explanation_is_drawn_under_the_trace():
    ecg = ECG(np.zeros((3, 2500)), 250, LEADS)
    plain = draw_ecg(ecg, layout="12x1")
    drawn = draw_ecg(ecg, layout="12x1", relevance=explained([[1, -2, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]))
    assert len(drawn.axes[0].patches) > len(plain.axes[0].patches)


@pytest.mark.parametrize("seconds", [4, 10, 23.5])
def test_windows_are_joined_to_a_map_of_the_whole_record_and_of_no_padding(seconds):
    preparation = Preparation(rate=100, window=1000, highpass=None, leads=LEADS)
    signal = np.random.default_rng(0).normal(size=(3, round(100 * seconds))).astype(np.float32)
    found = map_record(ECG(signal, 100, LEADS), preparation, lambda window, inside: window.astype(float))
    assert np.allclose(found, signal, atol=1e-6)


def test_the_last_step_may_hold_fewer_samples():
    assert by_step(np.ones((2, 10)), 4).tolist() == [[4, 4, 2], [4, 4, 2]]


def test_one_window_is_explained_from_a_start_on():
    preparation = Preparation(rate=100, window=1000)
    ecg = ECG(np.arange(12 * 30_000).reshape(12, -1), 250)
    part = stretch(ecg, preparation, 100)
    assert (part.duration, part.signal[0, 0]) == (10, 25_000)
    assert stretch(ecg, preparation, 115).duration == 5
    assert stretch(part, preparation, None) is part
    with pytest.raises(SignalError, match=r"120 s is too long .* at most 60 s .* give a start"):
        stretch(ecg, preparation, None)
    with pytest.raises(SignalError, match="cannot explain from 120 s on; the recording lasts 120 s"):
        stretch(ecg, preparation, 120)


def test_drawing_takes_anything_of_this_form():
    ours = explained(np.ones((3, 4)))
    alike = SimpleNamespace(leads=ours.leads, start=ours.start, step=ours.step, values=ours.values)
    ecg = ECG(np.zeros((3, 2500)), 250, LEADS)
    both = [draw_ecg(ecg, layout="12x1", relevance=each) for each in (ours, alike)]
    assert len(both[0].axes[0].patches) == len(both[1].axes[0].patches)
