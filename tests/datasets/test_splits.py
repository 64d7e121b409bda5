"""Splits by patient: a hash of the id, so that neither the order of the rows nor the rest of the table matters."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.datasets import in_part, in_share, patient_position
from ecoscale.datasets.splits import read_split, shared_patients, stratified_split, write_split
from ecoscale.errors import DatasetError

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


SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def collection(n_patients=2000, seed=0):
    """A table in which a third of the records are repeats, and labels of which one is rare."""
    random = np.random.default_rng(seed)
    patients = np.concatenate([np.arange(n_patients), random.integers(n_patients, size=n_patients // 2)])
    records = pd.DataFrame(
        {"patient": patients.astype(str), "fold": 0}, index=[f"r{row}" for row in range(len(patients))]
    )
    return records, (random.uniform(size=(len(patients), 3)) < [0.5, 0.1, 0.02]).astype(np.int8)


class TestStratifiedSplit:
    def test_patients_stay_whole_and_every_record_has_a_part(self):
        records, labels = collection()
        parts = stratified_split(records, labels, SHARES)
        assert list(parts) == records.index.tolist()
        assert shared_patients(records, parts) == {}

    def test_records_and_each_label_are_shared_as_asked(self):
        records, labels = collection()
        parts = np.array(list(stratified_split(records, labels, SHARES).values()))
        for name, share in SHARES.items():
            assert (parts == name).mean() == pytest.approx(share, abs=0.002)
            assert labels[parts == name].sum(axis=0) == pytest.approx(share * labels.sum(axis=0), abs=2.5)

    def test_a_share_of_patients_by_hash_is_ten_times_as_uneven_in_the_rare_label(self):
        """What stratification is for."""
        records, labels = collection()
        rare = labels[in_share(records["patient"], 0.7, 0.8), 2].sum()
        parts = np.array(list(stratified_split(records, labels, SHARES).values()))
        expected = 0.1 * labels[:, 2].sum()
        assert abs(labels[parts == "validation", 2].sum() - expected) < 1
        assert abs(rare - expected) > 1

    def test_the_same_seed_gives_the_same_split_in_any_order_of_rows(self):
        records, labels = collection(300)
        order = np.random.default_rng(1).permutation(len(records))
        first = stratified_split(records, labels, SHARES, seed=4)
        assert stratified_split(records.iloc[order], labels[order], SHARES, seed=4) == first
        assert stratified_split(records, labels, SHARES, seed=5) != first

    def test_an_unknown_label_counts_as_none(self):
        records, labels = collection(300)
        unknown = np.where(labels == 0, np.int8(-1), labels)
        assert stratified_split(records, unknown, SHARES) == stratified_split(records, labels, SHARES)

    def test_without_any_label_the_records_are_shared(self):
        records, labels = collection(1000)
        parts = list(stratified_split(records, labels[:, :0], {"a": 0.5, "b": 0.5}).values())
        assert parts.count("a") == pytest.approx(750, abs=2)

    @settings(deadline=None, max_examples=30)
    @given(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1), st.integers(0, 1)), min_size=40), st.integers(0, 9)
    )
    def test_whatever_the_table_every_patient_is_in_one_part(self, rows, seed):
        patients, *labels = zip(*rows, strict=True)
        records = pd.DataFrame({"patient": [str(p) for p in patients], "fold": 0}, index=map(str, range(len(rows))))
        if records["patient"].nunique() >= 2:
            parts = stratified_split(records, np.array(labels, np.int8).T, {"a": 0.5, "b": 0.5}, seed)
            assert len(parts) == len(records)
            assert shared_patients(records, parts) == {}

    @pytest.mark.parametrize("shares", [{"a": 0.5}, {"a": 0.5, "b": 0.6}, {"a": 1.5, "b": -0.5}])
    def test_shares_that_are_no_whole_are_refused(self, shares):
        with pytest.raises(DatasetError, match=r"the shares are a=.*; expected positive numbers"):
            stratified_split(*collection(10), shares)

    def test_fewer_patients_than_parts_are_refused(self):
        with pytest.raises(DatasetError, match="2 patients cannot be split into 3 parts"):
            stratified_split(*collection(2), SHARES)


class TestStoredSplit:
    @pytest.fixture
    def stored(self, tmp_path):
        records, labels = collection(40)
        path = tmp_path / "splits" / "mine.csv"
        write_split(path, records, stratified_split(records, labels, SHARES), "made by hand, seed 0")
        return path

    def test_it_is_read_as_it_was_written(self, stored):
        records, labels = collection(40)
        assert read_split(stored) == stratified_split(records, labels, SHARES)
        assert stored.read_text().splitlines()[:2] == ["# made by hand, seed 0", "record,patient,part"]

    def test_it_chooses_the_rows_of_its_part(self, stored):
        records, _ = collection(40)
        chosen = [in_part(records, split=(stored, part)) for part in SHARES]
        assert np.sum(chosen, axis=0).tolist() == [1] * len(records)
        parts = read_split(stored)
        assert {parts[record] for record in records.index[chosen[0]]} == {"train"}

    def test_records_that_it_does_not_know_are_in_no_part(self, stored):
        records, _ = collection(40)
        more = pd.concat([records, pd.DataFrame({"patient": ["x"], "fold": [0]}, index=["new"])])
        assert not any(in_part(more, split=(stored, part))[-1] for part in SHARES)

    def test_a_part_that_is_not_there_is_refused_naming_those_that_are(self, stored):
        with pytest.raises(DatasetError, match="no part 'dev'; there are test, train, validation"):
            in_part(collection(40)[0], split=(stored, "dev"))

    def test_the_split_of_another_collection_is_refused(self, stored):
        others = collection(40)[0].rename(index=lambda record: f"x{record}")
        with pytest.raises(DatasetError, match="knows none of the 60 records; is it of this collection"):
            in_part(others, split=(stored, "train"))

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "column record, patient, part is missing"),
            ("record,part\n1,a\n", "column patient is missing"),
            ("record,patient,part\n1,1,a\n1,1,b\n", "record 1 stands there twice"),
            ("record,patient,part\n1,1,\n", "record 1 has no part"),
        ],
    )
    def test_what_is_no_split_is_refused_saying_why(self, tmp_path, text, complaint):
        path = tmp_path / "split.csv"
        path.write_text(text)
        with pytest.raises(DatasetError, match=complaint):
            read_split(path)

    def test_a_split_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(DatasetError, match="cannot be read as a split"):
            read_split(tmp_path / "nothing.csv")
