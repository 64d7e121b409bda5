"""Sheets as files."""

import re

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.drawing import draw_ecg
from ecoscale.drawing.saving import pdf_pages


def test_the_fonts_of_all_pages_are_truetype_so_that_every_viewer_shows_and_finds_the_text(tmp_path):
    figure = draw_ecg(synthetic_ecg([], seed=1).ecg)
    with pdf_pages(tmp_path / "two.pdf") as add:
        add(figure)
        add(figure)
    written = (tmp_path / "two.pdf").read_bytes()
    assert set(re.findall(rb"/Subtype /(Type3|TrueType|Type0|CIDFontType2)", written)) == {b"Type0", b"CIDFontType2"}
    assert written.count(b"/Type /Page\n") + written.count(b"/Type /Page ") == 2
