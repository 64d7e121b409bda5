"""How SCP-ECG packs samples: Huffman codes (section 2, annex C of EN 1064) over first or second differences."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecoscale.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEFAULT = 19999
_CODE = struct.Struct("<BBBhI")


class Code(NamedTuple):
    """One code: its base value, and how many bits of an integer in two's complement follow it.

    `switches` marks one that stands for another table, not a value.
    """

    value: int
    extra: int
    switches: bool = False


def huffman_codes(section: bytes, source: str) -> dict[str, Code]:
    """The codes of the first table of section 2, or of the default table, by their bits as they come ('0', '100', ...).

    Raises `FormatError` for a table that is cut off or not a prefix code.
    """
    (n_tables,) = struct.unpack_from("<H", section)
    if n_tables == _DEFAULT:
        return _default_codes()
    if not n_tables:
        raise FormatError(f"{source}: section 2 of the SCP-ECG record holds no Huffman table; expected at least one")
    (n_codes,) = struct.unpack_from("<H", section, 2)
    if len(section) < 4 + _CODE.size * n_codes or not n_codes:
        raise FormatError(
            f"{source}: section 2 of the SCP-ECG record states {n_codes} Huffman codes in {len(section)} bytes; "
            f"expected {_CODE.size} bytes a code, and at least one"
        )
    codes: dict[str, Code] = {}
    for prefix, whole, mode, value, stored in _CODE.iter_unpack(section[4 : 4 + _CODE.size * n_codes]):
        if not 1 <= prefix <= min(whole, 32) or whole - prefix > 32:
            raise FormatError(
                f"{source}: section 2 of the SCP-ECG record states a Huffman code of {whole} bits, {prefix} of them "
                "its prefix; expected 1 to 32 of a prefix, and at most 32 after it"
            )
        # The bit that comes first is stored as the lowest.
        bits = f"{stored & (2**prefix - 1):0{prefix}b}"[::-1]
        codes[bits] = Code(value, whole - prefix, switches=not mode)
    ordered = sorted(codes)
    if len(codes) < n_codes or any(after.startswith(before) for before, after in pairwise(ordered)):
        raise FormatError(
            f"{source}: a Huffman code in section 2 of the SCP-ECG record is the beginning of another; expected codes "
            "that can be told apart"
        )
    return codes


def _default_codes() -> dict[str, Code]:
    codes = {"0": Code(0, 0), "1111111110": Code(0, 8), "1111111111": Code(0, 16)}
    for size in range(1, 9):
        codes["1" * size + "00"] = Code(size, 0)
        codes["1" * size + "01"] = Code(-size, 0)
    return codes


def decode_huffman(data: bytes, count: int, codes: dict[str, Code], where: str) -> NDArray[np.int64]:
    """The first `count` values of a stream of bits, the highest of each byte first.

    Raises `FormatError` where it ends before, or has a code that is none.
    """
    if count > 8 * len(data):  # before memory is taken for them
        raise FormatError(f"{where}: {len(data)} bytes of Huffman codes; expected a bit for each of {count} samples")
    bits = f"{int.from_bytes(data):0{8 * len(data)}b}" if data else ""
    lengths = sorted({len(code) for code in codes})
    values = np.empty(count, np.int64)
    at = 0
    for n in range(count):
        for length in lengths:
            code = codes.get(bits[at : at + length])
            if code is not None:
                break
        else:
            problem = "end" if at + lengths[-1] > len(bits) else "have a code that is in no table"
            raise FormatError(f"{where}: the Huffman codes {problem} after {n} of {count} samples. Is the file whole?")
        at += length
        value = code.value
        if code.switches or (code.extra and value):
            raise FormatError(
                f"{where}: the Huffman codes "
                + ("change to another table" if code.switches else "add a number to a base value")
                + ", which is not read: no file was at hand to check it on. Export with the default table, or as WFDB"
            )
        if code.extra:
            if at + code.extra > len(bits):
                raise FormatError(f"{where}: the Huffman codes end after {n} of {count} samples. Is the file whole?")
            value = int(bits[at : at + code.extra], 2)
            value -= (value >> (code.extra - 1)) << code.extra
            at += code.extra
        values[n] = value
    return values


def undo_differences(values: NDArray[np.int64], encoding: int, where: str) -> NDArray[np.int64]:
    """Samples from themselves (0), first (1) or second differences (2); the first one or two are samples.

    Raises `FormatError` where they are not 16-bit integers, as samples of SCP-ECG are.
    """
    samples = values
    if encoding == 1:
        samples = np.cumsum(values)
    elif encoding == 2 and len(values) > 1:
        slopes = values.copy()
        slopes[1] -= values[0]
        slopes[1:] = np.cumsum(slopes[1:])
        samples = np.cumsum(slopes)
    if len(samples) and not -(2**15) <= samples.min() <= samples.max() < 2**15:
        raise FormatError(f"{where}: samples reach {np.abs(samples).max()}; expected 16-bit integers. Is it damaged?")
    return samples
