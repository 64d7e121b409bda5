"""What every function of this room expects of the arrays it is handed, checked once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BeforeValidator

from ecoscale.errors import EcoscaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

SUM_TOLERANCE = 1e-3
"""By how much probabilities of classes that exclude each other may miss the sum of one, for they may be rounded."""

Number = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]
"""A float that may be NaN; JSON has no NaN and holds null in its place."""


class EvaluationError(EcoscaleError):
    """Labels, probabilities, thresholds or patients do not fit together."""


def checked_labels(labels: ArrayLike) -> NDArray[np.int8]:
    """`labels` as int8 `(records, classes)`, refused unless each is 1, 0 or -1."""
    array = np.asarray(labels)
    if array.ndim != 2 or 0 in array.shape:
        raise EvaluationError(f"labels have shape {array.shape}; expected a non-empty (records, classes)")
    wrong = array[~np.isin(array, (-1, 0, 1))]
    if wrong.size:
        raise EvaluationError(
            f"labels hold {wrong.size} values such as {wrong[0]!r}; expected 1 (present), 0 (absent) or -1 (unknown)"
        )
    return array.astype(np.int8)


def checked_scores(scores: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """`scores` as float64, refused unless finite and of the labels' shape."""
    array = np.asarray(scores, dtype=np.float64)
    if array.shape != shape:
        raise EvaluationError(f"{what} have shape {array.shape}, the labels {shape}; they must be the same")
    not_finite = int((~np.isfinite(array)).sum())
    if not_finite:
        raise EvaluationError(f"{not_finite} of {array.size} {what} are NaN or infinite; expected numbers")
    return array


def checked(
    labels: ArrayLike, probabilities: ArrayLike, *, single_label: bool = False
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Labels and probabilities of one shape `(records, classes)`, the probabilities within [0, 1].

    Of classes that exclude each other (`single_label`), each row must have one class and probabilities that sum to one.
    """
    known = checked_labels(labels)
    array = checked_scores(probabilities, known.shape, "probabilities")
    if array.min() < 0 or array.max() > 1:
        raise EvaluationError(
            f"probabilities range from {array.min():.4g} to {array.max():.4g}; expected [0, 1]: are they logits?"
        )
    if single_label:
        refuse_several_classes(known)
        sums = array.sum(axis=1)
        if np.abs(sums - 1).max() > SUM_TOLERANCE:
            raise EvaluationError(
                f"probabilities of a record sum to {sums.min():.4g} to {sums.max():.4g}; expected 1, for classes that "
                "exclude each other: are they of separate findings? Then give thresholds"
            )
    return known, array


def refuse_several_classes(labels: NDArray[np.int8]) -> None:
    """Raise `EvaluationError` unless each row has one class present and no other unknown, or is unknown throughout."""
    fits = ((labels == 1).sum(axis=1) == 1) & (labels >= 0).all(axis=1) | (labels == -1).all(axis=1)
    if not fits.all():
        first = int(np.flatnonzero(~fits)[0])
        raise EvaluationError(
            f"labels of {int((~fits).sum())} records, such as {labels[first].tolist()} in row {first}, are not of one "
            "class; classes that exclude each other have one 1 in each row and 0 otherwise, or -1 throughout"
        )


def checked_thresholds(thresholds: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """`thresholds` as float64 `(classes,)`; one number stands for every class."""
    array = np.asarray(thresholds, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(n_classes, float(array))
    if array.shape != (n_classes,) or not np.isfinite(array).all():
        raise EvaluationError(f"thresholds are {array}; expected {n_classes} finite numbers, one a class")
    return array


def decisions(scores: NDArray[np.float64], thresholds: ArrayLike | None) -> NDArray[np.bool_]:
    """Which classes `(records, classes)` count as present; without thresholds the most probable one of each record."""
    if thresholds is None:
        return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    return scores >= checked_thresholds(thresholds, scores.shape[1])


def checked_names(names: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    """One name a class; their position where none are given."""
    found = tuple(f"class {position}" for position in range(n_classes)) if names is None else tuple(names)
    if len(found) != n_classes or len(set(found)) != n_classes:
        raise EvaluationError(f"names are {found}; expected {n_classes} different ones, one a class")
    return found


def patient_index(patients: ArrayLike | None, n_records: int) -> tuple[NDArray[np.intp], int]:
    """For each record the position of its patient, and the number of patients; without ids, a patient a record."""
    if patients is None:
        return np.arange(n_records), n_records
    ids = np.asarray(patients)
    if ids.shape != (n_records,):
        raise EvaluationError(f"patients have shape {ids.shape}; expected ({n_records},), one id a record")
    missing = sum(identity is None or identity != identity for identity in ids.tolist())
    if missing:
        raise EvaluationError(
            f"{missing} of {n_records} patient ids are missing; give each such record an id of its own, "
            "or no ids at all if none is known"
        )
    distinct, index = np.unique(ids, return_inverse=True)
    return index, distinct.size


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    number = defined.sum(axis=-1)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)
