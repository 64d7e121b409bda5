"""Your own recordings: a folder of ECG files and a table `labels.csv` (or `labels.tsv`) that says what they show.

Source: yours: whatever `ecoscale.read_ecg` reads, with the leads that the recipe's preparation names, or those that
they follow from; a watch's single lead is enough where it names no other.
Licence: yours.
Table: one row a recording. `record` names its file from the folder, for WFDB with or without suffix; where a column
`path` or `file` names the file, `record` is only its name. `exam_id` says which exam of a CODE HDF5. `patient` or
`patient_id`: records of one patient never part ways in a split. `fold`: whole numbers, for a split of your own.
Labels: every other column that holds nothing but 1, 0, true, false, and nothing or `unknown` where nobody looked.
A column named as a finding of the vocabulary (`AF`, `1dAVb`, ...) is that finding; any other is a label of your own, by
its name (`hyperkalaemia`), which a recipe may list among its findings. What has no column is unknown in every record:
a finding that nobody looked for is never taken for absent.
Folds: those of the column `fold`; without it 0, so split by patient (`ecoscale.datasets.in_share`).
Other columns (age, sex in letters, text) are left out; `notes` says which, and by which value. `dataset.yaml` beside
the table may state `labels`, the label columns: then no other column is one, and each of their values must be a label;
and `rate` (Hz), `unit` (mV, uV, ...) and `leads` of `.npy` files and text tables, which do not state them.
Traps, all refused: a file that is not there, a recording with two rows, a finding's value that is no label, a finding
in another spelling (`af`), no label column at all. Files like those in the table that have no row are left out and
counted in `notes`. A column of 0 and 1 that is no label (`is_male`) becomes one of your own unless `labels` leaves it
out; it is used only where it is asked for by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecoscale.datasets.collection import Collection, list_collections
from ecoscale.datasets.collections.label_table import (
    FILE_COLUMNS,
    NOT,
    PATIENT_COLUMNS,
    RESERVED,
    class_column,
    fold_column,
    label_columns,
    labels_of_classes,
    one_of,
    read_label_table,
    read_settings,
)
from ecoscale.datasets.vocabulary import ABSENT, OWN, PRESENT, UNKNOWN
from ecoscale.errors import DatasetError
from ecoscale.findings import FINDINGS
from ecoscale.formats import Recording, SignalRecording
from ecoscale.formats.code_hdf5 import exams
from ecoscale.formats.wfdb_header import header_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

TABLES = ("labels.csv", "labels.tsv")
SETTINGS = "dataset.yaml"

_HDF5 = (".h5", ".hdf5")
# Kinds of files that may not say how they are to be read.
_UNSTATED = (".npy", ".csv", ".tsv", ".txt")


class Folder(Collection):
    """A user's recordings from the folder with `labels.csv`, or from a table of another name."""

    name = "folder"
    title = "Your own recordings"
    source = "a folder of yours"
    licence = "yours"
    scheme = OWN
    looked_for = f"{' or '.join(TABLES)} beside recordings of your own"

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory, self._table = _folder_and_table(Path(directory))
        settings = read_settings(self.directory / SETTINGS)
        self.options = settings.options
        rows = read_label_table(self._table)
        files = self._files(rows)
        exam_ids = rows["exam_id"].tolist() if "exam_id" in rows else [""] * len(rows)
        held = {file: exams(file) for file in dict.fromkeys(files) if file.suffix.lower() in _HDF5}
        self._refuse_unreadable(files, exam_ids, held)
        names = self._names(rows, exam_ids)
        classes = class_column(rows, self._table, settings.labels)
        self.single_label = classes is not None
        if classes is None:
            labels, left_out = label_columns(rows, self._table, settings.labels)
        else:
            labels = labels_of_classes(rows, classes, self._table, settings.classes)
            left_out = [name for name in rows if name not in RESERVED]
        patient_column = one_of(rows, PATIENT_COLUMNS, self._table)
        patients = rows[patient_column].tolist() if patient_column else [""] * len(rows)
        records = pd.DataFrame(
            {
                "patient": [patient or f"record-{name}" for patient, name in zip(patients, names, strict=True)],
                "fold": fold_column(rows, self._table),
                "codes": [
                    frozenset(
                        name if value == PRESENT else NOT + name
                        for name, value in zip(labels, values, strict=True)
                        if value != UNKNOWN
                    )
                    for values in zip(*labels.values(), strict=True)
                ],
                "path": [os.path.relpath(file, self.directory) for file in files],
                "exam": exam_ids,
            },
            index=pd.Index(names, name="record"),
        )
        self._findings = tuple(name for name in FINDINGS if name in labels)
        self.label_names = tuple(labels)
        """The label columns in the table's order, or the classes."""
        self.records = records.iloc[_reading_order(files, exam_ids, held)]
        self.notes = (
            *self._columns_noted(classes, list(labels), left_out),
            *self._patients_noted(patients.count("")),
            *self._files_noted(files, held),
        )

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its table, where no other collection is recognised."""
        others = [other for other in list_collections().values() if other is not cls]
        return any((directory / name).exists() for name in TABLES) and not any(
            other.recognises(directory) for other in others
        )

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the vocabulary that the table has."""
        return self._findings

    @classmethod
    def label(cls, records: pd.DataFrame, findings: Sequence[str]) -> NDArray[np.int8]:
        """Labels `(records, findings)`; a finding of the vocabulary that no row states is unknown throughout.

        Raises `DatasetError` for another name that no row states.
        """
        codes = records["codes"].tolist()
        stated = {code.removeprefix(NOT) for own in codes for code in own}
        if unknown := [name for name in findings if name not in stated and name not in FINDINGS]:
            raise DatasetError(
                f"{cls.title}: no row states {', '.join(unknown)}, which is no finding of the vocabulary; what they "
                f"state is {', '.join(sorted(stated)) or 'nothing'}"
            )
        labels = [
            [PRESENT if name in own else ABSENT if NOT + name in own else UNKNOWN for name in findings] for own in codes
        ]
        return np.array(labels, dtype=np.int8).reshape(len(codes), len(findings))

    def recording(self, record: str) -> Recording:
        """A record by its name as an ECG, with what `dataset.yaml` states if its file does not."""
        path = self.path(record)
        options = self._stated("unit", "leads") if path.suffix.lower() in _UNSTATED else {}
        if path.suffix.lower() not in _HDF5:
            # Which leads are needed, the preparation says.
            options["fewer_leads"] = True
        return Recording(path, self.records.loc[record, "exam"] or None, options)

    def signal_recording(self, record: str) -> SignalRecording:
        """The same with all its channels, under the names and in the units that the file or `dataset.yaml` states."""
        path = self.path(record)
        options = self._stated("units", "channels") if path.suffix.lower() in _UNSTATED else {}
        return SignalRecording(path, self.records.loc[record, "exam"] or None, options)

    def _stated(self, unit: str, names: str) -> dict[str, Any]:
        """What `dataset.yaml` states, its unit and its names under what a reader calls them."""
        called = {"unit": unit, "units": unit, "leads": names, "channels": names}
        return {called.get(key, key): value for key, value in self.options.items()}

    def _files(self, rows: pd.DataFrame) -> list[Path]:
        """The file of each row; the header of a WFDB record, by whichever of its names it goes."""
        column = one_of(rows, FILE_COLUMNS, self._table) or "record"
        if column not in rows:
            raise DatasetError(
                f"{self._table}: no column record, {' or '.join(FILE_COLUMNS)}, which names each row's file; found "
                f"{', '.join(rows.columns)}"
            )
        files, missing = [], []
        for number, text in enumerate(rows[column], 1):
            if not text:
                raise DatasetError(f"{self._table}: {column} is empty in row {number}; expected the name of a file")
            path = Path(os.path.normpath(self.directory / text))
            header = None if path.suffix == ".hea" else header_beside(path)
            if header is None and not path.is_file():
                missing.append(f"{text} (row {number})")
            files.append(header or path)
        if missing:
            more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DatasetError(
                f"{self._table}: {column} names what is not in {self.directory}: {', '.join(missing[:3])}{more}. "
                "Names are taken from the folder of the table, with their suffix unless it is a WFDB record"
            )
        return files

    def _refuse_unreadable(
        self, files: Sequence[Path], exam_ids: Sequence[str], held: Mapping[Path, list[str] | None]
    ) -> None:
        """That each row is of another recording, that each HDF5 holds the exams asked for, that settings are stated."""
        seen: dict[tuple[Path, str], int] = {}
        for number, (file, exam) in enumerate(zip(files, exam_ids, strict=True), 1):
            if (first := seen.setdefault((file, exam), number)) != number:
                raise DatasetError(
                    f"{self._table}: rows {first} and {number} are of one recording, "
                    f"{' '.join(filter(None, (file.name, exam)))}; expected a row each"
                )
            there = held.get(file)
            if exam:
                if there is None:
                    raise DatasetError(
                        f"{self._table}: exam_id is {exam!r} in row {number}, and {file.name} is no HDF5 of exams; "
                        "leave the cell empty"
                    )
                if exam not in there:
                    raise DatasetError(
                        f"{self._table}: exam_id is {exam!r} in row {number}; expected one of the {len(there)} exams "
                        f"in {file.name}, for example {there[0]}"
                    )
            elif there is not None and len(there) > 1:
                raise DatasetError(
                    f"{self._table}: exam_id is missing in row {number}; expected one of the {len(there)} exams in "
                    f"{file.name}, for example {there[0]}"
                )
            if file.suffix.lower() == ".npy" and (missing := self._unstated()):
                raise DatasetError(
                    f"{self.directory / SETTINGS}: no {', '.join(missing)}, which {file.name} (row {number}) does not "
                    "state; write for example 'rate: 500', 'unit: mV', 'leads: [I, II, III, aVR, ...]' in the file's "
                    "order, or 'channels: [ppg]' of another signal"
                )

    def _unstated(self) -> list[str]:
        """What an array without any names needs and `dataset.yaml` does not state."""
        needed = (("rate",), ("unit", "units"), ("leads", "channels"))
        return [" or ".join(names) for names in needed if not any(name in self.options for name in names)]

    def _names(self, rows: pd.DataFrame, exam_ids: Sequence[str]) -> list[str]:
        column = "record" if "record" in rows else one_of(rows, FILE_COLUMNS, self._table)
        names: dict[str, int] = {}
        for number, (name, exam) in enumerate(zip(rows[column], exam_ids, strict=True), 1):
            if not name:
                raise DatasetError(f"{self._table}: {column} is empty in row {number}; expected a name")
            name = f"{name}/{exam}" if exam else name
            if (first := names.setdefault(name, number)) != number:
                raise DatasetError(
                    f"{self._table}: {column} is {name} in rows {first} and {number}; expected a name each"
                )
        return list(names)

    def _columns_noted(self, classes: str | None, labels: Sequence[str], left_out: Sequence[str]) -> list[str]:
        if classes is not None:
            notes = [f"{self._table.name}: {len(labels)} classes in column {classes}: {', '.join(labels)}"]
            beside = f"; the label of each record is its {classes}" if left_out else ""
            return notes + [f"{self._table.name}: columns left out: {', '.join(left_out)}{beside}"] * bool(left_out)
        kinds = {
            "findings": [name for name in labels if name in FINDINGS],
            "labels of your own": [name for name in labels if name not in FINDINGS],
        }
        found = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names)
        notes = [f"{self._table.name}: {found}; every other finding is unknown in all records"]
        if left_out:
            notes.append(f"{self._table.name}: columns left out, being no labels: {', '.join(left_out)}")
        return notes

    def _patients_noted(self, n_alone: int) -> list[str]:
        if not n_alone:
            return []
        return [f"{self._table.name}: {n_alone:,} rows state no patient; each counts as a patient of its own"]

    def _files_noted(self, files: Sequence[Path], held: Mapping[Path, list[str] | None]) -> list[str]:
        """Files of the kinds in the table, and exams of its HDF5, that have no row."""
        listed, kinds = set(files), {file.suffix.lower() for file in files}
        strangers = sum(
            path.suffix.lower() in kinds and path not in listed and path != self._table
            for path in _visible_files(self.directory)
        )
        n_exams = sum(len(there) for there in held.values() if there)
        notes = []
        if strangers:
            notes.append(f"{strangers:,} files ({', '.join(sorted(kinds))}) have no row in {self._table.name}")
        if (without := n_exams - sum(held.get(file) is not None for file in files)) > 0:
            notes.append(f"{without:,} of {n_exams:,} exams in HDF5 files have no row in {self._table.name}")
        return [f"{note} and are left out" for note in notes]


def _folder_and_table(path: Path) -> tuple[Path, Path]:
    """Where the recordings lie, and the table of their labels; `path` is either of the two."""
    if path.is_file():
        return path.parent, path
    tables = [path / name for name in TABLES if (path / name).exists()]
    if len(tables) != 1:
        found = "both" if tables else "neither"
        raise DatasetError(
            f"{path}: {found} of {' and '.join(TABLES)} found; expected one of them, or the path of another table"
        )
    return path, tables[0]


def _visible_files(directory: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(os.path.normpath(Path(folder, name)))


def _reading_order(files: Sequence[Path], exam_ids: Sequence[str], held: Mapping[Path, list[str] | None]) -> list[int]:
    """The table's order, but for the exams of one HDF5, which follow each other as they lie in it."""
    first = {file: number for number, file in reversed(list(enumerate(files)))}
    place = {(file, exam): number for file, there in held.items() for number, exam in enumerate(there or ())}
    return sorted(range(len(files)), key=lambda row: (first[files[row]], place.get((files[row], exam_ids[row]), 0)))
