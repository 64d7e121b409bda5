"""The examples in docs/collections and the pages listed here are run, and print what the pages say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    *sorted((DOCS / "collections").glob("*.md")),
    *(DOCS / f"{name}.md" for name in ("predicting", "converting", "plotting", "measurements", "signals")),
]
EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n(?:[^`]*?)```\n(?P<output>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def at_hand(recordings, tmp_path_factory):
    """The real recordings under the names that the pages call them."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, recordings / "unpack.py", folder, "chapman", "--first", "30"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "code15").symlink_to(recordings / "code15")
    (folder / "ptb-xl").symlink_to(recordings / "ptbxl-native")
    return folder


def lines(text):
    """Without the blanks with which pandas fills them up."""
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_print_what_the_page_says(page, at_hand, tmp_path):
    examples = list(EXAMPLE.finditer(page.read_text(encoding="utf-8")))
    assert examples or page.stem == "download"
    for folder in at_hand.iterdir():
        (tmp_path / folder.name).symlink_to(folder.resolve())
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example["code"]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert lines(done.stdout) == lines(example["output"])
