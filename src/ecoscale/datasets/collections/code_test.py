"""CODE-test: 827 exams of as many patients, 7 or 10 s, 12 leads, 400 Hz. For testing only.

Source: Ribeiro et al., Automatic diagnosis of the 12-lead ECG using a deep neural network, Nature Communications 11,
1760 (2020), doi:10.1038/s41467-020-15432-4; data: Zenodo, doi:10.5281/zenodo.3765780. Licence: CC BY 4.0.
Labels: six findings (1dAVb RBBB LBBB SB AF ST) as columns of `annotations/gold_standard.csv`: two cardiologists, and
where they differ a third, senior one who knew what both had written. `annotations` gives what others say of the same
exams: either cardiologist, two residents of cardiology, two of emergency medicine and two medical students (each of a
pair read half of the exams), and the paper's own network at the thresholds that maximise its F1 on these exams.
Positives of the gold standard: 1dAVb 28, RBBB 34, LBBB 30, SB 16, AF 13, ST 37; 681 exams show none of the six, which
is not to say that they are normal.
Folds: none (fold 0); it is a test set as a whole, and no part of it is for training or for choosing thresholds.
Traps, all met here: the columns end in AF, ST where CODE-15%'s end in ST, AF, so labels are read by name; neither exams
nor rows have an id, and belong together by their order alone, so a table of another length is refused; one README puts
aVL and aVF before aVR, the other does not: the Goldberger identities settle the order once for the whole file (`notes`
gives the evidence), and an exam that does not fit it says so by its warning `inconsistent_leads`; the README's "scale
1e-4V" contradicts itself: the values are mV; shorter exams are zero-padded on both sides to 4096 samples; `dnn.csv` has
one more column, the row number.
With 13 and 16 positives, a difference of a few points in F1 is chance: give its interval. Age and sex
(`attributes.csv`) are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.archive import Archive
from ecoscale.datasets.collection import Collection, read_table
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import Recording
from ecoscale.formats.code_hdf5 import exams, settle_lead_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TRACINGS = "ecg_tracings.hdf5"
ANNOTATIONS = "annotations"
GOLD_STANDARD = "gold_standard"
N_EXAMS = 827
POSITIVES = {"1dAVb": 28, "RBBB": 34, "LBBB": 30, "SB": 16, "ST": 37, "AF": 13}
"""Of the gold standard as published."""

_SIX = tuple(finding.name for finding in CODE_FINDINGS)


class CodeTest(Collection):
    """CODE-test from the folder with `ecg_tracings.hdf5` and `annotations`, or the one with that folder `data`."""

    name = "code_test"
    title = "CODE-test"
    source = "https://doi.org/10.5281/zenodo.3765780"
    licence = "CC BY 4.0"
    scheme = "CODE"
    looked_for = f"{TRACINGS} beside {ANNOTATIONS}/{GOLD_STANDARD}.csv"
    archive = Archive("zenodo", "3765780", 218_000_000)
    annotators = (
        GOLD_STANDARD,
        *("cardiologist1", "cardiologist2"),
        *("cardiology_residents", "emergency_residents", "medical_students"),
        "dnn",
    )
    """Whose labels `annotations` gives."""

    leads: tuple[str, ...]
    """The lead order of the whole file, as the data tell it."""

    def __init__(self, directory: str | Path) -> None:
        import pandas as pd

        self.directory = _root(Path(directory))
        path = self.directory / TRACINGS
        if not path.exists():
            raise DatasetError(f"{path}: not found; the archive's folder data holds it beside {ANNOTATIONS}")
        records = exams(path)
        if records is None:
            raise DatasetError(f"{path}: not an HDF5 with tracings; download it again")
        self.records = pd.DataFrame(
            {"patient": records, "fold": 0, "path": TRACINGS}, index=pd.Index(records, name="record")
        )
        flags = self._flags(GOLD_STANDARD)
        self.records["codes"] = [frozenset(name for name, on in zip(_SIX, row, strict=True) if on) for row in flags]
        self.notes = (*self._settle(path), *self._differences(flags))

    def annotations(self, annotator: str, findings: Sequence[str] = _SIX) -> NDArray[np.int8]:
        """What one of `annotators` says: labels `(records, findings)`, present 1, absent 0, in the order of `records`.

        Raises `DatasetError` for another annotator or finding, or a table that does not fit the tracings.
        """
        if annotator not in self.annotators:
            raise DatasetError(f"{self.title} has no annotator {annotator!r}; there are {', '.join(self.annotators)}")
        if unknown := [finding for finding in findings if finding not in _SIX]:
            raise DatasetError(f"{self.title} has no annotation of {', '.join(unknown)}; there are {', '.join(_SIX)}")
        return self._flags(annotator)[:, [_SIX.index(finding) for finding in findings]]

    def recording(self, record: str) -> Recording:
        """One exam by its row number (from 0), in the file's lead order; reading it removes its zero padding."""
        return Recording(self.path(record), record, {"leads": self.leads})

    @classmethod
    def recognises(cls, directory: Path) -> bool:
        """By its tracings and its gold standard."""
        root = _root(directory)
        return (root / TRACINGS).exists() and (root / ANNOTATIONS / f"{GOLD_STANDARD}.csv").exists()

    def _flags(self, annotator: str) -> NDArray[np.int8]:
        """One annotator's table, `(records, six findings)` in the order of CODE-15%'s columns."""
        table = self.directory / ANNOTATIONS / f"{annotator}.csv"
        rows = read_table(table, _SIX)
        if len(rows) != len(self.records):
            raise DatasetError(
                f"{table}: {len(rows)} rows for {len(self.records)} tracings; they belong together by their order "
                "alone: download both again"
            )
        for name in _SIX:
            wrong = np.flatnonzero(~rows[name].isin([0, 1]))
            if len(wrong):
                raise DatasetError(
                    f"{table}: {name} is {rows[name].iloc[wrong[0]]!r} in row {wrong[0] + 1}; expected 0 or 1"
                )
        return rows[list(_SIX)].to_numpy(dtype=np.int8)

    def _settle(self, path: Path) -> list[str]:
        found = settle_lead_order(path)
        evidence = "; ".join(
            f"{found.fits[order]} fit {' '.join(order[:6])} V1..V6 (median misfit {found.misfits[order]:.3f})"
            for order in sorted(found.fits, key=lambda order: -found.fits[order])
        )
        if found.leads is None:
            raise DatasetError(
                f"{path}: the Goldberger identities do not settle the lead order: of {found.n_exams} exams spread over "
                f"the file, {evidence}; expected one order in all of it: download it again"
            )
        self.leads = found.leads
        return [
            f"lead order {' '.join(found.leads[:6])} V1..V6, by the Goldberger identities: of {found.n_exams} exams "
            f"spread over the file, {evidence}"
        ]

    def _differences(self, flags: NDArray[np.int8]) -> list[str]:
        """How the folder differs from the publication."""
        if len(flags) != N_EXAMS:
            return [f"{len(flags)} exams are here; {N_EXAMS} are published"]
        found = dict(zip(_SIX, flags.sum(axis=0).tolist(), strict=True))
        if other := [f"{name} {found[name]} ({n} published)" for name, n in POSITIVES.items() if found[name] != n]:
            return [f"{GOLD_STANDARD}.csv has other positives than published: {', '.join(other)}"]
        return []


def _root(directory: Path) -> Path:
    """The folder of the tracings: this one, or `data` in it, as the archive unpacks."""
    nested = directory / "data"
    return nested if (nested / TRACINGS).exists() and not (directory / TRACINGS).exists() else directory
