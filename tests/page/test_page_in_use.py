"""The page as its users meet it: with a mouse, a keyboard, a phone, a screen reader."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect

from ecoscale import Classifier, read_ecg
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.formats.writing import write_ecg
from service_process import serve

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

LONGEST_WAIT = 20_000


def write_wfdb(folder: Path, name: str, findings: list[str], seed: int = 1) -> list[Path]:
    write_ecg(synthetic_ecg(findings, seed=seed).ecg, folder / f"{name}.hea")
    return [folder / f"{name}.hea", folder / f"{name}.dat"]


def drop(page: Page, files: list[Path]) -> None:
    page.set_input_files("#files", files)


def wait_for_findings(page: Page) -> None:
    page.wait_for_selector("#findings [data-finding]")
    expect(page.locator("#status")).to_have_text("")


def probabilities(page: Page) -> dict[str, str]:
    rows = page.locator("#findings [data-finding]")
    return {row.get_attribute("data-finding"): row.locator(".share").inner_text() for row in rows.all()}


def test_says_of_a_dropped_recording_what_the_classifier_says(visit, tmp_path):
    files = write_wfdb(tmp_path, "af", ["AF"])
    prediction = Classifier.load().predict(read_ecg(files[0]))
    with visit() as page:
        drop(page, files)
        wait_for_findings(page)
        said = probabilities(page)
        assert list(said) == list(prediction.findings)
        for name, finding in prediction.findings.items():
            if said[name][0] not in "<>":
                assert float(said[name].removesuffix(" %")) == pytest.approx(100 * finding.probability, abs=0.06)
        assert page.locator("#verdict").inner_text().lower().endswith("atrial fibrillation")
        assert page.locator("#name").inner_text().startswith("af")
        assert "not a diagnosis" in page.locator("#disclaimer").inner_text()
        assert page.locator("#disclaimer").is_visible()


def test_draws_every_lead_to_scale(visit, tmp_path):
    files = write_wfdb(tmp_path, "normal", [])
    ecg = read_ecg(files[0])
    with visit() as page:
        drop(page, files)
        wait_for_findings(page)
        page.select_option("#layout", "12x1")
        for lead in ("I", "V3"):
            path = page.locator(f"path.trace[data-lead={lead}]").get_attribute("d")
            points = np.array(re.findall(r"([\d.-]+) ([\d.-]+)", path), float)
            row = ecg.signal[ecg.leads.index(lead)]
            offset = np.median(row) if abs(np.median(row)) > 1 else 0
            # A whole microvolt is 0.01 mm, as is what the coordinates are rounded to.
            np.testing.assert_allclose(-points[:, 1], 10 * (row[: len(points)] - offset), atol=0.011)
            np.testing.assert_allclose(points[:, 0], 25 * np.arange(len(points)) / ecg.rate, atol=0.0051)


def test_the_calipers_read_the_calibration_pulse(visit, tmp_path):
    with visit(viewport={"width": 1400, "height": 1200}) as page:
        drop(page, write_wfdb(tmp_path, "normal", []))
        wait_for_findings(page)
        page.click("#calipers")
        page.click("#zoom-in")
        page.evaluate("() => document.getElementById('sheet').scrollTo(0, 0)")
        pulse = page.locator("path.calibration").first.bounding_box()
        # The pulse stands on feet of 2.5 mm; it is 5 mm wide and 10 mm high.
        millimetre = pulse["height"] / 10
        left, bottom = pulse["x"] + 2.5 * millimetre, pulse["y"] + pulse["height"]
        page.mouse.move(left, bottom)
        page.mouse.down()
        page.mouse.move(left + 5 * millimetre, bottom - 10 * millimetre, steps=4)
        page.mouse.up()
        milliseconds, millivolts = re.findall(r"([\d.]+) m[sV]", page.locator("#measured").inner_text())
        assert float(milliseconds) == pytest.approx(200, abs=12)  # a pixel is some 10 ms
        assert float(millivolts) == pytest.approx(1, abs=0.05)


def test_is_used_by_the_keyboard_alone(visit):
    with visit() as page:
        example = page.locator("#examples button").first
        for _ in range(20):
            page.keyboard.press("Tab")
            if example.evaluate("node => node === document.activeElement"):
                break
        page.keyboard.press("Enter")
        wait_for_findings(page)
        page.keyboard.press("c")
        corner = page.locator(".corner").nth(1)
        before = corner.get_attribute("aria-valuetext")
        corner.focus()
        page.keyboard.press("Shift+ArrowRight")
        after = corner.get_attribute("aria-valuetext")
        found = [int(re.match(r"\d+", text)[0]) for text in (before, after)]
        assert found[1] - found[0] == pytest.approx(40, abs=1)  # 1 mm at 25 mm/s
        page.keyboard.press("Escape")
        assert page.locator(".calipers").count() == 0
        page.locator("#findings button.title").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".relevance", timeout=LONGEST_WAIT)


def test_shows_under_the_trace_what_speaks_for_the_finding_that_is_clicked(visit, tmp_path):
    with visit() as page:
        drop(page, write_wfdb(tmp_path, "lbbb", ["LBBB"]))
        wait_for_findings(page)
        page.click("[data-finding=LBBB] button.title")
        page.wait_for_selector(".relevance .speaks")
        assert page.locator(".relevance").count() == 13  # the twelve and the rhythm lead
        assert "speaks for it lies mostly in" in page.locator("#explained").inner_text()
        page.click("[data-finding=LBBB] button.title")
        assert page.locator(".relevance").count() == 0


def test_tells_what_is_wrong_with_a_broken_file_and_goes_on(visit, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00" * 40)
    with visit() as page:
        drop(page, [broken])
        page.wait_for_selector("#trouble .trouble")
        said = page.locator("#trouble").inner_text()
        assert "broken.dcm" in said
        assert "/tmp" not in said
        assert page.locator("#reading").is_hidden()
        drop(page, write_wfdb(tmp_path, "normal", []))
        wait_for_findings(page)
        assert page.locator("#trouble").inner_text() == ""


def test_asks_for_what_a_file_does_not_state(visit, tmp_path):
    ecg = synthetic_ecg(["ST"], seed=2).ecg
    table = tmp_path / "table.csv"
    np.savetxt(table, ecg.signal.T * 1000, delimiter=",", header=",".join(ecg.leads), comments="", fmt="%.0f")
    with visit() as page:
        drop(page, [table])
        page.wait_for_selector("#trouble .trouble")
        assert page.locator("#stated").is_visible()
        page.fill("#rate", f"{ecg.rate:g}")
        page.select_option("#unit", "uV")
        page.click("#stated button")
        wait_for_findings(page)
        assert page.locator("#trouble").inner_text() == ""


def test_warns_in_plain_words(visit, tmp_path):
    ecg = synthetic_ecg([], seed=3).ecg
    ecg.signal[7] = 0.0
    write_ecg(ecg, tmp_path / "flat.hea")
    with visit() as page:
        drop(page, [tmp_path / "flat.hea", tmp_path / "flat.dat"])
        wait_for_findings(page)
        assert "A lead shows no signal: no change at all in V2" in page.locator("#warnings").inner_text()


def test_lists_several_recordings_with_what_each_shows(visit, tmp_path):
    files = write_wfdb(tmp_path, "one", ["AF"]) + write_wfdb(tmp_path, "two", ["LBBB"])
    with visit() as page:
        drop(page, files)
        expect(page.locator("#recordings li").nth(1)).to_contain_text("bundle branch block", timeout=LONGEST_WAIT)
        expect(page.locator("#recordings li").nth(0)).to_contain_text("trial fibrillation", timeout=LONGEST_WAIT)
        page.click("#recordings li:nth-child(2) button")
        expect(page.locator("#name")).to_have_text(re.compile("^two"), timeout=LONGEST_WAIT)


def test_downloads_the_report_and_the_result(visit, tmp_path):
    with visit() as page:
        drop(page, write_wfdb(tmp_path, "af", ["AF"]))
        wait_for_findings(page)
        for kind in ("pdf", "json", "html"):
            with page.expect_download() as waiting:
                page.click(f"[data-format={kind}]")
            assert waiting.value.suggested_filename == f"af.{kind}"
            content = waiting.value.path().read_bytes()
            if kind == "pdf":
                assert content.startswith(b"%PDF-")
            elif kind == "json":
                assert json.loads(content)["findings"]["AF"]["present"] is True
            else:
                assert b"trial fibrillation" in content


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1400, 1000), (390, 844)], ids=["desk", "phone"])
def test_has_no_serious_accessibility_finding(visit, tmp_path, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    files = write_wfdb(tmp_path, "af", ["AF"])
    viewport = {"width": size[0], "height": size[1]}
    with visit(color_scheme=scheme, viewport=viewport, bypass_csp=True) as page:
        for step in ("empty", "read", "explained"):
            if step == "read":
                drop(page, files)
                wait_for_findings(page)
                page.click("#calipers")
            elif step == "explained":
                page.click("[data-finding=AF] button.title")
                page.wait_for_selector(".relevance")
            found = Axe().run(page).response["violations"]
            serious = {
                rule["id"]: [node["html"] for node in rule["nodes"]]
                for rule in found
                if rule["impact"] in ("serious", "critical")
            }
            assert serious == {}, step
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{step}: the page is {wide} pixels too wide"


def test_shows_a_day_with_its_episodes_and_any_ten_seconds_of_it(visit, holter):
    with visit() as page:
        page.select_option("#bundle", "six-findings-holter")
        drop(page, [holter, holter.with_suffix(".dat")])
        page.wait_for_selector("#episodes tbody tr", timeout=120_000)
        # Each lane has the probabilities over the day, that of AF and those of the others.
        lanes = page.locator("svg.lanes path.probability")
        assert lanes.count() == 6
        assert len(lanes.last.get_attribute("d")) > 1000
        assert "24:00:00" in page.locator("#sheet-notes").inner_text()
        first = page.locator("#episodes tbody tr").first
        assert "trial fibrillation" in first.inner_text()
        first.locator("button").click()
        expect(page.locator("#verdict")).to_contain_text("trial fibrillation", timeout=LONGEST_WAIT)
        assert page.locator("#moment").input_value() != "0"


def test_asks_for_the_key_of_a_service_that_wants_one(browser):
    with serve("--api-key", "open sesame") as address:
        page = browser.new_page()
        page.goto(address)
        page.fill("#key-value", "wrong")
        page.click("#key button")
        page.wait_for_selector("#key[open]")
        page.fill("#key-value", "open sesame")
        page.click("#key button")
        page.click("#examples button")
        wait_for_findings(page)
        page.close()


def test_of_many_findings_shows_the_likely_ones_first_and_all_when_asked(browser):
    with serve("--bundle", "statements") as address:
        page = browser.new_page()
        page.goto(address)
        page.click("#examples button:has-text('Left bundle')")
        wait_for_findings(page)
        rows = page.locator("#findings [data-finding]")
        assert rows.count() == 75
        shown = [row for row in rows.all() if row.is_visible()]
        assert len(shown) < 20
        assert "CLBBB" in [row.get_attribute("data-finding") for row in shown[:5]]
        page.click("#findings > button")
        expect(rows.last).to_be_visible()
        page.close()
