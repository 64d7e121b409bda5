"""The figures that the design states, and how they are counted."""

import pytest
import torch
from torch import nn

from ecoscale.complexity import (
    measure_activation_peak,
    measure_complexity,
    measure_training_peak,
    report_complexity,
)
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
    uncapped = cost("oscnn_uncapped")
    assert round(uncapped.parameters / 1e6, 1) == 14.9
    assert round(uncapped.macs / 1e9) == 61
    unbudgeted = cost("oscnn_unbudgeted")
    assert round(unbudgeted.parameters / 1e6) == 107
    assert round(unbudgeted.macs / 1e9) == 439


def test_radix_kernels_more_than_halve_the_macs():
    prime, radix = cost("ecoscalenet"), cost("ecoscalenet_radix")
    assert radix.macs < 0.45 * prime.macs
    assert radix.parameters < 0.66 * prime.parameters


def test_the_masked_form_stores_zeros_that_are_not_in_use():
    found = cost("oscnn", method="masked")
    assert (found.parameters, found.stored) == (246_549, 551_031)
    assert found.macs == cost("oscnn").macs
    assert cost("oscnn").stored == 246_549


def test_macs_are_those_of_convolutions_and_linear_layers_alone():
    network = nn.Sequential(
        nn.Conv1d(3, 5, 7, padding="same"), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(500, 2)
    )
    found = measure_complexity(network, 3, 100)
    assert found.macs == 3 * 5 * 7 * 100 + 500 * 2
    assert found.parameters == 3 * 5 * 7 + 5 + 2 * 5 + 500 * 2 + 2


def test_a_convolution_costs_the_same_however_it_is_computed():
    assert cost("oscnn", largest_kernel=31, method="fourier") == cost("oscnn", largest_kernel=31)


def test_the_peak_of_activations_is_what_must_be_held_at_once():
    # At the ReLU: the input, which its caller keeps, 4 channels before it and 4 after.
    network = nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Conv1d(4, 1, 1))
    assert measure_activation_peak(network, 2, 100) == 4 * 100 * (2 + 4 + 4)
    # A view is no memory of its own.
    assert measure_activation_peak(nn.Flatten(), 2, 100) == 4 * 100 * 2
    # What was let go does not count: eight layers hold no more than two at a time.
    deep = nn.Sequential(*(nn.Conv1d(2, 2, 1) for _ in range(8)))
    assert measure_activation_peak(deep, 2, 100) == 4 * 100 * (2 + 2 + 2)


def test_a_training_step_takes_the_weights_several_times_and_the_activations_of_its_batch():
    weights = 4 * 2 * 4
    one, ten = (measure_training_peak(nn.Conv1d(2, 4, 1, bias=False), 2, 100, size) for size in (1, 10))
    # The weights and Adam's two moments; the signals, the output and its sum.
    assert one == 3 * weights + 4 * 100 * (2 + 4) + 4
    assert ten - one == 9 * 4 * 100 * (2 + 4)
    # Where weights outweigh signals, their gradient is what comes on top.
    wide = nn.Conv1d(200, 1000, 1, bias=False)
    assert 4 * 4 * 200_000 <= measure_training_peak(wide, 200, 2, 1) < 4.1 * 4 * 200_000
    # What each layer read is kept until it is gone back through.
    deep = nn.Sequential(*(nn.Sequential(nn.Conv1d(2, 2, 1), nn.ReLU()) for _ in range(8)))
    assert measure_training_peak(deep, 2, 100, 1) > 8 * 4 * 100 * 2
    assert all(p.grad is None for p in deep.parameters())


def test_a_report_says_all_of_a_network():
    with torch.device("meta"):
        report = report_complexity("oscnn", create_model("oscnn", 12, 6, method="masked"), 12, 4096)
    assert (report.model, report.parameters, report.stored) == ("oscnn", 246_549, 551_031)
    assert (report.receptive_field, report.unbroken, report.step) == (178, (1, 162), 1)
    assert report.size_fp32 == 4 * 246_549
    convolutions = 12 * 964 + 9 * 25 * 964 + 225 * 25 * 3 + 50 * 6  # one channel, nine, 25 for each of {1, 2}; linear
    assert report.size_int8 == 4 * 246_549 - 3 * convolutions
    assert report.activation_peak > 4 * 4096 * 225
    assert report.milliseconds is None
    assert report.to_dict()["unbroken"] == (1, 162)


def test_reductions_are_told_in_per_cent():
    reports = {}
    for name in ("ecoscalenet", "oscnn_unbudgeted"):
        with torch.device("meta"):
            reports[name] = report_complexity(name, create_model(name, 12, 6), 12, 4096)
    saved = reports["ecoscalenet"].saved_against(reports["oscnn_unbudgeted"])
    assert saved == {"parameters": pytest.approx(90.2, abs=0.05), "macs": pytest.approx(99.6, abs=0.05)}


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_the_network_as_it_was(training):
    network = create_model("oscnn", 2, 1, largest_kernel=5, method="fourier").train(training)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure_complexity(network, 2, 50)
    assert network.training is training
    assert network.layers[0][0].method == "fourier"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
