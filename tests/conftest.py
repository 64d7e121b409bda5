"""What every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings: ECOSCALE_DATA, or shared/data beside the project."""
    stated = os.environ.get("ECOSCALE_DATA")
    folder = Path(stated) if stated else Path(__file__).parents[2] / "shared" / "data"
    if folder.is_dir():
        return folder
    if stated:
        pytest.fail(f"ECOSCALE_DATA is {stated}, which is not a folder")
    pytest.skip("no real recordings: set ECOSCALE_DATA to their folder")
