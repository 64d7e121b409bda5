"""From windows to shares of time and episodes."""

import json
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.bundle import Label
from ecoscale.excerpts import Window
from ecoscale.formats.long_records import LongRecord
from ecoscale.inference import FindingResult, Prediction
from ecoscale.timeline import Timeline

LABELS = (Label(name="AF", title="atrial fibrillation", snomed="164889003", threshold=0.5),)


def made(said, *, window=10.0, hop=5.0, warnings=(), **options):
    """A timeline of windows with these probabilities of AF; None: not classified."""
    duration = hop * (len(said) - 1) + window
    start, notes = datetime(2024, 3, 1, 23, 59), ("note: n",)
    record = LongRecord("r.hea", "r", 100, ("II",), round(100 * duration), start, notes, lambda *_: iter(()))
    found = Timeline(record, "b 1", LABELS, window, hop, options.pop("longest_gap", 0.0), **options)
    for number, probability in enumerate(said):
        start = number * hop
        if probability is None:
            found.add(Window(start, start + window, None, "flat_lead: all of it"))
        else:
            result = FindingResult("AF", "", None, probability, 0.5)
            found.add(Window(start, start + window, Prediction("", "", {"AF": result}, ("note: n", *warnings), "b 1")))
    return found


def spans(timeline):
    return [(episode.start, episode.stop) for episode in timeline.episodes("AF")]


def test_each_window_speaks_for_the_time_nearest_to_its_middle():
    np.testing.assert_allclose(made([0, 0, 0, 0]).edges, [0, 7.5, 12.5, 17.5, 25])
    np.testing.assert_allclose(made([0, 0, 0], hop=10).edges, [0, 10, 20, 30])
    np.testing.assert_allclose(made([0]).edges, [0, 10])


def test_windows_that_follow_each_other_and_show_a_finding_are_one_episode():
    found = made([0.1, 0.7, 0.9, 0.2, 0.5])
    assert spans(found) == [(7.5, 17.5), (22.5, 30)]
    assert [episode.highest for episode in found.episodes("AF")] == pytest.approx([0.9, 0.5])
    assert found.share("AF") == pytest.approx(17.5 / 30)


def test_episodes_with_short_gaps_between_are_one_and_short_ones_are_left_out_after_that():
    said = [0.9, 0, 0.9, 0, 0, 0.9, 0, 0, 0, 0.9, 0.9]
    assert spans(made(said, hop=10)) == [(0, 10), (20, 30), (50, 60), (90, 110)]
    assert spans(made(said, hop=10, longest_gap=10)) == [(0, 30), (50, 60), (90, 110)]
    assert spans(made(said, hop=10, longest_gap=20)) == [(0, 60), (90, 110)]
    assert spans(made(said, hop=10, longest_gap=10, shortest=20)) == [(0, 30), (90, 110)]


def test_time_that_is_not_classified_has_no_part_in_the_share():
    found = made([0.9, None, None, 0.1], hop=10)
    assert found.share("AF") == 0.5
    assert list(found.classified) == [True, False, False, True]
    assert spans(found) == [(0, 10)]
    assert np.isnan(made([None]).share("AF"))
    assert made([None]).episodes("AF") == []


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([1.0, 5.0, 10.0]))
def test_without_merging_episodes_last_as_long_as_the_share_says(said, hop):
    found = made(said, hop=hop)
    total = np.diff(found.edges)[found.classified].sum()
    assert sum(episode.duration for episode in found.episodes("AF")) == pytest.approx(
        found.share("AF") * total if total else 0
    )
    assert all(earlier.stop < later.start for earlier, later in pairwise(found.episodes("AF")))
    merged = made(said, hop=hop, longest_gap=1e9)
    assert len(merged.episodes("AF")) == min(1, len(found.episodes("AF")))


def test_warnings_are_counted_by_code_without_the_notes_of_the_record():
    found = made([0.1, None], warnings=("saturated: II",))
    assert {code: list(where) for code, where in found.doubtful.items()} == {
        "saturated": [True, False],
        "flat_lead": [False, True],
    }


def test_the_summary_is_plain_and_has_the_time_of_day():
    summary = json.loads(json.dumps(made([0.1, 0.1, 0.9, 0.9], hop=30).summary(), allow_nan=False))
    assert summary["start"] == "2024-03-01 23:59:00"
    assert summary["findings"]["AF"]["episodes"] == [
        {
            "start_s": 50,
            "stop_s": 100,
            "start": "2024-03-01 23:59:50",
            "stop": "2024-03-02 00:00:40",
            "highest_probability": 0.9,
        }
    ]
    assert summary["notes"] == ["note: n"]
    assert (summary["windows"], summary["classified_s"]) == (4, 100)
    assert made([None]).summary()["findings"]["AF"]["share"] is None
