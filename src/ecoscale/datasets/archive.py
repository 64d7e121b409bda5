"""Where a collection is published: enough for `ecoscale datasets download` to list its files with their checksums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Archive:
    """A publication of files.

    Parameters
    ----------
    host
        Who serves it, which decides how its files are listed: PhysioNet by `SHA256SUMS.txt`, Zenodo and figshare by
        their public interface.
    id
        The project and version (`ptb-xl/1.0.3`), the Zenodo record, or the figshare collection.
    size
        Bytes to download, for planning; what the host says at the time counts.
    """

    host: Literal["physionet", "zenodo", "figshare"]
    id: str
    size: int
