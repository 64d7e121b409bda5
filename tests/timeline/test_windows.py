"""A long record window by window: each says what the classifier says of the same excerpt."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets.layouts import Stretch, write_holter
from ecoscale.ecg import ECG
from ecoscale.errors import LeadError, SignalError
from ecoscale.formats import read_ecg
from ecoscale.formats.long_records import open_long_record
from ecoscale.inference import Classifier
from ecoscale.streaming import Stream
from ecoscale.timeline import classify_windows, timeline
from ecoscale.timeline.windows import window_starts


@pytest.fixture(scope="module")
def classifier(tiny_bundle):
    return Classifier.load(tiny_bundle.path, threads=1)  # windows of 8 s


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    """101.3 s at 250 Hz, the electrodes off from 40 to 60 s."""
    return write_holter(
        tmp_path_factory.mktemp("holter"), [Stretch(40, 60, off=True)], hours=101.3 / 3600, rate=250, seed=2
    )


def probabilities(prediction):
    return [finding.probability for finding in prediction.findings.values()]


@pytest.mark.parametrize("hop", [None, 8.0, 3.3])
def test_a_window_says_what_the_excerpt_says_alone_and_what_a_stream_says(classifier, holter, hop):
    ecg = read_ecg(holter)
    found = list(classify_windows(classifier, open_long_record(holter), hop=hop))
    stream = Stream(classifier, rate=250, leads=ecg.leads, hop=hop or 4).push(ecg.signal)
    for number, window in enumerate(found):
        first, last = round(window.start * 250), round(window.stop * 250)
        assert last - first == 2000
        if window.prediction is not None:
            expected = classifier.predict(ECG(ecg.signal[:, first:last], 250.0, ecg.leads))
            np.testing.assert_allclose(probabilities(window.prediction), probabilities(expected), atol=1e-6)
            assert window.warnings == expected.warnings
        if number < len(stream):
            assert (stream[number].start, stream[number].reason) == (pytest.approx(window.start), window.reason)
            if window.prediction is not None:
                live = probabilities(stream[number].prediction)
                np.testing.assert_allclose(live, probabilities(window.prediction), atol=1e-6)
    assert len(stream) >= len(found) - 1
    assert found[-1].stop == pytest.approx(101.3)


def test_windows_with_the_electrodes_off_are_not_classified(classifier, holter):
    found = list(classify_windows(classifier, open_long_record(holter), hop=4))
    assert [window.start for window in found if window.prediction is None] == [40, 44, 48, 52]
    assert all(window.reason.startswith("flat_lead") for window in found if window.prediction is None)


def test_a_record_shorter_than_a_window_is_one_window_padded_as_a_file_is(classifier, tmp_path):
    header = write_holter(tmp_path, hours=5 / 3600, rate=250)
    (window,) = classify_windows(classifier, open_long_record(header))
    assert (window.start, window.stop) == (0, 5)
    np.testing.assert_allclose(
        probabilities(window.prediction), probabilities(classifier.predict(read_ecg(header))), atol=1e-6
    )


@given(n=st.integers(1, 20_000), window=st.integers(64, 3000), share=st.floats(0.05, 1))
def test_windows_cover_the_record_and_the_last_ends_with_it(n, window, share):
    starts = list(window_starts(n, window, share * window))
    assert starts[0] == 0
    assert starts[-1] == max(0, n - window)
    assert all(0 < later - earlier <= window + 1 for earlier, later in pairwise(starts))


@pytest.mark.parametrize("hop", [0, -1, 8.1, float("nan")])
def test_a_hop_that_leaves_something_unread_is_refused(classifier, holter, hop):
    with pytest.raises(SignalError, match="more than 0 and at most a window, 8 s"):
        classify_windows(classifier, open_long_record(holter), hop=hop)


def test_a_record_without_the_bundles_leads_is_refused_before_it_is_read(classifier, tmp_path):
    header = write_holter(tmp_path, hours=0.01, rate=250, leads=("II", "V1", "V5"))
    with pytest.raises(
        LeadError, match=r"no lead I, III.*bundle of these leads, such as six-findings-holter, .*; ecoscale finetune"
    ):
        classify_windows(classifier, open_long_record(header))


def test_memory_does_not_grow_with_the_length(classifier, tmp_path):
    peaks = []
    for minutes in (15, 45):
        header = write_holter(tmp_path, hours=minutes / 60, rate=100, record=f"of-{minutes}")
        tracemalloc.start()
        timeline(classifier, open_long_record(header), hop=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The signal of 30 minutes more is 8.6 MB. A piece or some windows more may be under way at once.
    assert peaks[1] < peaks[0] + 2_000_000


def test_the_shipped_bundle_finds_the_episodes_where_they_are(tmp_path):
    episodes = [Stretch(60, 150), Stretch(240, 330)]
    header = write_holter(tmp_path, episodes, hours=0.125, rate=250, seed=4)
    found = timeline(Classifier.load("six-findings", threads=1), open_long_record(header))
    assert [(episode.start, episode.stop) for episode in found.episodes("AF")] == [
        pytest.approx((episode.start, episode.stop), abs=6) for episode in episodes
    ]
    assert found.share("AF") == pytest.approx(180 / 450, abs=0.03)
    assert found.share("LBBB") == 0
