"""Tasks: what a collection's own benchmark asks, as classes and the codes that mean each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.datasets.vocabulary import ABSENT, PRESENT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection as Codes
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Task:
    """One question of a published benchmark.

    Parameters
    ----------
    name, title, source
        What it is called, what it asks, and where it is defined.
    classes
        Each class with the codes of the collection's own scheme that mean it, in the benchmark's order.
    titles
        What classes mean, where their names do not say it.
    only_annotated
        Whether records that carry no code of any class are left out, as a benchmark does that selects the records of
        its task: every class is unknown there. Otherwise every class is absent.
    annotated_by
        Of single classes, the codes of which a record must carry one for the class to be known; without, it is unknown
        there and the other classes are as they are.
    """

    name: str
    title: str
    source: str
    classes: Mapping[str, frozenset[str]]
    only_annotated: bool = False
    titles: Mapping[str, str] = field(default_factory=dict)
    annotated_by: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `label`."""
        return tuple(self.classes)

    def label(self, codes: Iterable[Codes[str]]) -> NDArray[np.int8]:
        """Labels `(records, classes)` from each record's codes: `PRESENT`, `ABSENT` or `UNKNOWN`."""
        rows = []
        for own in codes:
            found = [not wanted.isdisjoint(own) for wanted in self.classes.values()]
            if self.only_annotated and not any(found):
                rows.append([UNKNOWN] * len(found))
                continue
            unsaid = {name for name, needed in self.annotated_by.items() if needed.isdisjoint(own)}
            rows.append(
                [
                    PRESENT if present else UNKNOWN if name in unsaid else ABSENT
                    for name, present in zip(self.classes, found, strict=True)
                ]
            )
        return np.array(rows, dtype=np.int8).reshape(len(rows), len(self.classes))
