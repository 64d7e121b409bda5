"""A timeline drawn: rows, times and what is marked."""

from datetime import datetime, time

import numpy as np
import pytest

from ecoscale.bundle import Label
from ecoscale.errors import EcoscaleError
from ecoscale.excerpts import Window
from ecoscale.formats.long_records import LongRecord
from ecoscale.inference import FindingResult, Prediction
from ecoscale.timeline import Timeline
from ecoscale.timeline.plot import draw_timeline, save_timeline


def made(seconds, start=None, names=("AF", "$SB_1$"), present=(30, 60)):
    """A timeline in which the first finding is present in some seconds, and the first window is not classified."""
    labels = tuple(Label(name=name, title=name, snomed=None, threshold=0.5) for name in names)
    record = LongRecord("r.hea", "r", 100, ("II",), 100 * seconds, start, (), lambda *_: iter(()))
    timeline = Timeline(record, "b 1", labels, 10, 10, 10)
    timeline.add(Window(0, 10, None, "flat_lead: all"))
    for begin in range(10, seconds, 10):
        probability = 0.9 if present[0] <= begin < present[1] else 0.1
        values = dict(zip(names, [probability, *[0.2] * len(names)], strict=False))
        findings = {name: FindingResult(name, name, None, value, 0.5) for name, value in values.items()}
        timeline.add(Window(begin, begin + 10, Prediction("", "", findings, (), "b 1")))
    return timeline


def ticks(figure):
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[1].get_xticklabels()]


def test_there_is_a_row_for_each_finding_and_each_kind_of_warning():
    figure = draw_timeline(made(600))
    rows, doubts = (figure.axes[n].get_yticklabels() for n in (0, 1))
    assert [label.get_text() for label in rows] == ["AF  5 %", "$SB_1$  0 %"]
    assert [label.get_text() for label in doubts] == ["flat lead"]


def test_probabilities_are_colours_and_episodes_bars():
    figure = draw_timeline(made(600))
    values = figure.axes[0].get_images()[0].get_array()
    assert np.ma.getmaskarray(values)[0, 0]
    assert values[0, values.shape[1] * 45 // 600] == pytest.approx(0.9)
    (bar,) = [path for bars in figure.axes[0].collections[:1] for path in bars.get_paths()]
    assert (bar.vertices[:, 0].min(), bar.vertices[:, 0].max()) == (30, 60)


def test_an_episode_of_one_window_in_a_day_is_seen():
    figure = draw_timeline(made(86_400, present=(40_000, 40_010)))
    values = np.ma.filled(figure.axes[0].get_images()[0].get_array(), 0)
    assert values.shape[1] <= 1200
    assert values.max() == pytest.approx(0.9)
    (bar,) = [path for bars in figure.axes[0].collections[:1] for path in bars.get_paths()]
    assert np.ptp(bar.vertices[:, 0]) > 100


@pytest.mark.parametrize(
    ("start", "seconds", "first", "label"),
    [
        (None, 600, "0:00", "time since the beginning, h:min"),
        (None, 86_400, "0:00", "time since the beginning, h:min"),
        (None, 100, "0:00:00", "time since the beginning, h:min:s"),
        (time(8), 600, "08:00", "time of day"),
        (datetime(2024, 3, 1, 8), 86_400, "08:00", "time of day, from 01 March 2024"),
    ],
)
def test_the_axis_tells_the_time_of_day_or_since_the_beginning(start, seconds, first, label):
    figure = draw_timeline(made(seconds, start))
    shown = [text for text in ticks(figure) if text]
    assert first in shown
    assert 4 <= len(shown) <= 15
    assert figure.axes[1].get_xlabel() == label


def test_of_many_findings_those_are_drawn_that_are_present():
    figure = draw_timeline(made(600, names=[f"f{number}" for number in range(40)]))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["f0  5 %"]


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_it_is_written_by_its_suffix_the_same_each_time(tmp_path, suffix, begin):
    for name in ("a", "b"):
        save_timeline(draw_timeline(made(300)), tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b"))
    assert first.startswith(begin)
    assert first == second


def test_another_suffix_and_no_windows_are_refused(tmp_path):
    with pytest.raises(EcoscaleError, match=r"cannot draw to .gif; use .png, .svg or .pdf"):
        save_timeline(draw_timeline(made(100)), tmp_path / "a.gif")
    record = LongRecord("r.hea", "r", 100, ("II",), 0, None, (), lambda *_: iter(()))
    with pytest.raises(EcoscaleError, match=r"r.hea: no windows"):
        draw_timeline(Timeline(record, "b 1", (), 10, 10, 10))
