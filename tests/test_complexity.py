"""The figures that the design states, and how they are counted."""

import pytest
import torch
from torch import nn

from ecoscale.complexity import measure_complexity
from ecoscale.models import create_model


def cost(name, **config):
    """At 12 leads and 4096 samples; the meta device counts without computing."""
    with torch.device("meta"):
        network = create_model(name, 12, 6, **config)
    return measure_complexity(network, 12, 4096)


def test_ecoscalenet_costs_what_the_design_states():
    found = cost("ecoscalenet")
    assert round(found.parameters / 1e6, 2) == 10.52
    assert round(found.macs / 1e9, 2) == 1.70


def test_oscnn_costs_what_the_design_states_in_each_of_its_readings():
    budgeted = cost("oscnn")
    assert round(budgeted.parameters / 1e6, 2) == 0.25
    assert round(budgeted.macs / 1e9, 1) == 1.0
    uncapped = cost("oscnn", largest_kernel=4096 // 4, minimum_channels=1)
    assert round(uncapped.parameters / 1e6, 1) == 14.9
    assert round(uncapped.macs / 1e9) == 61
    unbudgeted = cost("oscnn_unbudgeted")
    assert round(unbudgeted.parameters / 1e6) == 107
    assert round(unbudgeted.macs / 1e9) == 439


def test_macs_are_those_of_convolutions_and_linear_layers_alone():
    network = nn.Sequential(
        nn.Conv1d(3, 5, 7, padding="same"), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(500, 2)
    )
    found = measure_complexity(network, 3, 100)
    assert found.macs == 3 * 5 * 7 * 100 + 500 * 2
    assert found.parameters == 3 * 5 * 7 + 5 + 2 * 5 + 500 * 2 + 2


def test_a_convolution_costs_the_same_however_it_is_computed():
    assert cost("oscnn", largest_kernel=31, method="fourier") == cost("oscnn", largest_kernel=31)


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_the_network_as_it_was(training):
    network = create_model("oscnn", 2, 1, largest_kernel=5, method="fourier").train(training)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure_complexity(network, 2, 50)
    assert network.training is training
    assert network.layers[0][0].method == "fourier"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
