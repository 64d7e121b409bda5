"""The variables of a MATLAB file of version 4 or 5, read by scipy in a process of its own.

A damaged file can end the interpreter that reads it: scipy 1.17 follows some lengths in a file without a look at them
(one byte of a structure's header, set to 82, is a segmentation fault). So `read_variables` starts another, and takes
numbers and text from it in a format that runs nothing.
"""

from __future__ import annotations

import io
import math
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 2**30
"""Bytes that the variables of a file may take."""
DEEPEST = 3
"""Structures in structures that are looked into."""
_SECONDS = 120
_CHILD = "import sys; from ecoscale.formats.matlab_variables import write_variables; write_variables(sys.argv[1])"
_REFUSED = 3


def read_variables(path: Path, source: str) -> dict[str, Any]:
    """Numbers as arrays and text as arrays of text, by name; those of a structure of one element as `structure.field`.

    Objects, functions and sparse matrices are passed over. Raises `FormatError` for a file that cannot be read, or
    whose variables take more than `LARGEST` bytes.
    """
    try:
        read = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _CHILD, str(path)],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FormatError(f"{source}: the MATLAB file was not read in {_SECONDS} s. Is it whole?") from None
    if read.returncode == 0:
        with np.load(io.BytesIO(read.stdout), allow_pickle=False) as found:
            return dict(found)
    said = read.stderr.decode("utf-8", "replace").strip()
    if read.returncode == _REFUSED:
        raise FormatError(f"{source}: {said}")
    ended = f"{signal.Signals(-read.returncode).name} ended its reader" if read.returncode < 0 else said[-200:]
    raise FormatError(f"{source}: the MATLAB file cannot be read ({ended}). Is it whole?")


def write_variables(path: str) -> None:
    """Write the variables of a file to standard output; what is wrong with it to standard error."""
    import scipy.io

    try:
        declared = sum(8 * math.prod(shape) for _, shape, _ in scipy.io.whosmat(path))
        if declared > LARGEST:
            _refuse(f"its variables take up to {declared} bytes; expected at most {LARGEST}")
        loaded = scipy.io.loadmat(path, struct_as_record=True, chars_as_strings=True)
        found = dict(
            part for name, value in loaded.items() if not name.startswith("__") for part in _members(value, name, 0)
        )
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **found)
    except Exception as error:  # scipy.io lets TypeError, KeyError, struct.error, zlib.error and others pass
        _refuse(f"the MATLAB file cannot be read ({type(error).__name__}: {error}). Is it whole?")
    else:
        sys.stdout.buffer.write(packed.getbuffer())


def _refuse(message: str) -> None:
    sys.stderr.write(message)
    sys.exit(_REFUSED)


def _members(value: Any, name: str, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    if type(value) is not np.ndarray:  # a sparse matrix, an object, a function
        return
    if value.dtype.names is not None:
        if value.size == 1 and depth < DEEPEST:
            for part in value.dtype.names:
                yield from _members(value.reshape(-1)[0][part], f"{name}.{part}", depth + 1)
    elif value.dtype.kind == "O":
        yield name, np.array(list(_texts(value)), dtype=str)
    else:
        yield name, value


def _texts(value: Any) -> Iterator[str]:
    """The texts of a cell array, and of those in it."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        for each in value.reshape(-1):
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
