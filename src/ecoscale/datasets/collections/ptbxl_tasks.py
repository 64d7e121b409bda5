"""The six tasks of PTB-XL's published benchmark, from its 71 statements (`ptbxl_statements.csv`), and one of ours.

Strodthoff et al., Deep Learning for ECG Analysis: Benchmarks and Insights from PTB-XL, IEEE JBHI 25 (2021),
doi:10.1109/JBHI.2020.3022989; code at https://github.com/helme/ecg_ptbxl_benchmarking (`compute_label_aggregations` and
`select_data` in `code/utils/utils.py`), which sorts the classes of each task. `statements` is ours, for one network
that tells everything: `all` and behind it the superclasses.
The statements are those of PTB-XL's `scp_statements.csv` (CC BY 4.0) in its order.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ecoscale.datasets.tasks import Task
from ecoscale.findings import PTBXL_SUPERCLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE = "Strodthoff et al. 2021, https://doi.org/10.1109/JBHI.2020.3022989"


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement: which of the three kinds it is of, and the class and subclass of a diagnostic one."""

    name: str
    description: str
    diagnostic: bool
    form: bool
    rhythm: bool
    superclass: str
    subclass: str


@cache
def statements() -> tuple[Statement, ...]:
    """The 71 statements of PTB-XL."""
    table = files("ecoscale.datasets.collections").joinpath("ptbxl_statements.csv").read_text(encoding="utf-8")
    return tuple(
        Statement(
            row["statement"],
            row["description"],
            row["diagnostic"] == "1",
            row["form"] == "1",
            row["rhythm"] == "1",
            row["class"],
            row["subclass"],
        )
        for row in csv.DictReader(table.splitlines())
    )


def _task(name: str, title: str, members: Iterable[tuple[str, str]], *, only_annotated: bool = True) -> Task:
    """A task from pairs of a class and a statement that means it."""
    classes: dict[str, frozenset[str]] = {}
    for own, statement in sorted(members):
        classes[own] = classes.get(own, frozenset()) | {statement}
    meanings = {statement.name: statement.description for statement in statements()}
    titles = {own: meanings[own] for own, codes in classes.items() if codes == {own}}
    if name == "superdiagnostic":
        titles |= {finding.name: finding.title for finding in PTBXL_SUPERCLASSES}
    return Task(name, title, SOURCE, classes, only_annotated, titles)


BENCHMARK: tuple[Task, ...] = (
    _task("all", "the 71 statements", ((s.name, s.name) for s in statements()), only_annotated=False),
    _task("diagnostic", "the 44 diagnostic statements", ((s.name, s.name) for s in statements() if s.diagnostic)),
    _task("subdiagnostic", "their 23 subclasses", ((s.subclass, s.name) for s in statements() if s.diagnostic)),
    _task("superdiagnostic", "their 5 superclasses", ((s.superclass, s.name) for s in statements() if s.diagnostic)),
    _task("form", "the 19 statements of form", ((s.name, s.name) for s in statements() if s.form)),
    _task("rhythm", "the 12 statements of rhythm", ((s.name, s.name) for s in statements() if s.rhythm)),
)
"""Its experiments 0, 1, 1.1, 1.1.1, 2 and 3."""


def _statements() -> Task:
    everything, superclasses = BENCHMARK[0], BENCHMARK[3]
    # NORM is statement and superclass, of the same records; the other four superclasses are no statement's name.
    added = {name: codes for name, codes in superclasses.classes.items() if name not in everything.classes}
    diagnostic = frozenset(s.name for s in statements() if s.diagnostic)
    return Task(
        "statements",
        "the 71 statements, and the 4 superclasses that are not themselves a statement",
        "ecoscale; not a task of the published benchmark",
        {**everything.classes, **added},
        titles={**everything.titles, **{name: superclasses.titles[name] for name in added}},
        annotated_by=dict.fromkeys(added, diagnostic),
    )


STATEMENTS = _statements()
"""`all` with CD, HYP, MI and STTC, which are unknown for records without a diagnostic statement, since the benchmark
leaves those out; the statement NORM is absent there."""
