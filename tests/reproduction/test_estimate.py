"""The estimate: measured speeds, and from them what the whole collection would take."""

import pytest

from ecoscale.reproduction import estimate


@pytest.fixture(scope="module")
def found(plan_in, tmp_path_factory):
    plan = plan_in(tmp_path_factory.mktemp("estimate"), models=["ecoscalenet"], seeds=5)
    return estimate(plan, seconds=0.3)


def test_the_parts_and_the_store_are_of_the_whole_collection(found):
    assert found.records == {"train": 242_045, "validation": 34_578, "test": 69_156}
    assert found.store == 345_779 * 12 * 800 * 2


def test_the_time_follows_from_the_measured_speeds(found):
    (network,) = found.networks
    assert 1 <= network.batch_size <= network.recipe_batch_size == 16
    assert network.trained > 0
    assert network.predicted > 0
    once = 2 * (242_045 / network.trained + 34_578 / network.predicted) + 69_156 / network.predicted
    assert network.seconds_a_seed == pytest.approx(once)
    assert found.seconds == pytest.approx(5 * once)
    assert network.flops_a_seed == 6 * network.macs * 242_045 * 2


def test_the_disk_and_the_memory_are_counted(found):
    (network,) = found.networks
    assert network.checkpoints == 16 * network.parameters
    assert found.checkpoints == 5 * network.checkpoints
    assert network.memory > 16 * network.parameters
    assert found.to_dict()["seconds"] == found.seconds
