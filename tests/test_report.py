import gc
import re
import weakref
from html.parser import HTMLParser

import numpy as np
import pytest

from ecoscale.ecg import ECG
from ecoscale.findings import CODE_FINDINGS, DISCLAIMER
from ecoscale.inference import FindingResult, Prediction
from ecoscale.report import write_report

PROBABILITIES = (0.12, 0.0001, 0.31, 0.9996, 0.02, 0.5)
THRESHOLD = 0.31


def recording(record="00001_hr", source="records/00001_hr", probabilities=PROBABILITIES, seconds=10.0, warnings=()):
    signal = np.random.default_rng(0).normal(scale=0.1, size=(12, round(100 * seconds)))
    findings = {
        finding.name: FindingResult(finding.name, finding.title, finding.snomed, probability, THRESHOLD)
        for finding, probability in zip(CODE_FINDINGS, probabilities, strict=True)
    }
    return ECG(signal, 100, source=source, record=record), Prediction(
        source, record, findings, tuple(warnings), "ecoscalenet-test 1.0"
    )


class Page(HTMLParser):
    """The tags of a page, with their attributes, and the text of each row of its tables."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.open = [], [], []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "path"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "
        if "tr" in self.open:
            self.rows[-1] = " ".join(f"{self.rows[-1]} {data}".split())

    def having(self, attribute):
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


@pytest.fixture
def write(tmp_path):
    def write(results, **options):
        path = write_report(results, tmp_path / "out" / "report.html", **options)
        return path.read_text(encoding="utf-8")

    return write


def test_each_finding_stands_beside_the_sheet_with_its_code_probability_threshold_and_result(write):
    page = Page(write([recording()]))
    rows = [row for row in page.rows if "SNOMED" in row]
    assert len(rows) == len(CODE_FINDINGS)
    shown = ("12.0 %", "< 0.1 %", "31.0 %", "> 99.9 %", "2.0 %", "50.0 %")
    results = ("○ absent", "○ absent", "● present", "● present", "○ absent", "● present")
    for row, finding, probability, result in zip(rows, CODE_FINDINGS, shown, results, strict=True):
        title = finding.title[0].upper() + finding.title[1:]
        assert row == (f"{title} {finding.name} · SNOMED {finding.snomed} {probability} threshold 31.0 % {result}"), (
            finding.name
        )


def test_the_sheet_is_drawn_in_the_page_and_described_for_those_who_cannot_see_it(write):
    page = Page(write([recording(seconds=7.3)]))
    (sheet,) = (attributes for tag, attributes in page.tags if tag == "svg")
    assert sheet["role"] == "img"
    assert "12 leads" in sheet["aria-label"]
    assert "first 7.3 of 7.3 seconds" in sheet["aria-label"]
    assert "25 mm/s · 10 mm/mV · 100 Hz" in page.text


def test_the_disclaimer_source_rate_duration_and_bundle_are_on_the_page(write):
    text = " ".join(Page(write([recording()])).text.split())
    assert DISCLAIMER in text
    for fact in ("Source records/00001_hr", "Rate 100 Hz", "Duration 10 s", "Bundle ecoscalenet-test 1.0"):
        assert fact in text


def test_a_recording_without_findings_says_so_in_words(write):
    html = write([recording(probabilities=(0.0,) * 6)])
    assert "None of the 6 findings reaches its threshold" in html
    assert "present</td>" not in html


def test_warnings_are_told_in_plain_words(write):
    warnings = ("flat_lead: aVL 2.0 s; electrode off", "new_code: whatever it is", "no code at all")
    text = " ".join(Page(write([recording(warnings=warnings)])).text.split())
    assert "A lead shows no signal: aVL 2.0 s; electrode off" in text
    assert "New code: whatever it is" in text
    assert "no code at all" in text
    assert "flat_lead" not in text


def test_a_hostile_name_is_text(write):
    hostile = '<script>alert("1")</script>'
    html = write(
        [recording(record=hostile, source="<img src=x>", warnings=("x: <b>bold</b>",)), recording()],
        title="<i>title</i>",
        failures=[("<u>file</u>", "<s>error</s>")],
    )
    page = Page(html)
    assert hostile in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "img", "i", "u", "s", "b"}


def test_a_name_that_utf_8_cannot_hold_is_written_all_the_same(write):
    assert "caf?" in write([recording(record="caf\udce9")], failures=[("\udcff", "not readable")])


def test_the_page_fetches_nothing_and_runs_nothing(write):
    html = write([recording(), recording()], failures=[("a", "b")])
    page = Page(html)
    assert not page.having("src")
    assert all(address.startswith("#") for address in page.having("href"))
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|<script|<link|javascript:", html)


def test_links_and_labels_point_to_what_is_there_once(write):
    page = Page(write([recording(), recording(), recording(warnings=("x: y",))], failures=[("a", "b")]))
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in page.having("href")} <= set(ids)
    assert set(page.having("aria-labelledby")) <= set(ids)


def test_several_recordings_have_an_index_with_their_findings(write):
    results = [recording(record="first"), recording(record="second", probabilities=(0.0,) * 6, warnings=("a: b",))]
    page = Page(write(results))
    rows = [row for row in page.rows if re.match(r"\d", row)]
    assert rows == [
        "1 first ● Left bundle branch block, sinus bradycardia, atrial fibrillation none",
        "2 second ○ none 1",
    ]
    assert "2 recordings, 1 with a finding present" in page.text
    assert "index" not in Page(write(results[:1])).having("class")


def test_files_that_could_not_be_read_are_listed_with_their_error(write):
    failures = []

    def reading():
        yield recording()
        failures.append(("broken.dcm", "broken.dcm: no waveform in it"))

    page = Page(write(reading(), failures=failures))
    text = " ".join(page.text.split())
    assert "1 file could not be read" in text
    assert "broken.dcm no waveform in it" in text


def test_a_page_without_recordings_still_carries_the_disclaimer(write):
    html = write([], failures=[("a", "b")])
    assert "0 recordings" in html
    assert DISCLAIMER in html


def test_recordings_are_let_go_once_they_are_drawn(write):
    alive = []

    def stream():
        for number in range(8):
            ecg, prediction = recording(record=f"r{number}", seconds=1)
            alive.append(weakref.ref(ecg))
            yield ecg, prediction
            del ecg
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 1

    assert write(stream()).count("<article") == 8


def test_nothing_is_written_when_the_results_fail(tmp_path):
    def broken():
        yield recording()
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError):
        write_report(broken(), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
