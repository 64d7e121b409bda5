"""Reads a whole collection and says what is wrong or doubtful in it: files, signals, labels, patients and parts.

What is looked for: files that cannot be read or differ from the publisher's checksums (`SHA256SUMS.txt`, and the
checksums in WFDB headers), leads that contradict Einthoven's and Goldberger's identities, implausible amplitudes, flat
and saturated leads, missing samples, empty records, zeros that pad a record, the same signal twice, and patients or
signals that occur in two parts of a split.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ecoscale.datasets.processes import ALONE, Progress, in_processes, silent
from ecoscale.datasets.splits import shared_patients
from ecoscale.datasets.store import BLOCK
from ecoscale.datasets.verified import VerifiedFiles, file_checksum
from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN
from ecoscale.ecg import FLAT_SECONDS
from ecoscale.errors import EcoscaleError, EmptyError
from ecoscale.formats import read_recordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ecoscale.datasets.collection import Collection
    from ecoscale.ecg import ECG
    from ecoscale.formats import Recording

CHECKSUMS = "SHA256SUMS.txt"
FIRST = 3
"""So many offenders are named."""

_MEANING: dict[str, tuple[Literal["error", "warning", "note"], str]] = {
    "unreadable": ("error", "cannot be read"),
    "altered_file": ("error", "differs from the publisher's checksum"),
    "checksum": ("error", "differs from the checksum in its header"),
    "patient_in_two_parts": ("error", "a patient with records in more than one part"),
    "duplicate_across_parts": ("error", "the same signal in more than one part"),
    "duplicate": ("warning", "the same signal under another name"),
    "other_labels": ("warning", "the same signal with other labels"),
    "empty": ("warning", "without any signal"),
    "inconsistent_leads": ("warning", "limb leads contradict each other: lead order, gain or an electrode"),
    "implausible_amplitude": ("warning", "too large or too small for millivolts: unit or gain"),
    "flat_lead": ("warning", "a lead without any change for a second or more"),
    "saturated": ("warning", "a lead rests at its extreme value: the amplifier clipped"),
    "missing_samples": ("warning", "samples that are not a number"),
    "short_signal": ("warning", "too short for a rhythm"),
    "uncalibrated": ("warning", "no gain stated"),
    "padding": ("note", "zeros in every lead at the start or the end"),
    "derived_leads": ("note", "limb leads computed from others"),
    "ignored_channels": ("note", "channels that are none of the twelve leads"),
    "lead_order": ("note", "lead order decided by the limb-lead identities"),
}
_PADDING = re.compile(r"padding_removed: ([\d.]+) s at the start and ([\d.]+) s at the end")


@dataclass(frozen=True)
class Observation:
    """One kind of thing that was found: how many records (or files, patients), and the first of them in words."""

    code: str
    level: Literal["error", "warning", "note"]
    meaning: str
    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """What was found in a collection."""

    collection: str
    directory: str
    records: int
    patients: int
    readable: int
    labels: Mapping[str, Mapping[str, int]]
    parts: Mapping[str, Mapping[str, int]]
    seconds: Mapping[str, float]
    rates: Mapping[str, int]
    residual: Mapping[str, float]
    padding_seconds: float
    checksums_compared: int
    notes: tuple[str, ...]
    observations: tuple[Observation, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; doubts and notes do not count."""
        return all(observation.level != "error" for observation in self.observations)

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self) | {"sound": self.sound}


@dataclass(frozen=True)
class _Seen:
    """What one record showed when it was read."""

    error: str | None = None
    empty: bool = False
    doubts: tuple[str, ...] = ()
    digest: bytes = b""
    seconds: float = 0.0
    rate: float = 0.0
    padding: float = 0.0
    residual: float | None = None


def check_collection(
    collection: Collection,
    parts: Mapping[str, str] | None = None,
    *,
    workers: int | None = None,
    checksums: bool = True,
    progress: Progress = silent,
) -> Check:
    """Read every record of a collection once, on all cores.

    `parts` says which part of a split each record is in; by default the publisher's folds, if there are any. With
    `checksums`, files are compared with the publisher's list where the folder holds it, and with those under which
    `ecoscale datasets download` verified them.
    """
    records = collection.records
    if parts is None and any(folds := records["fold"].tolist()):
        parts = {record: f"fold {fold}" for record, fold in zip(records.index, folds, strict=True)}
    seen: list[_Seen] = []
    _wait(progress(_read_all(collection, seen, workers), f"reading {collection.title}", len(records)))
    found: dict[str, list[str]] = defaultdict(list)
    for record, one in zip(records.index, seen, strict=True):
        if one.error is not None:
            found["empty" if one.empty else "unreadable"].append(f"{record}: {one.error}")
        for doubt in one.doubts:
            code, _, words = doubt.partition(": ")
            found[code].append(f"{record}: {words}")
        if one.padding:
            found["padding"].append(f"{record}: {one.padding:.2f} s")
    _find_duplicates(collection, seen, parts, found)
    if parts is not None:
        for patient, mine in shared_patients(records, parts).items():
            found["patient_in_two_parts"].append(f"{patient}: {', '.join(f'{r} in {parts[r]}' for r in mine[:4])}")
    compared = 0
    if checksums:
        compared, altered = _compare_checksums(collection.directory, workers, progress)
        found["altered_file"] += altered
    readable = [one for one in seen if one.error is None]
    labels = collection.labels(collection.findings)
    residuals = [one.residual for one in readable if one.residual is not None]
    return Check(
        collection=collection.title,
        directory=str(collection.directory),
        records=len(records),
        patients=len(set(records["patient"])),
        readable=len(readable),
        labels={
            finding: {
                "present": int((values == PRESENT).sum()),
                "absent": int((values == ABSENT).sum()),
                "unknown": int((values == UNKNOWN).sum()),
            }
            for finding, values in zip(collection.findings, labels.T, strict=True)
        },
        parts={} if parts is None else part_counts(collection, parts),
        seconds=_spread([one.seconds for one in readable], {"shortest": 0, "median": 50, "longest": 100}),
        rates={f"{rate:g}": n for rate, n in sorted(Counter(one.rate for one in readable).items())},
        residual=_spread(residuals, {"median": 50, "99 %": 99, "largest": 100}),
        padding_seconds=float(sum(one.padding for one in readable)),
        checksums_compared=compared,
        notes=collection.notes,
        observations=_observations(found),
    )


def part_counts(
    collection: Collection, parts: Mapping[str, str], findings: Sequence[str] | None = None
) -> dict[str, dict[str, int]]:
    """Of each part (train, validation and test first): records, patients, and positives of each finding.

    The findings are those of the vocabulary that it states, unless others are named.
    """
    counts = {}
    findings = collection.findings if findings is None else findings
    labels = collection.labels(findings)
    own = [parts.get(record) for record in collection.records.index]
    for part in sorted(set(parts.values()), key=_rank):
        rows = np.array([one == part for one in own], dtype=bool)
        positives = (labels[rows] == PRESENT).sum(axis=0).tolist()
        patients = collection.records["patient"].to_numpy()[rows]
        counts[part] = {"records": int(rows.sum()), "patients": len(set(patients))}
        counts[part] |= dict(zip(findings, positives, strict=True))
    return counts


def _rank(part: str) -> tuple:
    """Sorts parts in their usual order, and numbers in names by their value."""
    usual = ("train", "validation", "test")
    numbers = [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", part)]
    return (usual.index(part) if part in usual else len(usual), numbers)


def _wait(records: Iterable[str]) -> None:
    for _ in records:
        pass


def _read_all(collection: Collection, seen: list[_Seen], workers: int | None) -> Iterator[str]:
    names = collection.records.index.tolist()
    blocks = [names[first : first + BLOCK] for first in range(0, len(names), BLOCK)]
    jobs = (([collection.recording(record) for record in block],) for block in blocks)
    results = in_processes(_look_at, jobs, 1 if len(names) < ALONE else workers)
    for block, result in zip(blocks, results, strict=True):
        seen += result
        yield from block


def _look_at(recordings: Sequence[Recording]) -> list[_Seen]:
    return [
        _Seen(error=str(outcome), empty=isinstance(outcome, EmptyError))
        if isinstance(outcome, EcoscaleError)
        else _look(cast("ECG", outcome))
        for outcome in read_recordings(recordings)
    ]


def _look(ecg: ECG) -> _Seen:
    doubts = [doubt for doubt in ecg.check() if not doubt.startswith("padding_removed")]
    empty = all((row == row[0]).all() for row in ecg.signal)
    if empty:
        doubts = [doubt for doubt in doubts if not doubt.startswith("flat_lead")]
        doubts.append(f"empty: no lead changes in {ecg.duration:.1f} s")
    # In microvolts, so that the same signal stored with another gain is known again.
    content = np.rint(np.nan_to_num(ecg.signal, nan=1e6) * 1000).astype(np.int32).tobytes()
    residual = ecg.einthoven_residual()
    return _Seen(
        empty=empty,
        doubts=tuple(doubts),
        digest=hashlib.blake2b(content, digest_size=16).digest(),
        seconds=ecg.duration,
        rate=ecg.rate,
        padding=_padding(ecg),
        residual=max(residual.values()) if residual else None,
    )


def _padding(ecg: ECG) -> float:
    """Seconds of zeros in every lead at both ends, those that the reader removed among them."""
    removed = sum(float(side) for note in ecg.notes if (m := _PADDING.match(note)) for side in m.groups())
    present = np.flatnonzero((ecg.signal != 0).any(axis=0))
    if not present.size:
        return removed
    rest = (int(present[0]) + ecg.n_samples - 1 - int(present[-1])) / ecg.rate
    # A lead or two may rest at zero for a moment; what pads a record is longer.
    return removed + (rest if rest >= FLAT_SECONDS / 10 else 0.0)


def _find_duplicates(
    collection: Collection, seen: list[_Seen], parts: Mapping[str, str] | None, found: dict[str, list[str]]
) -> None:
    alike: dict[bytes, list[int]] = defaultdict(list)
    for row, one in enumerate(seen):
        if one.error is None and not one.empty:
            alike[one.digest].append(row)
    names, codes = collection.records.index.tolist(), collection.records["codes"].tolist()
    for rows in alike.values():
        if len(rows) < 2:
            continue
        own = [names[row] for row in rows]
        text = " = ".join(own[:4]) + (f" = {len(own) - 4} more" if len(own) > 4 else "")
        found["duplicate"].append(text)
        if len({codes[row] for row in rows}) > 1:
            found["other_labels"].append(text)
        if parts is not None:
            where = sorted({parts[name] for name in own if name in parts})
            if len(where) > 1:
                found["duplicate_across_parts"].append(f"{text} in {', '.join(where)}")


def _compare_checksums(directory: Path, workers: int | None, progress: Progress) -> tuple[int, list[str]]:
    """How many files here have a known checksum, and those that differ from it."""
    here = [(name, checksum) for name, checksum in _known_checksums(directory).items() if (directory / name).is_file()]
    altered: list[str] = []
    if here:
        _wait(progress(_compare(directory, here, altered, workers), "comparing checksums", len(here)))
    return len(here), altered


def _known_checksums(directory: Path) -> dict[str, str]:
    """By path, from the publisher's list and from what a download noted."""
    known = VerifiedFiles(directory).checksums()
    if (directory / CHECKSUMS).is_file():
        lines = (directory / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        rows = [line.split(maxsplit=1) for line in lines if line.strip()]
        known |= {row[1].lstrip("*"): f"sha256:{row[0].lower()}" for row in rows if len(row) == 2}
    return known


def _compare(
    directory: Path, files: Sequence[tuple[str, str]], altered: list[str], workers: int | None
) -> Iterator[str]:
    blocks = [files[first : first + BLOCK] for first in range(0, len(files), BLOCK)]
    jobs = ((directory, block) for block in blocks)
    for block, result in zip(blocks, in_processes(_altered, jobs, 1 if len(files) < ALONE else workers), strict=True):
        altered += result
        yield from (name for name, _ in block)


def _altered(directory: Path, files: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    for name, expected in files:
        checksum = file_checksum(directory / name, expected.partition(":")[0])
        if checksum != expected:
            found.append(f"{name}: {checksum[:19]}..., expected {expected[:19]}...; download it again")
    return found


def _observations(found: Mapping[str, list[str]]) -> tuple[Observation, ...]:
    known = [
        Observation(code, *_MEANING.get(code, ("note", "said by the reader")), len(texts), tuple(texts[:FIRST]))
        for code, texts in found.items()
        if texts
    ]
    order = ("error", "warning", "note")
    return tuple(sorted(known, key=lambda one: (order.index(one.level), -one.count)))


def _spread(values: Sequence[float], percentiles: Mapping[str, float]) -> dict[str, float]:
    return {name: float(np.percentile(values, at)) for name, at in percentiles.items()} if len(values) else {}
