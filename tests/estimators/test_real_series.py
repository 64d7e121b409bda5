"""Real sets that aeon carries: the classifiers learn them."""

import pytest
from aeon.datasets import load_basic_motions, load_gunpoint, load_japanese_vowels

from ecoscale import EcoScaleClassifier


@pytest.mark.parametrize(
    ("load", "least"), [(load_gunpoint, 0.9), (load_basic_motions, 0.9)], ids=["GunPoint", "BasicMotions"]
)
def test_a_set_is_learnt_from_its_training_part(load, least):
    X, y = load(split="train")
    fitted = EcoScaleClassifier(n_epochs=40, random_state=0, device="cpu").fit(X, y)
    assert fitted.score(*load(split="test")) >= least


def test_series_of_different_lengths_are_learnt():
    X, y = load_japanese_vowels(split="train")
    assert isinstance(X, list)
    fitted = EcoScaleClassifier(n_epochs=10, random_state=0, device="cpu").fit(X, y)
    assert fitted.score(*load_japanese_vowels(split="test")) >= 0.9
