"""Which finding is taken for which, where a record may have several, and where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.evaluation._arrays import Number, checked, checked_names, decisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

NONE = "none"


@dataclass(frozen=True)
class Confusion:
    """A row for each true finding and for the records with none; a column for each predicted one and for none.

    A record with two findings stands in two rows, and one with two predictions in two columns: rows do not add up. Of
    classes that exclude each other there is no row or column of none, and each record stands in one row and one column.

    - `counts[row][column]`: records with the row's finding for which the column's was predicted.
    - `wrong[row][column]`: those of them that do not have the column's finding: the mistakes. In the column of none:
      those of the row in which nothing was predicted, so that its finding was missed.
    - `records[row][column]`: records with the row's finding whose label for the column's is known.
    - `shares` and `wrong_shares`: the first two divided by `records`; NaN where there are none.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    wrong: tuple[tuple[int, ...], ...]
    records: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[Number, ...], ...]
    wrong_shares: tuple[tuple[Number, ...], ...]


def confusion_table(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None, names: Sequence[str] | None = None
) -> Confusion:
    """Count which findings are predicted on records with each finding, and on those with none.

    Parameters
    ----------
    labels
        `(records, classes)`, 1 present, 0 absent, -1 unknown. A prediction whose label is unknown is not looked at;
        a record counts as having none if every label is known to be absent.
    probabilities
        `(records, classes)`, in [0, 1].
    thresholds
        `(classes,)`, or one for all; None: the classes exclude each other, and the most probable one is predicted.
    names
        The classes' names.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together.
    """
    truth, scores = checked(labels, probabilities, single_label=thresholds is None)
    n_classes = truth.shape[1]
    known = truth >= 0
    called = decisions(scores, thresholds) & known
    everyone = np.ones(truth.shape[0], dtype=bool)
    rows = np.column_stack([truth == 1, (truth == 0).all(axis=1)]).astype(np.int64)
    columns = np.column_stack([called, ~called.any(axis=1)])
    # In the column of none, whoever has a finding is a mistake.
    mistakes = columns & np.column_stack([truth == 0, (truth == 1).any(axis=1)])
    counts, wrong, records = (
        rows.T @ table.astype(np.int64) for table in (columns, mistakes, np.column_stack([known, everyone]))
    )
    names = (*checked_names(names, n_classes), NONE)
    if thresholds is None:
        names = names[:-1]
        counts, wrong, records = (table[:-1, :-1] for table in (counts, wrong, records))
    some = records > 0
    shares = np.divide(counts, records, out=np.full(counts.shape, np.nan), where=some)
    wrong_shares = np.divide(wrong, records, out=np.full(counts.shape, np.nan), where=some)
    return Confusion(
        names,
        *(tuple(map(tuple, table.tolist())) for table in (counts, wrong, records, shares, wrong_shares)),
    )
