"""MATLAB files (.mat, version 4 to 7.3): one array of samples, with what is said of it in clearly named variables.

Nothing but numbers and text is taken from them; objects and functions are passed over. The `.mat` of a WFDB record is
read by its header, not here.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.errors import FormatError
from ecoscale.formats.hdf5 import open_hdf5
from ecoscale.formats.leads import canonical_leads
from ecoscale.formats.matlab_variables import DEEPEST, LARGEST, read_variables
from ecoscale.formats.quantities import agreed_rate, refuse_other_unit, required_millivolts
from ecoscale.formats.sampled import SampledFile, in_pieces, named_channels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


SIGNALS = ("val", "ecg", "data", "signal", "signals", "tracings")
RATES = ("fs", "rate", "samplingrate", "samplerate", "samplingfrequency", "sampfreq", "sfreq")
UNITS = ("unit", "units")
LEADS = ("leads", "leadnames", "signame", "labels", "channels", "channelnames")

_V4_BYTES = struct.Struct("<5i")


def is_matlab(head: bytes) -> bool:
    """Whether a file's first bytes are those of a MATLAB file of version 5, 7 or 7.3, or of a matrix of version 4."""
    return head.startswith((b"MATLAB 5.0", b"MATLAB 7.3")) or _is_version_4(head)


def _is_version_4(head: bytes) -> bool:
    if len(head) <= _V4_BYTES.size:
        return False
    kind, n_rows, n_columns, imaginary, length = _V4_BYTES.unpack_from(head)
    # Little-endian: a thousand for the byte order, then 0, the type of number, and of matrix (full, text, sparse).
    plausible = kind in range(52) and kind % 10 < 3 and n_rows > 0 and n_columns > 0 and imaginary in (0, 1)
    name = head[_V4_BYTES.size : _V4_BYTES.size + max(0, length)]
    return plausible and 1 < length <= 64 and name.endswith(b"\0") and name[:-1].decode("latin-1").isidentifier()


def open_matlab(
    path: Path,
    *,
    source: str,
    record: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> SampledFile:
    """The recording in a MATLAB file: the array that `record` names, or else the only one that is called like samples.

    Rate, unit and lead names are taken from variables of the same structure, or else of the file, that are called so
    (`fs`, `unit`, `leads`); which side of the array is which, the number of leads decides.

    Raises `FormatError` where there is no such array or more than one, listing the variables; or where rate, unit or
    leads are neither in the file nor given. `MissingExtraError` for version 7.3 without h5py.
    """
    variables = _variables(path, source)
    name = _chosen(variables, record, source)
    values = variables[name]
    where = f"{source}: variable {name}"
    stated = {
        what: _stated(variables, name, called, source)
        for what, called in (("rate", RATES), ("unit", UNITS), ("leads", LEADS))
    }
    missing = [
        f"{what}=" for what, own in (("rate", rate), ("unit", unit), ("leads", leads)) if own is stated[what] is None
    ]
    if missing:
        raise FormatError(
            f"{where} comes without its {', '.join(word[:-1] for word in missing)}; give {', '.join(missing)} (nothing "
            f"is guessed), or if it is of a WFDB record, put its header {path.stem}.hea beside it. The file's "
            f"variables: {_listed(variables)}"
        )
    names = _texts(stated["leads"]) if stated["leads"] is not None else list(canonical_leads(leads or (), source))
    found = named_channels(names, leads, source)
    if values.shape == (len(names),) * 2 or len(names) not in values.shape:
        raise FormatError(
            f"{where} is {values.shape[0]} x {values.shape[1]} for {len(names)} leads ({', '.join(names)}); expected "
            "one side to be the number of leads, and the other the number of samples"
        )
    rows = values if values.shape[0] == len(names) else values.T
    if stated["unit"] is not None:
        units = _texts(stated["unit"])
        if len(set(units)) != 1:
            raise FormatError(f"{where}: its unit is {', '.join(map(repr, units)) or 'empty'}; expected one")
        refuse_other_unit(units, unit, source, "the unit in the file")
        factor = required_millivolts(units[0], source, "the unit in the file")
    else:
        factor = required_millivolts(unit or "", source, "the unit given")
    own_rate = None if stated["rate"] is None else _scalar(stated["rate"], f"{source}: the rate in the file")
    wanted = [row for row, lead in enumerate(found) if lead]
    return SampledFile(
        source,
        "" if record is None else record,
        agreed_rate(own_rate, rate, source, "the rate in the file"),
        tuple(lead for lead in found if lead),
        rows.shape[1],
        partial(_rows, rows[wanted], factor),
        ignored=tuple(each for each, lead in zip(names, found, strict=True) if not lead),
    )


def _rows(rows: NDArray, factor: float, n_samples: int, _: list[str]) -> Iterator[NDArray[np.floating]]:
    for piece in in_pieces(rows, n_samples):
        yield piece.astype(np.float64) * factor


def _chosen(variables: dict[str, Any], record: str | None, source: str) -> str:
    signals = {name: value for name, value in variables.items() if _is_signal(value)}
    if record is not None:
        if record in signals:
            return record
        raise FormatError(
            f"{source}: {record!r} was asked for, which is not an array of samples in it. Its variables: "
            f"{_listed(variables)}"
        )
    called = [name for name in signals if _plain(name) in SIGNALS] or list(signals)
    if len(called) == 1:
        return called[0]
    raise FormatError(
        f"{source}: a MATLAB file with {len(called) or 'no'} arrays that may be the samples; expected one of real "
        f"numbers, leads x samples: name it with record=. Its variables: {_listed(variables)}"
    )


def _is_signal(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim == 2 and max(value.shape) > 1


def _stated(variables: dict[str, Any], name: str, called: tuple[str, ...], source: str) -> Any:
    """The value of the variable called so beside the samples, or else further out; None where there is none."""
    structure = name.rpartition(".")[0]
    while True:
        beside = f"{structure}." if structure else ""
        found = [
            each
            for each in variables
            if each.startswith(beside) and "." not in each[len(beside) :] and each != name and _plain(each) in called
        ]
        if len(found) > 1:
            raise FormatError(f"{source}: {' and '.join(found)} say the same of {name}; expected one of them")
        if found:
            return variables[found[0]]
        if not structure:
            return None
        structure = structure.rpartition(".")[0]


def _plain(name: str) -> str:
    return name.rpartition(".")[2].casefold().replace("_", "")


def _listed(variables: dict[str, Any]) -> str:
    spelt = []
    for name, value in list(variables.items())[:20]:
        shape = " x ".join(map(str, value.shape)) if isinstance(value, np.ndarray) else type(value).__name__
        spelt.append(f"{name} ({shape})")
    return ", ".join(spelt) + (", ..." if len(variables) > 20 else "") or "none"


def _scalar(value: Any, where: str) -> float:
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
        return float(value.reshape(-1)[0])
    raise FormatError(f"{where} is {str(value)[:40]!r}; expected one number")


def _texts(value: Any) -> list[str]:
    """The text, or each of several, of a character array or a cell of them."""
    if isinstance(value, str):
        return [value.strip()]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        return [text for each in value.reshape(-1) for text in _texts(each)]
    return []


def _variables(path: Path, source: str) -> dict[str, Any]:
    """Numbers and text by name; those of a structure of one element as `structure.field`."""
    try:
        with path.open("rb") as file:
            newest = file.read(10) == b"MATLAB 7.3"
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror}") from error
    if newest:
        with open_hdf5(path, source) as file:
            return dict(_hdf5_members(file, "", 0, [0], source))
    return read_variables(path, source)


def _hdf5_members(group: Any, name: str, depth: int, taken: list[int], source: str) -> Iterator[tuple[str, Any]]:
    import h5py

    for part in group:
        if part.startswith("#"):  # what cells refer to
            continue
        item = group[part]
        full = f"{name}.{part}" if name else part
        if isinstance(item, h5py.Group):
            if depth < DEEPEST:
                yield from _hdf5_members(item, full, depth + 1, taken, source)
            continue
        taken[0] += item.size * item.dtype.itemsize
        if taken[0] > LARGEST:
            raise FormatError(f"{source}: its variables take more than {LARGEST} bytes; expected fewer")
        if item.dtype.kind == "O":
            yield full, [_hdf5_text(group.file[each]) for each in np.asarray(item).reshape(-1) if each]
        elif item.attrs.get("MATLAB_class") == b"char":
            yield full, _hdf5_text(item)
        elif item.dtype.kind in "iuf":
            # Its dimensions are in the order of the columns.
            yield full, np.asarray(item).T


def _hdf5_text(item: Any) -> str:
    if getattr(item, "attrs", {}).get("MATLAB_class") != b"char" or item.size > 2**16:
        return ""
    return "".join(map(chr, np.asarray(item).reshape(-1)))
