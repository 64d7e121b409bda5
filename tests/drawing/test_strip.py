import re
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.drawing import lay_out_strip, save_pages
from ecoscale.errors import EcoscaleError, LeadError, SignalError


class Counted:
    """A long record whose every sample says where it is: its number, in units of 1e-7 mV. Counts what was read."""

    source, record = "count.dat", "count"

    def __init__(self, seconds=200.0, rate=50.0, leads=("II", "V1", "V5"), piece=60.0, start=None):
        self.rate, self.leads, self.duration = rate, leads, seconds
        self.n_samples = round(seconds * rate)
        self._piece, self._start, self.read = round(piece * rate), start, 0

    def pieces(self):
        self.read = 0
        for first in range(0, self.n_samples, self._piece):
            row = np.arange(first, min(first + self._piece, self.n_samples)) * 1e-7
            self.read += len(row)
            yield np.tile(row, (len(self.leads), 1))

    def clock(self, seconds):
        return None if self._start is None else str(self._start + timedelta(seconds=seconds))


def drawn(page, lead="II"):
    """The numbers of the samples of each row, of a page at 10 mm/mV."""
    return [line for line in page.axes[0].lines if line.get_label() == lead]


def texts(page):
    return [text.get_text() for text in page.axes[0].texts]


def test_a_row_holds_ten_seconds_at_25_mm_a_second_and_says_when_it_begins():
    strip = lay_out_strip(Counted())
    first, *_ = pages = list(strip.pages())
    assert (strip.row_seconds, strip.n_pages, len(pages)) == (10, -(-20 // strip.n_rows), strip.n_pages)
    heads = [text for page in pages for text in texts(page) if re.fullmatch(r"\d:\d\d:\d\d", text)]
    assert heads == [f"0:{10 * row // 60:02}:{10 * row % 60:02}" for row in range(20)]
    assert np.ptp(drawn(first)[0].get_xdata()) == pytest.approx(250)
    assert f"page 1 of {strip.n_pages}" in texts(first)


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.floats(0.1, 300),
    rate=st.sampled_from([50.0, 128.0, 33.3]),
    piece=st.floats(0.5, 80),
    start=st.floats(0, 0.99),
    speed=st.sampled_from([5.0, 25.0, 12.5]),
)
def test_every_sample_is_drawn_once_and_rows_join(seconds, rate, piece, start, speed):
    record = Counted(seconds, rate, piece=piece)
    if not record.n_samples:
        return
    record.duration = record.n_samples / rate
    begin = start * record.duration
    strip = lay_out_strip(record, speed=speed, start=begin)
    lengths = [len(line.get_xdata()) for page in strip.pages() for line in drawn(page)]
    n_samples = record.n_samples - round(begin * rate)
    # A row ends with the sample that the next begins with.
    assert sum(lengths) - (len(lengths) - 1) == pytest.approx(n_samples, abs=1)


def test_the_clock_stands_at_the_rows_heads_where_it_is_known():
    page = next(lay_out_strip(Counted(start=datetime(2024, 3, 1, 8)), start=20).pages())
    assert "2024-03-01 08:00:20  (0:00:20)" in texts(page)


def test_chosen_pages_are_those_of_the_whole_and_nothing_after_them_is_read():
    record = Counted(3600)
    strip = lay_out_strip(record)
    (page,) = strip.pages(2, 2)
    begins = 10 * strip.n_rows
    assert f"0:{begins // 60:02}:{begins % 60:02}" in texts(page)
    assert record.read <= (2 * 10 * strip.n_rows + 120) * record.rate


def test_several_leads_stand_one_under_the_other_and_leave_room_for_fewer_rows():
    one, three = lay_out_strip(Counted()), lay_out_strip(Counted(), leads=("II", "V1", "V5"))
    page = next(three.pages())
    assert three.n_rows < one.n_rows
    assert [len(drawn(page, lead)) for lead in three.leads] == [three.n_rows] * 3
    heights = [float(np.median(drawn(page, lead)[0].get_ydata())) for lead in three.leads]
    assert heights == sorted(heights, reverse=True)


def test_a_page_prints_to_scale_on_a4_and_on_letter():
    width, height = next(lay_out_strip(Counted()).pages()).get_size_inches() * 25.4
    assert width <= 279.4
    assert height <= 210


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"leads": ("aVR",)}, LeadError, "no lead aVR to draw; it has II, V1, V5"),
        ({"start": 200}, SignalError, "cannot start at 200 s; the recording lasts 200 s"),
        ({"seconds": 0}, EcoscaleError, "0 s are to be drawn"),
        ({"speed": 1}, EcoscaleError, "speed is 1 mm/s; expected 2.5 to 100"),
    ],
)
def test_what_cannot_be_laid_out_is_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        lay_out_strip(Counted(), **options)


def test_more_leads_than_a_page_holds_are_refused_with_how_many_there_may_be():
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3")
    with pytest.raises(LeadError, match="9 leads are asked for; a page of strips has room for 7"):
        lay_out_strip(Counted(leads=leads), leads=leads)


def test_a_missing_stretch_and_a_tall_wave_are_said(recwarn):
    class Poor(Counted):
        def pieces(self):
            for piece in super().pieces():
                piece[0, :] = np.nan
                piece[1, 100] = 9.0
                yield piece

    page = next(lay_out_strip(Poor(), leads=("II", "V1")).pages())
    assert "no signal" in texts(page)
    assert "cut off" in texts(page)
    assert "Rows marked so are cut off at 2.5 mV." in texts(page)
    assert not recwarn


def test_pages_go_into_one_pdf_or_into_numbered_files(tmp_path):
    strip = lay_out_strip(Counted(100))
    assert save_pages(strip.pages(), tmp_path / "strip.pdf", strip.n_pages) == [tmp_path / "strip.pdf"]
    document = (tmp_path / "strip.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", document)) == strip.n_pages == 2
    files = save_pages(strip.pages(), tmp_path / "strip.svg", strip.n_pages)
    assert [file.name for file in files] == ["strip-01.svg", "strip-02.svg"]
    assert all(file.exists() for file in files)
