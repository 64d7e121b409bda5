import re
import zlib

import numpy as np
import pytest

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG
from ecoscale.findings import CODE_FINDINGS, DISCLAIMER
from ecoscale.inference import FindingResult, Prediction
from ecoscale.measurements import Measurements
from ecoscale.report_pdf import report_pdf, write_report_pdf

A4 = (297 / 25.4 * 72, 210 / 25.4 * 72)


def result(record="bed 4", present=("AF",), warnings=(), amplitude=1.0):
    made = synthetic_ecg(["AF"], seed=1, rate=100, record=record).ecg
    ecg = ECG(made.signal * amplitude, 100, source=f"ward/{record}.hea", record=record)
    findings = {
        each.name: FindingResult(each.name, each.title, each.snomed, 0.9 if each.name in present else 0.01, 0.31)
        for each in CODE_FINDINGS
    }
    return ecg, Prediction(ecg.source, record, findings, tuple(warnings), "test 1.0")


STRING = rb"\(((?:[^()\\]|\\.)*)\)"
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def unescaped(match):
    said = match[1]
    return bytes([int(said, 8)]) if said.isdigit() else ESCAPES.get(said, said)


def words(block):
    """The text of a block: its strings hold characters, of two bytes each in the fonts that matplotlib embeds."""
    data = b"".join(re.findall(STRING, block, re.DOTALL))
    data = re.sub(rb"\\([0-7]{3}|.)", unescaped, data, flags=re.DOTALL)
    return data.decode("utf-16-be" if data[:1] == b"\0" else "latin-1", "replace")


class Document:
    """Pages of a PDF of matplotlib's: their sizes in points, and the text on them."""

    def __init__(self, content):
        boxes = re.findall(rb"/MediaBox \[ ([^\]]*) \]", content.replace(b"\n", b" "))
        self.sizes = [tuple(float(each) for each in box.split()[2:]) for box in boxes]
        streams = re.findall(rb"/FlateDecode.*?stream\n(.*?)\nendstream", content, re.DOTALL)
        drawn = b"\n".join(each for each in map(zlib.decompress, streams) if b" Tf" in each)
        self.text = " ".join(map(words, re.findall(rb"\nBT\n(.*?)\nET\n", drawn, re.DOTALL)))
        self.images = content.count(b"/Subtype /Image")


def test_it_is_vectors_on_a4_across_whose_text_can_be_searched():
    document = Document(report_pdf(*result()))
    assert len(document.sizes) == 2
    assert all(size == pytest.approx(A4, abs=0.5) for size in document.sizes)
    assert document.images == 0
    for said in (
        "bed 4",
        "aVR",
        "25 mm/s",
        "Atrial fibrillation",
        "90.0 %",
        "threshold 31.0 %",
        "test 1.0",
        DISCLAIMER,
    ):
        # The ligature of f and i has a code of its own, which a table in the PDF maps to both.
        assert re.search(re.escape(said).replace("fi", "."), document.text), said


def test_warnings_measurements_and_disagreements_stand_on_it_in_plain_words():
    ecg, prediction = result(warnings=["flat_lead: V1 2.0 s"])
    measured = Measurements(heart_rate=45.2, qrs=90, notes=("no PR: no P wave repeats",))
    text = Document(report_pdf(ecg, prediction, measurements=measured)).text
    assert "A lead shows no signal: V1 2.0 s" in text
    assert "Heart rate 45/min, QRS duration 90 ms" in text
    assert "No PR: no P wave repeats" in text
    # The rate is below 50, and AF was found: nothing to disagree on.
    assert "disagree" not in text
    ecg, prediction = result(present=())
    text = Document(report_pdf(ecg, prediction, measurements=measured)).text
    assert "The heart rate is 45/min, below 50, and SB was not found." in text


def test_what_is_known_of_a_findings_reliability_stands_under_it():
    text = Document(report_pdf(*result(), reliability={"AF": "in validation: sensitivity 90 %"})).text
    assert "in validation: sensitivity 90 %" in text


def test_relevance_is_drawn_and_explained():
    class Told:
        leads, start, step, finding, method = ("II",), 0.0, 1.0, "AF", "occlusion"
        values = np.ones((1, 10))

    assert "Relevance for AF by occlusion" in Document(report_pdf(*result(), relevance=Told())).text


def test_tall_waves_are_drawn_at_half_the_gain_so_that_the_page_stays_a4():
    document = Document(report_pdf(*result(amplitude=3)))
    assert "5 mm/mV" in document.text
    assert document.sizes[0] == pytest.approx(A4, abs=0.5)


def test_the_same_result_makes_the_same_bytes():
    assert report_pdf(*result()) == report_pdf(*result())


def test_several_recordings_have_two_pages_each_and_failures_come_last(tmp_path):
    failures = []

    def results():
        yield result("one")
        failures.append(("broken.hea", "broken.hea: not a header"))
        yield result("two")

    path = write_report_pdf(results(), tmp_path / "new" / "ward.pdf", failures=failures)
    document = Document(path.read_bytes())
    assert len(document.sizes) == 5
    assert "Could not be read" in document.text
    assert "not a header" in document.text
    assert [each.name for each in path.parent.iterdir()] == ["ward.pdf"]


def test_nothing_is_left_where_a_recording_raises(tmp_path):
    def results():
        yield result()
        raise RuntimeError("the network fell over")

    with pytest.raises(RuntimeError):
        write_report_pdf(results(), tmp_path / "ward.pdf")
    assert not list(tmp_path.iterdir())


def test_seventy_findings_fit_on_their_page():
    ecg, _ = result()
    many = {f"F{n}": FindingResult(f"F{n}", f"finding {n}", None, n / 100, 0.65) for n in range(70)}
    document = Document(report_pdf(ecg, Prediction("", "x", many, (), "many 1")))
    assert all(size == pytest.approx(A4, abs=0.5) for size in document.sizes)
    assert "finding 69" in document.text.lower()
    assert "more, each less probable" in document.text
