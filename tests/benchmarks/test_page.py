"""What the pages say is what was measured."""

import json
import re

import pytest

from measurement import RESULTS
from page import BLOCKS, PAGES, draw, load_all, number, render, table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_shows_the_results_that_are_stored(page):
    text = page.read_text(encoding="utf-8")
    assert render(text, load_all()) == text


def test_every_block_stands_in_a_page():
    shown = {name for page in PAGES for name in re.findall(r"<!-- ([a-z0-9-]+) -->", page.read_text(encoding="utf-8"))}
    assert shown - {"end"} == set(BLOCKS)


def test_a_block_that_nothing_makes_is_refused():
    with pytest.raises(KeyError, match="accuracy"):
        render("<!-- accuracy -->\n<!-- end -->", {})


def test_what_was_not_measured_is_named_with_its_reason():
    row = {"kind": "signal", "name": "a live signal", "skipped": "no Stream here"}
    assert "- a live signal: no Stream here" in BLOCKS["signals"]({"path": {"rows": [row]}})


def test_numbers_have_three_digits():
    shown = [number(value) for value in (0.012345, 1.0, 12.345, 123.45, 61132.5, None)]
    assert shown == ["0.0123", "1", "12.3", "123", "61,100", "-"]


def test_a_table_has_its_first_column_on_the_left():
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | --: |\n| x | 1 |"


def test_the_figure_has_a_bar_for_every_network():
    rows = [
        {"kind": "network", "input": "1,000 samples at 100 Hz", "name": name, "threads": 1, "batch": 1, "ratio": ratio}
        for name, ratio in (("EcoScale-Net", 1.0), ("another", 0.25), ("a third", 2.0))
    ]
    (axes,) = draw({"peers": {"rows": rows}}).axes
    assert [bar.get_x() + bar.get_width() for bar in axes.patches] == [1.0, 0.25, 2.0]


def test_stored_results_name_no_folder_of_the_machine():
    for path in RESULTS.glob("*.json"):
        text = json.dumps(json.loads(path.read_text(encoding="utf-8")))
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|usr|Users)/", text), path.name
