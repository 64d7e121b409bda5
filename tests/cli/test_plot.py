"""`ecoscale plot`: what is drawn where, and what is refused."""

import re
import shutil

import numpy as np
import pytest

from ecoscale.datasets.layouts import write_holter
from ecoscale.formats import read_ecg


@pytest.fixture
def plot(run, bundle, tmp_path, monkeypatch):
    """The command in an empty folder, with the quick bundle."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def plotted(*arguments):
        result = run("plot", *arguments, "--bundle", bundle, "--dpi", 50)
        return result, sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    return plotted


def texts(path):
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    return write_holter(tmp_path_factory.mktemp("holter"), hours=1.25, rate=50, leads=("II", "V1", "V5"))


def test_a_recording_becomes_a_png_of_its_name_in_this_folder(plot, ecgs):
    result, files = plot(ecgs / "good-AF.hea")
    assert (result.exit_code, result.stdout, files) == (0, "good-AF.png\n", ["good-AF.png"])


def test_findings_stand_beside_the_sheet_with_threshold_and_disclaimer(plot, ecgs, tmp_path):
    plot(ecgs / "good-AF.hea", "-o", "sheet.svg")
    shown = texts(tmp_path / "here" / "sheet.svg")
    assert "25 mm/s · 10 mm/mV · 500 Hz · 0 to 10 s of 10 s" in shown
    assert any("Atrial fibrillation" in text for text in shown)
    assert any("threshold 50.0 %" in text for text in shown)
    assert any("Research software" in text for text in shown)


def test_without_findings_no_bundle_is_asked_for(run, ecgs, tmp_path):
    result = run("plot", ecgs / "good-AF.hea", "-o", tmp_path / "a.svg", "--no-findings", "--bundle", "nowhere")
    assert result.exit_code == 0
    assert "Findings" not in texts(tmp_path / "a.svg")


def test_measurements_stand_beside_it_where_they_are_asked_for(plot, ecgs, tmp_path):
    plot(ecgs / "good-normal.hea", "-o", "sheet.svg", "--measure")
    shown = texts(tmp_path / "here" / "sheet.svg")
    assert {"Measurements", "Heart rate", "QTc (Fridericia)"} <= set(shown)
    assert any(re.fullmatch(r"\d+/min", text) for text in shown)


def test_layout_speed_gain_start_and_rhythm_lead_are_those_asked_for(plot, ecgs, tmp_path):
    plot(ecgs / "good-AF.hea", "-o", "a.svg", "--layout", "6x2", "--speed", 50, "--gain", 5, "--start", 2)
    assert "50 mm/s · 5 mm/mV · 500 Hz · 2 to 10 s of 10 s" in texts(tmp_path / "here" / "a.svg")


def test_several_recordings_go_into_a_folder_or_one_pdf(plot, ecgs, tmp_path):
    _, files = plot(ecgs, "-o", "sheets")
    assert files == ["sheets/good-AF.png", "sheets/good-LBBB.png", "sheets/good-normal.png"]
    result, _ = plot(ecgs, "-o", "all.pdf")
    assert (result.exit_code, result.stdout) == (0, "all.pdf\n")
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "here" / "all.pdf").read_bytes())) == 3


def test_one_png_for_several_recordings_is_refused(plot, ecgs):
    result, files = plot(ecgs, "-o", "all.png")
    assert (result.exit_code, files) == (2, [])
    assert "one .png cannot hold 3 recordings" in " ".join(result.stderr.split())


def test_records_of_one_name_do_not_overwrite_each_other(plot, ecgs, tmp_path):
    shutil.copytree(ecgs, tmp_path / "other")
    _, files = plot(ecgs / "good-AF.hea", tmp_path / "other" / "good-AF.hea", "--no-findings")
    assert files == ["good-AF-2.png", "good-AF.png"]


def test_what_is_read_is_never_written_over(plot, tmp_path, ecgs):
    ecg = read_ecg(ecgs / "good-AF.hea")
    disguised = tmp_path / "here" / "ecg.svg"
    np.savetxt(disguised, ecg.signal[:, :2000].T, delimiter=",", header=",".join(ecg.leads), comments="")
    before = disguised.read_bytes()
    result, _ = plot(disguised, "--rate", 500, "--unit", "mV", "-o", disguised)
    assert result.exit_code == 2
    assert "would be overwritten" in result.stderr
    assert disguised.read_bytes() == before


def test_what_cannot_be_read_is_said_and_the_others_are_drawn(plot, ecgs, tmp_path):
    result, files = plot(ecgs / "nothing.hea", ecgs / "good-AF.hea", "--no-findings")
    assert (result.exit_code, files) == (1, ["good-AF.png"])
    assert "no such file" in result.stderr


def test_a_recording_that_the_bundle_cannot_read_is_drawn_without_findings_and_that_is_said(plot, holter):
    result, files = plot(holter, "-o", "a.svg")
    assert (result.exit_code, files) == (0, ["a.svg"])
    assert "drawn without findings" in result.stderr


def test_a_sheet_of_a_long_record_shows_the_excerpt_that_is_asked_for(plot, holter, tmp_path):
    plot(holter, "-o", "a.svg", "--start", 3600, "--no-findings")
    assert "holter, from 2024-03-01 09:00:00 on" in texts(tmp_path / "here" / "a.svg")


def test_a_long_record_becomes_pages_of_strips(plot, holter, tmp_path):
    result, files = plot(holter, "-l", "strip", "--speed", 5, "--show", "II,V5", "--pages", "2-3", "-o", "a.svg")
    assert (result.exit_code, files) == (0, ["a-01.svg", "a-02.svg"])
    shown = texts(tmp_path / "here" / "a-01.svg")
    assert {"II", "V5"} <= set(shown)
    # Rows of 50 s, three on a page.
    assert "2024-03-01 08:02:30  (0:02:30)" in shown
    assert "II, V5 · 5 mm/s · 10 mm/mV · 50 Hz · 50 s a row" in shown


def test_hundreds_of_files_are_not_written_unasked(plot, holter):
    result, files = plot(holter, "-l", "strip", "--speed", 100)
    assert (result.exit_code, files) == (1, [])
    assert "300 pages would be as many .png files; give --output with a name in .pdf" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pages", "2"), "is of strips; give --layout strip too"),
        (("--layout", "strip", "--pages", "3-2"), "expected a page as 3, or pages as 2-5"),
        (("-o", "a.gif"), "cannot draw to it; use .png, .svg, .pdf"),
    ],
)
def test_options_that_make_no_sense_are_refused(plot, ecgs, arguments, message):
    result, files = plot(ecgs / "good-AF.hea", *arguments)
    assert (result.exit_code, files) == (2, [])
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
