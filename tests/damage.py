"""Files with damage, as drives and networks do it: bytes that are others, missing or added."""

import tempfile
from pathlib import Path

from hypothesis import strategies as st

from ecoscale.errors import EcoscaleError
from ecoscale.formats import read_ecg


def damaged(data: st.DataObject, whole: bytes, longest: int = 40) -> bytes:
    """`whole` with up to `longest` bytes replaced by others, or with nothing after them."""
    at = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(at, min(len(whole), at + longest)))
    others = data.draw(st.binary(max_size=longest))
    return whole[:at] + others + (whole[end:] if data.draw(st.booleans()) else b"")


def read_or_refused(content: bytes, name: str) -> None:
    """A file with this content is read, or refused by its name; nothing else is raised."""
    reason = name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            assert read_ecg(path).n_samples <= len(content)
        except EcoscaleError as error:
            reason = str(error)
    assert name in reason
