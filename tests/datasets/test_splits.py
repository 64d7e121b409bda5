"""Splits by patient: a hash of the id, so that neither the order of the rows nor the rest of the table matters."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.datasets import in_part, in_share, patient_position

PATIENTS = [str(number) for number in range(5000)]


@pytest.mark.parametrize(
    ("patient", "seed", "position"),
    [("1", 0, 0.933888385559881), ("JS00001", 0, 0.639041124627071), ("JS00001", 1, 0.47677268812515217)],
)
def test_a_patient_is_where_it_always_was(patient, seed, position):
    """Written down once: another position would mix test patients into training from one version to the next."""
    assert patient_position(patient, seed) == pytest.approx(position, abs=1e-15)


@settings(deadline=None)
@given(st.text(), st.integers())
def test_a_position_lies_in_the_unit_interval(patient, seed):
    assert 0 <= patient_position(patient, seed) < 1


@settings(deadline=None, max_examples=20)
@given(st.permutations(PATIENTS[:200]))
def test_neither_order_nor_company_moves_a_patient(patients):
    chosen = dict(zip(PATIENTS, in_share(PATIENTS, 0.2, 0.7), strict=True))
    assert in_share(patients, 0.2, 0.7).tolist() == [chosen[patient] for patient in patients]
    assert in_share(patients[:7], 0.2, 0.7).tolist() == [chosen[patient] for patient in patients[:7]]


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 1), st.integers(0, 3))
def test_shares_that_meet_part_the_patients_without_gap_or_overlap(border, seed):
    low, high = in_share(PATIENTS[:500], 0, border, seed), in_share(PATIENTS[:500], border, 1, seed)
    np.testing.assert_array_equal(low, ~high)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.8])
def test_a_share_is_about_as_large_as_it_says(share):
    # Five standard deviations of a binomial with 5,000 draws.
    spread = 5 * np.sqrt(share * (1 - share) / len(PATIENTS))
    assert in_share(PATIENTS, 0, share).mean() == pytest.approx(share, abs=spread)


def test_another_seed_splits_independently():
    first, second = in_share(PATIENTS, 0, 0.5, seed=0), in_share(PATIENTS, 0, 0.5, seed=1)
    assert (first & second).mean() == pytest.approx(0.25, abs=0.04)


def test_the_records_of_a_patient_never_part():
    patients = np.random.default_rng(0).choice(PATIENTS[:300], size=2000)
    for seed in range(5):
        chosen = in_share(patients, 0, 0.8, seed)
        assert not set(patients[chosen]) & set(patients[~chosen])


def test_no_patient_is_an_empty_choice():
    chosen = in_share([], 0, 1)
    assert (chosen.dtype, chosen.shape) == (bool, (0,))


def test_a_part_is_of_these_folds_and_of_this_share():
    records = pd.DataFrame({"patient": PATIENTS[:400], "fold": np.arange(400) % 4})
    share = in_share(records["patient"], 0, 0.5)
    assert in_part(records).all()
    np.testing.assert_array_equal(in_part(records, folds=[1, 3]), records["fold"] % 2 == 1)
    np.testing.assert_array_equal(in_part(records, share=(0, 0.5)), share)
    np.testing.assert_array_equal(in_part(records, folds=[1, 3], share=(0, 0.5)), share & (records["fold"] % 2 == 1))
