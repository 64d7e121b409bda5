import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ecoscale.drawing import Row, Section, draw_ecg
from ecoscale.drawing.column import COLUMN_WIDTH, draw_sections, sections_height
from ecoscale.drawing.paper import MM_PER_INCH, blank_figure
from ecoscale.ecg import ECG, LEADS

SECTIONS = [
    Section("Findings", (Row("● Atrial fibrillation", "98.0 %", "AF · threshold 31.0 %", 0.98, 0.31, True),)),
    Section("Read with care", (Row("A lead shows no signal: " + "V1 " * 40),), "alert"),
]


def drawn(sections, width=COLUMN_WIDTH):
    figure, axes = blank_figure(100, 200)
    end = draw_sections(axes, sections, 10, 190, width)
    return figure, axes, end


def test_sections_end_where_their_height_says():
    _, axes, end = drawn(SECTIONS)
    assert 190 - end == pytest.approx(sections_height(SECTIONS))
    assert min(text.get_position()[1] for text in axes.texts) >= end


def test_no_writing_leaves_the_column():
    figure, axes, _ = drawn(SECTIONS, 60)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        left, right = box.x0 / figure.dpi * MM_PER_INCH, box.x1 / figure.dpi * MM_PER_INCH
        assert left >= 10 - 0.5, text.get_text()
        assert right <= 70 + 0.5, text.get_text()


def test_a_bar_is_as_long_as_its_share_and_marked_at_the_threshold():
    _, axes, _ = drawn(SECTIONS[:1])
    ground, bar, mark = (patch.get_path().get_extents() for patch in axes.patches)
    assert bar.width == pytest.approx(0.98 * ground.width)
    assert (mark.x0 + mark.x1) / 2 - ground.x0 == pytest.approx(0.31 * ground.width)


def test_what_stands_beside_a_sheet_widens_the_figure_and_all_of_it_is_on_paper():
    ecg = ECG(np.zeros((12, 1000)), 100, LEADS)
    plain, beside = draw_ecg(ecg), draw_ecg(ecg, beside=SECTIONS * 6)
    assert (beside.get_figwidth() - plain.get_figwidth()) * MM_PER_INCH == pytest.approx(COLUMN_WIDTH + 6)
    assert min(text.get_position()[1] for text in beside.axes[0].texts) > 0
    assert "● Atrial fibrillation" in [text.get_text() for text in beside.axes[0].texts]
