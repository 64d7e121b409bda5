"""The pictures of the page in docs/page.md: `python docs/screenshots.py`, with Chromium installed and ecoscale[dev].

Synthetic ECGs only. Pictures are taken of a service that this script starts and ends.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "tests"), str(DOCS.parent / "tests" / "page")]

from chromium import FLAGS, chromium  # noqa: E402

from ecoscale.datasets.layouts import Stretch, write_holter  # noqa: E402
from service_process import serve  # noqa: E402


def main() -> None:
    """Take them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve("--bundle", "six-findings", "--bundle", "six-findings-holter") as address,
        sync_playwright() as playwright,
    ):
        stretches = [Stretch(1.2 * 3600, 1.7 * 3600), Stretch(3 * 3600, 3.1 * 3600)]
        night = write_holter(folder, stretches, hours=6, rate=128, leads=("II", "V1", "V5"), record="night")
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)

        def visit(width: int, height: int, **settings):
            page = browser.new_page(viewport={"width": width, "height": height}, **settings)
            page.goto(address)
            page.wait_for_selector("#examples button")
            return page

        page = visit(1440, 1000)
        page.click("#examples button:has-text('Left bundle')")
        page.click("[data-finding=LBBB] button.title")
        page.wait_for_selector(".relevance", timeout=60_000)
        page.click("#calipers")
        page.screenshot(path=DOCS / "page.png", full_page=True)

        page = visit(390, 844, color_scheme="dark", device_scale_factor=1.5)
        page.click("#examples button:has-text('Atrial fibrillation')")
        expect(page.locator("#measurements")).to_be_visible(timeout=60_000)
        page.locator("#name").scroll_into_view_if_needed()
        page.evaluate("() => window.scrollTo(0, document.getElementById('name').offsetTop - 12)")
        page.screenshot(path=DOCS / "page-phone.png")

        page = visit(1440, 1000)
        page.select_option("#bundle", "six-findings-holter")
        page.set_input_files("#files", [night, night.with_suffix(".dat")])
        page.locator("#episodes tbody button").first.click(timeout=120_000)
        expect(page.locator("#verdict")).to_contain_text("trial fibrillation", timeout=60_000)
        page.select_option("#layout", "rhythm")
        page.screenshot(path=DOCS / "page-long.png")
        browser.close()


if __name__ == "__main__":
    main()
