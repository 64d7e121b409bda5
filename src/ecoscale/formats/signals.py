"""`read_signal`: a signal of any channels from a file, names and units as the file states them, or as given.

Tables, `.npy`, Parquet, WFDB, EDF and BDF. A file of a format that holds ECGs alone is read as `read_ecg` does: its
channels are leads, in mV.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.errors import ChannelError, FormatError
from ecoscale.formats import arrays, edf, parquet, wfdb_header, wfdb_record
from ecoscale.formats.quantities import agreed_rate, refuse_record
from ecoscale.formats.read import UNMARKED, Content, content_of, located, read_ecg, text_of
from ecoscale.formats.stated import Bare, Stated, oriented
from ecoscale.signal import Signal
from ecoscale.units import plain_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecoscale.formats.dialect import Dialect

_ECGS_ALONE = (
    Content.DICOM,
    Content.HDF5,
    Content.AECG,
    Content.MUSE,
    Content.PHILIPS,
    Content.FHIR,
    Content.JSON,
    Content.SCP,
    Content.ISHNE,
    Content.MATLAB,
    Content.ARCHIVE,
)
READABLE_SIGNALS = (
    "Signals are read from tables (CSV, TSV), .npy, Parquet, WFDB (.hea with .dat or .mat), EDF and BDF, and ECGs from "
    "all that read_ecg reads"
)


@dataclass(frozen=True)
class Assumed:
    """What a signal is taken to be where its file does not say: how a bundle's training data were."""

    rate: float
    channels: tuple[str, ...]
    units: tuple[str, ...]


def read_signal(
    path: str | Path,
    *,
    rate: float | None = None,
    channels: Sequence[str] | None = None,
    units: str | Sequence[str] | None = None,
    record: str | None = None,
    most_samples: int | None = None,
    dialect: Dialect | None = None,
    assumed: Assumed | None = None,
) -> Signal:
    """Read one recording of any kind of signal, as float32, each channel in the unit that the file states.

    Nothing is guessed: what the file does not state must be given, and what it does state is not overruled.

    Parameters
    ----------
    path
        The file; for a WFDB record its header, one of its signal files, or its name without suffix.
    rate
        Samples per second, for files that do not state it.
    channels
        Which channels, in this order, by the names in the file (letter by letter); all of them by default. In a file
        that names none (`.npy`, a table without a header row): the names of its channels, in its order.
    units
        One unit for all channels, or one each, for files that do not state them; an empty text for numbers without one.
    record
        The record's name, in a format of several records.
    most_samples
        Samples of a channel beyond which a recording is refused, before it is read; default: of any length.
    dialect
        How a text table is to be read; default: as the description beside it says, if there is one.
    assumed
        What to take for a rate, names and units that neither the file nor the caller states; `notes` then say so.

    Raises
    ------
    FormatError
        If the file is missing, unknown, damaged, lacks what reading it needs, or contradicts what was given.
    ChannelError
        If a channel is missing, or a name occurs twice; the message names it.
    MissingExtraError
        If the format needs a package of the extra `formats` that is not installed.
    """
    source = str(path)
    path, head = located(Path(path), source, READABLE_SIGNALS)
    content = content_of(head)
    if content in _ECGS_ALONE and not wfdb_header.header_beside(path):
        return _of_ecg(path, rate, channels, units, record)
    stated = _stated(path, head, content, source, record, dialect)
    return _Reading(stated, source, assumed).signal(rate, channels, units, most_samples)


def _stated(
    path: Path, head: bytes, content: Content, source: str, record: str | None, dialect: Dialect | None
) -> Stated | Bare:
    if content is Content.WFDB_HEADER or path.suffix == ".hea":
        return wfdb_record.stated(path, source, record)
    if content in UNMARKED and (header := wfdb_header.header_beside(path)):
        return wfdb_record.stated(header, source, record)
    refuse_record(record, source)
    if content is Content.EDF:
        return edf.stated(path, source)
    if content is Content.NPY:
        return arrays.stated_npy(path, source)
    if content is Content.PARQUET:
        return parquet.stated(path, source)
    described = dialect is not None or arrays.dialect_beside(path) is not None
    if content is Content.TEXT or described:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FormatError(f"{source}: the file cannot be read: {error}") from error
        if described:
            from ecoscale.formats.dialect import dialect_of, stated_table

            if found := dialect or dialect_of(path):
                return stated_table(data, found, source)
        return arrays.stated_table(text_of(data), source)
    what = f"bytes {head[:8].hex(' ')}" if content is Content.BINARY else content.value
    raise FormatError(f"{source}: not a format that is known ({what}). {READABLE_SIGNALS}")


def _of_ecg(
    path: Path,
    rate: float | None,
    channels: Sequence[str] | None,
    units: str | Sequence[str] | None,
    record: str | None,
) -> Signal:
    ecg = read_ecg(path, record=record, rate=rate, fewer_leads=True)
    if units is not None and {plain_unit(unit) for unit in ([units] if isinstance(units, str) else units)} != {"mV"}:
        raise FormatError(f"{path}: an ECG is read in mV, but units={units!r} was given; leave units out")
    return ecg if channels is None else ecg.select(channels)


@dataclass(frozen=True)
class _Reading:
    """Of what a file states to what is asked of it."""

    stated: Stated | Bare
    source: str
    assumed: Assumed | None

    def signal(
        self,
        rate: float | None,
        channels: Sequence[str] | None,
        units: str | Sequence[str] | None,
        most_samples: int | None,
    ) -> Signal:
        stated, taken = self.stated, list[str]()
        if isinstance(stated, Bare):
            names = self._names(channels, taken)
            hertz = self._rate(stated.rate, rate, taken)
            found = self._units(names, stated.units * (len(names) if len(stated.units) == 1 else 1), units, taken)
            rows, remarks, record, notes = oriented(stated.values, len(names), self.source), (), "", ()
            self._refuse_longer(rows.shape[1], most_samples)
        else:
            places, names = self._chosen(stated, channels)
            hertz = self._rate(self._one_rate(stated, places), rate, taken)
            # A heading that was asked for in full is all name.
            whole = [name not in stated.names for name in names]
            own = tuple(None if w else stated.units[place] for w, place in zip(whole, places, strict=True))
            found = self._units(names, own, units, taken)
            self._refuse_longer(max(stated.lengths[place] or 0 for place in places), most_samples)
            order = sorted(places)
            rows, remarks = stated.rows(order)
            rows, record, notes = rows[[order.index(place) for place in places]], stated.record, stated.notes
        if not np.isfinite(rows).any():
            raise FormatError(f"{self.source}: none of its samples is a number; expected a signal")
        if taken:
            remarks = (
                *remarks,
                f"assumed: {', '.join(taken)}; the file does not say, and the bundle reads such signals",
            )
        return Signal(rows, hertz, names, found, source=self.source, record=record, notes=(*notes, *remarks))

    def _refuse_longer(self, n_samples: int, most: int | None) -> None:
        if most is not None and n_samples > most:
            raise FormatError(
                f"{self.source}: {n_samples:,} samples of a channel; expected at most {most:,}, because it would be "
                "read whole, and its windows averaged: ecoscale timeline says what it shows when"
            )

    def _names(self, channels: Sequence[str] | None, taken: list[str]) -> tuple[str, ...]:
        """Names for a file that has none."""
        if channels is None and self.assumed is not None:
            channels = self.assumed.channels
            taken.append(f"channels {', '.join(channels)}")
        if channels is None:
            raise FormatError(
                f"{self.source}: does not name its channels; give channels=, one name each (nothing is guessed)"
            )
        return self._listed(channels)

    def _listed(self, channels: Sequence[str]) -> tuple[str, ...]:
        if isinstance(channels, str):
            raise ChannelError(f"{self.source}: channels={channels!r} is one text; give names, as [{channels!r}]")
        return tuple(channels)

    def _chosen(self, stated: Stated, channels: Sequence[str] | None) -> tuple[list[int], tuple[str, ...]]:
        """The places of the channels in the file, and their names."""
        if channels is None:
            channels = stated.names if self.assumed is None else self.assumed.channels
        names = self._listed(channels)
        if twice := sorted({name for name in names if stated.names.count(name) > 1}):
            raise ChannelError(
                f"{self.source}: {', '.join(twice)} is the name of several channels; rename them in the file"
                + (f", or ask for them as {', '.join(_headings(stated, twice))}" if stated.headings else "")
            )
        known = [*stated.names, *stated.headings]
        if missing := [name for name in names if name not in known]:
            raise ChannelError(
                f"{self.source}: no channel {', '.join(missing)} (it has {', '.join(stated.names)}); names are "
                "compared letter by letter: rename them in the file, or ask for those that are there"
            )
        return [known.index(name) % len(stated.names) for name in names], names

    def _one_rate(self, stated: Stated, places: Sequence[int]) -> float | None:
        rates = [stated.rates[place] for place in places]
        if len(set(rates)) > 1:
            spelt = ", ".join(f"{stated.names[place]} {stated.rates[place]:g} Hz" for place in places)
            raise FormatError(
                f"{self.source}: its channels have different rates ({spelt}); ask for channels of one rate, or "
                "resample them first"
            )
        return rates[0]

    def _rate(self, own: float | None, given: float | None, taken: list[str]) -> float:
        if own is None and given is None and self.assumed is not None:
            given = self.assumed.rate
            taken.append(f"rate {given:g} Hz")
        return agreed_rate(own, given, self.source, "the rate")

    def _units(
        self, names: Sequence[str], own: Sequence[str | None], units: str | Sequence[str] | None, taken: list[str]
    ) -> tuple[str, ...]:
        given = (units,) * len(names) if isinstance(units, str) else None if units is None else tuple(units)
        for what, number in (("the file states", len(own)), ("units has", len(names if given is None else given))):
            if number != len(names):
                raise FormatError(f"{self.source}: {what} {number} units for {len(names)} channels; one, or one each")
        if given is not None:
            for name, mine, other in zip(names, own, given, strict=True):
                if mine is not None and plain_unit(mine) != plain_unit(other):
                    raise FormatError(
                        f"{self.source}: the unit of {name} is {mine!r}, but {other!r} was given; leave units out "
                        "where the file states them"
                    )
            return given
        lacking = [name for name, unit in zip(names, own, strict=True) if unit is None]
        usual = {} if self.assumed is None else dict(zip(self.assumed.channels, self.assumed.units, strict=True))
        if unknown := [name for name in lacking if name not in usual]:
            raise FormatError(
                f"{self.source}: does not state the unit of {', '.join(unknown)}; give units= (nothing is guessed)"
            )
        if lacking:
            spelt = dict.fromkeys(usual[name] or "none" for name in lacking)
            taken.append(f"unit {', '.join(spelt)} of {', '.join(lacking)}")
        return tuple(usual[name] if unit is None else unit for name, unit in zip(names, own, strict=True))


def _headings(stated: Stated, names: Sequence[str]) -> list[str]:
    return [repr(heading) for name, heading in zip(stated.names, stated.headings, strict=True) if name in names]
