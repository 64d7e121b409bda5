"""The page in a real browser, served by a real process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from chromium import FLAGS, chromium

from service_process import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: install one (on Debian: apt-get install chromium) to test the page")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of a service with a bundle for twelve leads and one for three."""
    with serve("--bundle", "six-findings", "--bundle", "six-findings-holter") as address:
        yield address


@pytest.fixture(scope="session")
def holter(tmp_path_factory) -> Path:
    """A day of leads II, V1 and V5 with two episodes of AF."""
    from ecoscale.datasets.layouts import Stretch, write_holter

    stretches = [Stretch(4 * 3600, 4.2 * 3600), Stretch(20 * 3600, 20.5 * 3600)]
    folder = tmp_path_factory.mktemp("holter")
    return write_holter(folder, stretches, rate=128, leads=("II", "V1", "V5"))


@pytest.fixture
def visit(browser, service):
    """Opens the page as a new visitor, and fails the test for a script's error or a request to anywhere else."""
    opened = []

    @contextmanager
    def visiting(path: str = "/", **settings) -> Iterator[Page]:
        context = browser.new_context(**settings)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: opened.append(f"script: {error}"))
        page.on(
            "request", lambda request: request.url.startswith((service, "blob:", "data:")) or opened.append(request.url)
        )
        page.goto(service + path)
        page.wait_for_selector("#examples button")
        yield page
        context.close()

    yield visiting
    assert opened == []
