"""The engines of one network say the same, and stand in one table with their floor."""

import pytest
import torch

from ecoscale.models import create_model
from networks import EAGER, Subject, measure, synthetic


@pytest.fixture(scope="module")
def measured(tiny_bundle):
    torch.manual_seed(0)
    signals = synthetic(tiny_bundle.manifest.preparation)
    subject = Subject("tiny", create_model("ecoscalenet_nano", 12, 6), signals)
    return measure(subject, [1], {1: 50.0}, rounds=1, seconds=0.0, compiled=False)


def test_every_engine_has_a_row_for_one_window_and_for_a_batch(measured):
    rows, _ = measured
    names = [row["name"] for row in rows if row["batch"] == 1]
    assert names[0] == EAGER
    assert {"ONNX Runtime, ecoscale's export", "ONNX Runtime, int8", "OpenVINO, bf16"} <= set(names)
    assert [row["name"] for row in rows if row["batch"] == 32] == names
    assert all(row["ratio"] == 1 for row in rows if row["name"] == EAGER)


def test_the_floor_is_the_arithmetic_of_the_batch(measured):
    rows, _ = measured
    single, many = (next(row for row in rows if row["batch"] == batch) for batch in (1, 32))
    assert many["floor_ms"] == pytest.approx(32 * single["floor_ms"], rel=1e-3)
    assert single["of_floor"] == pytest.approx(single["floor_ms"] / single["median_ms"], rel=0.01)


def test_every_engine_says_nearly_what_eager_pytorch_says(measured):
    rows, differences = measured
    assert set(differences) == {row["name"] for row in rows}
    assert differences[EAGER] == 0
    assert 0 < differences["ONNX Runtime, int8"] < 0.5
    assert differences["ONNX Runtime, ecoscale's export"] < 1e-4
