from dataclasses import dataclass

import numpy as np
import pytest

from ecoscale.drawing import draw_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import SignalError

RATE = 100


@dataclass
class Told:
    values: np.ndarray
    leads: tuple[str, ...] = LEADS
    start: float = 0.0
    step: float = 0.5
    finding: str = "LBBB"
    method: str = "occlusion"


def flat():
    return ECG(np.zeros((12, 10 * RATE)), RATE, LEADS, record="flat")


def bars(figure):
    """Patches of the drawing beside those of the grid: left, bottom, width, height, and whether they are filled."""
    found = []
    for patch in figure.axes[0].patches[2:]:
        for corners in patch.get_path().vertices.reshape(-1, 5, 2):
            (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
            found.append((left, bottom, right - left, top - bottom, patch.get_facecolor()[3], patch.get_zorder()))
    return np.array(found).reshape(-1, 6)


def test_a_bar_stands_under_the_lead_and_the_seconds_that_it_is_of():
    values = np.zeros((12, 20))
    values[LEADS.index("V1"), 11] = 0.2  # 5.5 to 6 s: V1 is shown from 5 to 7.5 s
    figure = draw_ecg(flat(), relevance=Told(values))
    ((left, bottom, width, height, filled, _),) = bars(figure)
    (trace,) = (line for line in figure.axes[0].lines if line.get_label() == "V1")
    assert left - trace.get_xdata()[0] == pytest.approx(0.5 * 25)
    assert (width, height, filled) == (pytest.approx(12.5), pytest.approx(0.8), 1)
    assert bottom < trace.get_ydata()[0] - 4


def test_for_and_against_differ_without_colour():
    values = np.zeros((12, 20))
    values[LEADS.index("I"), [1, 3]] = 0.2, -0.2
    (up, down) = bars(draw_ecg(flat(), relevance=Told(values)))
    assert (up[4], down[4]) == (1, 0)  # solid, hollow
    assert down[1] + down[3] == pytest.approx(up[1])  # one stands on the axis, the other hangs from it


def test_strong_relevance_lies_behind_the_trace_too():
    values = np.zeros((12, 20))
    values[LEADS.index("I"), [1, 2]] = 0.9
    tint, *solid = bars(draw_ecg(flat(), relevance=Told(values)))
    assert tint[5] < 1  # matplotlib's lines lie at 2, the grid at 1
    assert tint[2] == pytest.approx(25)  # two steps without a seam
    assert len(solid) == 2


def test_a_line_on_the_sheet_explains_the_bars_and_names_finding_and_method():
    shown = " ".join(text.get_text() for text in draw_ecg(flat(), relevance=Told(np.zeros((12, 20)))).axes[0].texts)
    assert "Relevance for LBBB by occlusion." in shown
    assert "solid upward, speaks for the finding; hollow downward, speaks against it" in shown


def test_bars_stay_within_the_recording_and_the_row():
    figure = draw_ecg(flat(), start=4, relevance=Told(np.ones((12, 60)), start=-10, step=0.5))
    right = max(line.get_xdata()[-1] for line in figure.axes[0].lines if line.get_label() == "II")
    lefts, widths = bars(figure)[:, 0], bars(figure)[:, 2]
    assert (lefts + widths).max() <= right + 13
    first = min(line.get_xdata()[0] for line in figure.axes[0].lines if line.get_label() == "I")
    assert lefts.min() >= first - 1e-9


def test_a_lead_without_relevance_has_no_bars_and_nan_says_nothing():
    values = np.full((1, 20), np.nan)
    assert not len(bars(draw_ecg(flat(), relevance=Told(values, leads=("V6",)))))


def test_rows_make_room_for_the_track():
    plain, told = draw_ecg(flat()), draw_ecg(flat(), relevance=Told(np.ones((12, 20))))
    assert told.get_figheight() > plain.get_figheight()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Told(np.zeros((3, 20))), r"shape \(3, 20\).* 12 leads"),
        (Told(np.full((12, 20), 1.5)), "reaches 1.5; expected values from -1 to 1"),
        (Told(np.zeros((12, 20)), step=0), "steps of 0 s"),
    ],
)
def test_relevance_that_cannot_be_drawn_is_refused(told, message):
    with pytest.raises(SignalError, match=message):
        draw_ecg(flat(), relevance=told)
