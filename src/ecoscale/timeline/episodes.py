"""What a record's windows make together: the share of time with a finding, and its episodes.

Windows overlap, so each speaks for the time that is nearer to its middle than to another's: a moment belongs to one
window. A finding's episode is the time of windows that follow each other and show it. Episodes with no more than
`longest_gap` seconds between them are one; those that are then shorter than `shortest` seconds are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ecoscale.bundle import Label
    from ecoscale.excerpts import Window
    from ecoscale.formats.long_records import LongRecord
    from ecoscale.inference import Classifier


@dataclass(frozen=True)
class Episode:
    """A stretch of time in which windows show a finding: seconds from the beginning, and the highest probability."""

    finding: str
    start: float
    stop: float
    highest: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.stop - self.start


@dataclass(eq=False)
class Timeline:
    """The windows of one record, as they are added.

    Four bytes a finding and window are kept, and no signal. `longest_gap` and `shortest` (seconds) are the rule of
    episodes; by default gaps up to a window are bridged and no episode is too short.
    """

    record: LongRecord
    bundle: str
    labels: tuple[Label, ...]
    window: float
    hop: float
    longest_gap: float
    shortest: float = 0.0
    _starts: list[float] = field(default_factory=list, repr=False)
    _stops: list[float] = field(default_factory=list, repr=False)
    _probabilities: list[NDArray[np.float32]] = field(default_factory=list, repr=False)
    _present: list[NDArray[np.bool_]] = field(default_factory=list, repr=False)
    _codes: dict[str, list[int]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        record: LongRecord,
        *,
        hop: float | None = None,
        longest_gap: float | None = None,
        shortest: float = 0.0,
    ) -> Timeline:
        """Without windows yet."""
        seconds = classifier.preparation.seconds
        return cls(
            record,
            classifier.bundle.title,
            classifier.labels,
            seconds,
            seconds / 2 if hop is None else hop,
            seconds if longest_gap is None else longest_gap,
            shortest,
        )

    def add(self, window: Window) -> None:
        """Add the window that follows."""
        for warning in window.warnings:
            # The record's own notes stand in every window, and are said once.
            if warning not in self.record.notes:
                self._codes.setdefault(warning.partition(":")[0], []).append(len(self._starts))
        self._starts.append(window.start)
        self._stops.append(window.stop)
        if window.prediction is None:
            self._probabilities.append(np.full(len(self.labels), np.nan, np.float32))
            self._present.append(np.zeros(len(self.labels), bool))
        else:
            findings = window.prediction.findings.values()
            self._probabilities.append(np.array([finding.probability for finding in findings], np.float32))
            self._present.append(np.array([finding.present for finding in findings], bool))

    @property
    def n_windows(self) -> int:
        """How many windows there are."""
        return len(self._starts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the findings, in the order of the columns of `probabilities`."""
        return tuple(label.name for label in self.labels)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """`(windows, findings)`; NaN where a window is not classified."""
        return np.array(self._probabilities, np.float32).reshape(-1, len(self.labels))

    @property
    def present(self) -> NDArray[np.bool_]:
        """`(windows, findings)`: whether each is present (of classes that exclude each other, the most probable)."""
        return np.array(self._present, bool).reshape(-1, len(self.labels))

    @property
    def classified(self) -> NDArray[np.bool_]:
        """`(windows,)`: which of them are classified."""
        return ~np.isnan(self.probabilities[:, 0])

    @property
    def edges(self) -> NDArray[np.float64]:
        """`(windows + 1,)` seconds: window `i` speaks for the time from edge `i` to edge `i + 1`."""
        middles = (np.array(self._starts) + np.array(self._stops)) / 2
        between = (middles[1:] + middles[:-1]) / 2
        return np.concatenate((self._starts[:1], between, self._stops[-1:]))

    @property
    def doubtful(self) -> dict[str, NDArray[np.bool_]]:
        """By the code of a warning: `(windows,)`, which of them have it."""
        found = {}
        for code, positions in self._codes.items():
            found[code] = np.zeros(self.n_windows, bool)
            found[code][positions] = True
        return found

    def share(self, finding: str) -> float:
        """Share of the classified time in which a finding is present; NaN where nothing is classified."""
        lengths, classified = np.diff(self.edges), self.classified
        total = lengths[classified].sum()
        return float(lengths[self.present[:, self.names.index(finding)]].sum() / total) if total else float("nan")

    def episodes(self, finding: str) -> list[Episode]:
        """A finding's episodes in order."""
        column = self.names.index(finding)
        present, probabilities, edges = self.present[:, column], self.probabilities[:, column], self.edges
        bounds = np.flatnonzero(np.diff(present, prepend=False, append=False))
        runs = [(int(first), int(last)) for first, last in zip(bounds[::2], bounds[1::2], strict=True)]
        merged: list[tuple[int, int]] = []
        for first, last in runs:
            if merged and edges[first] - edges[merged[-1][1]] <= self.longest_gap + 1e-6:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        found = [
            Episode(finding, float(edges[first]), float(edges[last]), float(np.nanmax(probabilities[first:last])))
            for first, last in merged
        ]
        return [episode for episode in found if episode.duration >= self.shortest - 1e-6]

    def summary(self) -> dict[str, Any]:
        """As plain values: the record, and for each finding its share of time and its episodes."""
        lengths = np.diff(self.edges) if self.n_windows else np.zeros(0)
        return {
            "source": self.record.source,
            "record": self.record.record,
            "duration_s": round(self.record.duration, 3),
            "start": self.record.clock(0),
            "window_s": self.window,
            "hop_s": self.hop,
            "windows": self.n_windows,
            "classified_s": round(float(lengths[self.classified].sum()), 3),
            "longest_gap_s": self.longest_gap,
            "shortest_s": self.shortest,
            "findings": {name: self._summary_of(name) for name in self.names},
            "warnings": {code: int(where.sum()) for code, where in self.doubtful.items()},
            "notes": [*self.record.notes, *self.record.remarks],
            "bundle": self.bundle,
        }

    def _summary_of(self, name: str) -> Mapping[str, Any]:
        share = self.share(name)
        return {
            "share": None if np.isnan(share) else round(share, 6),
            "episodes": [
                {
                    "start_s": round(episode.start, 3),
                    "stop_s": round(episode.stop, 3),
                    "start": self.record.clock(episode.start),
                    "stop": self.record.clock(episode.stop),
                    "highest_probability": round(episode.highest, 6),
                }
                for episode in self.episodes(name)
            ],
        }
