"""LUDB (Lobachevsky University): 200 records of as many people, 10 s, 12 leads, 500 Hz, every wave delineated by hand.

Source: Kalyakulina et al., Lobachevsky University Electrocardiography Database, version 1.0.1, PhysioNet (ludb),
doi:10.13026/eegm-h675; described in IEEE Access 8 (2020), doi:10.1109/ACCESS.2020.3029211. Licence: ODC-By 1.0.
Labels: cardiologists' diagnoses as phrases, in nine columns of `ludb.csv` (rhythm, axis, conduction, ...), and as the
lines after `#<diagnoses>:` in each header. Recorded 2017-2018 at Nizhny Novgorod City Hospital No 5.
Delineation: 58,429 waves (16,797 P, 21,966 QRS, 19,666 T) marked by cardiologists in each lead by itself; see
`LUDB.waves`.
Folds: none; split by a hash of the record (one record a person).
Traps, all met here: a cell of `ludb.csv` holds several phrases, one a line, and ends in a line break; table and headers
write one phrase differently ("I degree av block", "I degree AV block."), so codes are phrases in lower case without the
full stop; lead names are in lower case.
Others: version 1.0.0 has no `ludb.csv`, other names of the delineation files, and gains that are 1000 times wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.datasets.tasks import Task
from ecoscale.errors import DatasetError
from ecoscale.formats.leads import canonical_leads

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

TABLE = "ludb.csv"
DATA = "data"
CATEGORIES = (
    "Rhythms",
    "Electric axis of the heart",
    "Conduction abnormalities",
    "Extrasystolies",
    "Hypertrophies",
    "Cardiac pacing",
    "Ischemia",
    "Non-specific repolarization abnormalities",
    "Other states",
)
"""The columns of `ludb.csv` that hold diagnoses, in its spelling; the first is filled in every row."""

WAVES = {"p": "P", "N": "QRS", "t": "T"}
"""The symbols that mark a wave's peak in a delineation file, and the wave."""

RHYTHMS = Task(
    "rhythms",
    "which of the rhythms the record shows that LUDB's headers name",
    "https://doi.org/10.13026/eegm-h675",
    {
        rhythm: frozenset({rhythm.casefold()})
        for rhythm in (
            "Sinus rhythm",
            "Sinus bradycardia",
            "Sinus tachycardia",
            "Sinus arrhythmia",
            "Irregular sinus rhythm",
            "Atrial fibrillation",
            "Atrial flutter, typical",
        )
    },
    only_annotated=True,
)

_HEADING = "<diagnoses>:"


class LUDB(Collection):
    """LUDB from the folder with `data` and `ludb.csv`; without that table its labels are read from the headers."""

    name = "ludb"
    title = "LUDB (Lobachevsky University) 1.0.1"
    source = "https://doi.org/10.13026/eegm-h675"
    licence = "ODC-By 1.0"
    scheme = "LUDB"
    looked_for = "data/*.hea with a line #<diagnoses>:"
    tasks = (RHYTHMS,)
    archive = Archive("physionet", "ludb/1.0.1", 26_000_000)

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = Path(directory)
        # 1, 2, ..., 10: in the order of the numbers, in which the publisher's table is too.
        headers = sorted((self.directory / DATA).glob("*.hea"), key=lambda header: (len(header.stem), header.stem))
        if not headers:
            raise DatasetError(f"{self.directory / DATA}: no WFDB headers (*.hea); expected {DATA}/1.hea")
        names = [header.stem for header in headers]
        table = self.directory / TABLE
        if table.exists():
            stated = _table_diagnoses(table)
            notes = []
            if missing := len(set(stated) - set(names)):
                notes.append(f"{missing:,} of {len(stated):,} records of {TABLE} have no header in {DATA}")
            if strangers := len(set(names) - set(stated)):
                notes.append(f"{strangers:,} records have no row in {TABLE} and are left out")
            names = [name for name in names if name in stated]
            if not names:
                raise DatasetError(f"{self.directory}: none of the records of {TABLE} has a header in {DATA}")
        else:
            stated = {header.stem: _header_diagnoses(header) for header in headers}
            notes = [f"{table}: not found; the diagnoses are those of the headers"]
        self.notes = tuple(notes)
        self.records = pd.DataFrame(
            {
                "patient": names,
                "fold": 0,
                "codes": [stated[name] for name in names],
                "path": [f"{DATA}/{name}.hea" for name in names],
            },
            index=pd.Index(names, name="record"),
        )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By a header that lists diagnoses."""
        first = next((directory / DATA).glob("*.hea"), None)
        return first is not None and _HEADING in first.read_text(encoding="utf-8", errors="replace")

    def waves(self, record: str, lead: str) -> pd.DataFrame:
        """The waves that cardiologists marked in one lead of a record, in the order of time.

        Parameters
        ----------
        record
            Its id, 1 to 200.
        lead
            The lead, in any spelling: each was marked by itself.

        Returns
        -------
        A table with a row for each wave: `kind` (P, QRS or T) and `onset`, `peak`, `offset`, in samples from the first
        (500 a second). What was not marked is missing (`pandas.NA`): a boundary of a wave, or of a lone boundary the
        kind and the peak. Towards both ends of a record beats may be without any mark.

        Raises
        ------
        DatasetError
            If the record or the file of its lead is not there, or the file is no delineation.
        LeadError
            If the lead is none of the twelve.
        """
        import pandas as pd
        import wfdb

        header = self.path(record)
        (canonical,) = canonical_leads([lead], str(header))
        file = header.with_suffix(f".{canonical.lower()}")
        if not file.is_file():
            raise DatasetError(f"{file}: not found; version 1.0.1 has the delineation of lead {canonical} there")
        # wfdb reads a file without its end as one with fewer annotations.
        if not file.read_bytes().endswith(b"\0\0"):
            raise DatasetError(f"{file}: does not end as WFDB annotations do, with two zero bytes; download it again")
        try:
            marks = wfdb.rdann(str(header.with_suffix("")), canonical.lower())
            pairs = list(zip(np.asarray(marks.sample).tolist(), map(str, marks.symbol or []), strict=True))
        except Exception as error:  # wfdb documents no exceptions and lets those of numpy and pandas pass
            raise DatasetError(
                f"{file}: cannot be read as WFDB annotations ({type(error).__name__}: {error}); download it again"
            ) from error
        if unknown := {symbol for _, symbol in pairs} - {"(", ")", *WAVES}:
            raise DatasetError(
                f"{file}: marks {', '.join(map(repr, sorted(unknown)))}; expected ( and ) around {', '.join(WAVES)}"
            )
        table = pd.DataFrame(_paired(pairs), columns=["kind", "onset", "peak", "offset"])
        return table.astype({"kind": "string", "onset": "Int64", "peak": "Int64", "offset": "Int64"})


def _paired(marks: Iterable[tuple[int, str]]) -> list[dict[str, int | str]]:
    """Waves from the marks of their onset, peak and offset, in the order of time."""
    waves, wave = [], None
    for sample, symbol in marks:
        if wave is None or symbol == "(" or (symbol in WAVES and "peak" in wave):
            wave = {}
            waves.append(wave)
        if symbol == "(":
            wave["onset"] = sample
        elif symbol == ")":
            wave["offset"] = sample
            wave = None
        else:
            wave |= {"kind": WAVES[symbol], "peak": sample}
    return waves


def _table_diagnoses(table: Path) -> dict[str, frozenset[str]]:
    """The phrases of each record of `ludb.csv`, by its id."""
    rows = read_table(table, ["ID", CATEGORIES[0]], text=["ID", *CATEGORIES])
    if missing := [name for name in CATEGORIES if name not in rows.columns]:
        raise DatasetError(
            f"{table}: column {', '.join(missing)} is missing; found {', '.join(map(str, rows.columns))}"
        )
    names = rows["ID"].str.strip()
    if names.duplicated().any():
        raise DatasetError(f"{table}: ID {names[names.duplicated()].iloc[0]} occurs twice")
    cells = rows[list(CATEGORIES)].fillna("").agg("\n".join, axis=1)
    return {name: _phrases(text.splitlines()) for name, text in zip(names, cells, strict=True)}


def _header_diagnoses(header: Path) -> frozenset[str]:
    """The phrases of a header, which follow its line `#<diagnoses>:`."""
    text = header.read_text(encoding="utf-8", errors="replace")
    comments = [line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")]
    if _HEADING not in comments:
        raise DatasetError(f"{header}: no line '#{_HEADING}'; expected it before the record's diagnoses")
    found = _phrases(comments[comments.index(_HEADING) + 1 :])
    if not found:
        raise DatasetError(f"{header}: nothing follows '#{_HEADING}'; expected at least the rhythm")
    return found


def _phrases(lines: Iterable[str]) -> frozenset[str]:
    words = (" ".join(line.split()).casefold().removesuffix(".").removeprefix("rhythm: ") for line in lines)
    return frozenset(filter(None, words))
