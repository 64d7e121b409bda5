"""What a run is fed: the recipe's parts, whole, apart, and in an order that the seed and the epoch decide."""

from collections import Counter

import numpy as np
import pytest
import torch

from ecoscale.datasets import open_collection
from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.store import STEP
from ecoscale.datasets.synthetic_heart import GENERATED
from ecoscale.errors import RecipeError
from ecoscale.training.data import ECGData, EpochBatches


@pytest.fixture
def change(tiny_recipe):
    """The tiny recipe with some keys replaced."""
    return lambda **sections: type(tiny_recipe).model_validate(tiny_recipe.model_dump() | sections)


@pytest.fixture(scope="module")
def data(tiny_recipe, code15, stores):
    return ECGData(tiny_recipe, {"code15": code15}, stores)


def test_every_record_comes_once_an_epoch():
    for epoch in range(3):
        batches = EpochBatches(103, 16, seed=5)
        batches.set_epoch(epoch)
        seen = [position for batch in batches for position in batch]
        assert sorted(seen) == list(range(103))
        assert len(list(batches)) == len(batches) == 7


def test_no_batch_is_much_smaller_than_another():
    # A last batch of one record would have no variance for batch norm.
    assert {len(batch) for batch in EpochBatches(65, 16, seed=0)} == {13}


def test_the_order_depends_on_seed_and_epoch_and_not_on_what_was_drawn_before():
    def order(epoch, seed=5, before=()):
        batches = EpochBatches(50, 8, seed)
        for earlier in before:
            batches.set_epoch(earlier)
            list(batches)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(3) == order(3, before=(0, 1, 2))
    assert order(3) != order(2)
    assert order(3) != order(3, seed=6)


def test_without_a_seed_the_order_is_that_of_the_records():
    assert [position for batch in EpochBatches(10, 3, None) for position in batch] == list(range(10))


def test_the_parts_are_the_recipes_and_share_no_patient(data, code15):
    training, validation = data.training[0], data.validation[0]
    assert not set(training.patients) & set(validation.patients)
    readable = len(data.stores["code15"])
    assert len(training.rows) + len(validation.rows) == readable == 119  # one exam of the 120 is empty
    assert set(training.records) | set(validation.records) <= set(open_collection(code15).records.index)


def test_a_batch_holds_the_prepared_signals_in_millivolts_with_their_own_labels(data, code15, tiny_recipe):
    collection = open_collection(code15)
    labels = dict(zip(collection.records.index, collection.labels(tiny_recipe.findings), strict=True))
    signals, found = next(iter(data.val_dataloader()))
    assert signals.dtype == torch.float32
    assert signals.shape[1:] == (12, 800)
    for record, signal, label in zip(data.validation[0].records, signals, found, strict=False):
        assert label.tolist() == labels[record].tolist()
        conformed = tiny_recipe.preparation.conform(collection.read(record))
        if conformed.shape[1] <= 800:
            np.testing.assert_allclose(signal, tiny_recipe.preparation.pad(conformed), atol=0.51 * STEP)


def test_both_kinds_of_loader_serve_every_record(data):
    for loader, parts in ((data.train_dataloader(), data.training), (data.val_dataloader(), data.validation)):
        labels = torch.cat([labels for _, labels in loader]).numpy()
        expected = np.concatenate([part.labels for part in parts])
        assert Counter(map(tuple, labels.tolist())) == Counter(map(tuple, expected.tolist()))


def test_parts_of_a_collection_are_served_together(change, code15, stores):
    parts = [{"collection": "code15", "share": share} for share in ((0, 0.3), (0.3, 0.7))]
    recipe = change(data={"train": parts, "validation": [{"collection": "code15", "share": (0.7, 1)}]})
    split, whole = (ECGData(r, {"code15": code15}, stores) for r in (recipe, change()))
    assert split.statistics() == pytest.approx(whole.statistics(), rel=1e-9)
    assert sum(len(signals) for signals, _ in split.train_dataloader()) == len(whole.training[0].rows)


def test_the_scale_is_that_of_the_training_signals(data):
    signals = torch.cat([signals for signals, _ in data.train_dataloader()]).double()
    mean, scale = data.statistics()
    assert mean == pytest.approx(signals.mean().item(), abs=1e-6)
    assert scale == pytest.approx(signals.std().item(), rel=1e-4)


def test_auxiliary_labels_follow_the_findings_and_are_unknown_in_another_scheme(change, code15, stores):
    recipe = change(auxiliary={"scheme": "CODE", "codes": ("AF", "LBBB")})
    labels = ECGData(recipe, {"code15": code15}, stores).training[0].labels
    assert labels.shape[1] == 8
    assert (labels[:, 6] == labels[:, 5]).all()
    assert (labels[:, 7] == labels[:, 2]).all()
    foreign = recipe.model_copy(update={"auxiliary": recipe.auxiliary.model_copy(update={"scheme": "SCP"})})
    labels = ECGData(foreign, {"code15": code15}, stores).training[0].labels
    assert (labels[:, 6:] == -1).all()
    assert (labels[:, :6] >= 0).all()


def test_patients_in_training_and_validation_are_refused(change, code15, stores):
    parts = {
        "train": [{"collection": "code15", "share": (0, 0.8)}],
        "validation": [{"collection": "code15", "share": (0.7, 1)}],
    }
    with pytest.raises(RecipeError, match=r"data: \d+ patients are in training and validation, code15:\d+ among them"):
        ECGData(change(data=parts), {"code15": code15}, stores)


def test_a_part_without_records_is_named(change, code15, stores):
    parts = {
        "train": [{"collection": "code15", "folds": (3,)}],
        "validation": [{"collection": "code15", "share": (0.7, 1)}],
    }
    with pytest.raises(RecipeError, match=r"'folds': \(3,\).* selects no record"):
        ECGData(change(data=parts), {"code15": code15}, stores)


def test_a_collection_whose_folder_is_not_given_is_named_with_the_option(tiny_recipe, stores):
    with pytest.raises(RecipeError, match=r"recipe tiny reads code15; .* --data code15=DIRECTORY"):
        ECGData(tiny_recipe, {}, stores)


def test_validation_records_that_cannot_tell_epochs_apart_are_refused(tiny_recipe, tmp_path):
    write_code15(tmp_path / "healthy", 30, prevalence=dict.fromkeys(GENERATED, 0.0))
    with pytest.raises(RecipeError, match=r"data.validation: none of 1dAVb, .* has both positives and negatives"):
        ECGData(tiny_recipe, {"code15": tmp_path / "healthy"}, tmp_path / "stores")
