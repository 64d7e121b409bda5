"""HDF5, the container: telling it and opening it. What is in one is read by `code_hdf5` and `sph_hdf5`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ecoscale.errors import EcoscaleError, FormatError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(head: bytes) -> bool:
    """Whether a file's first bytes hold the HDF5 signature, at the start or after a user block (as MATLAB 7.3 has)."""
    return any(head.startswith(_SIGNATURE, at) for at in (0, 512, 1024, 2048))


@contextmanager
def open_hdf5(path: Path, source: str) -> Iterator[Any]:
    """The open `h5py.File`. What goes wrong with it, also while it is open, comes out as a `FormatError`."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("reading HDF5", "h5py", "formats") from None
    with damage_reported(source), h5py.File(path, "r") as file:
        yield file


@contextmanager
def damage_reported(source: str) -> Iterator[None]:
    """What h5py raises about a damaged file comes out as a `FormatError`."""
    try:
        yield
    except EcoscaleError:
        raise
    except Exception as error:  # OSError, KeyError, ValueError, RuntimeError, and zlib.error from a chunk
        raise FormatError(
            f"{source}: the HDF5 file cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error
