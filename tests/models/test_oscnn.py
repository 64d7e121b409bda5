"""What is OS-CNN's own: its budget, and the three readings of it."""

import pytest
import torch

from ecoscale.errors import ModelError
from ecoscale.models import create_model
from ecoscale.models.omniscale import compute_directly


def channels(network):
    return [block[0].channels for block in network.layers]


def test_the_budget_decides_the_channels_for_each_kernel():
    with torch.device("meta"):
        # int(1024 * 12 / (12 * 964)) and int(229376 / (25 * 964)), then all of the first layer for each of {1, 2}.
        assert channels(create_model("oscnn", 12, 6)) == [1, 9, 25]


def test_the_first_layers_channels_do_not_depend_on_the_leads():
    with torch.device("meta"):
        assert {channels(create_model("oscnn", leads, 6))[0] for leads in (1, 2, 3, 8, 12)} == {1}


def test_a_budget_that_leaves_no_channel_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"largest_kernel 1024: the budget .* minimum_channels=1"):
        create_model("oscnn", 12, 6, largest_kernel=1024)


def test_channels_given_override_the_budget():
    with torch.device("meta"):
        assert channels(create_model("oscnn", 12, 6, channels=5, largest_kernel=7)) == [5, 5, 25]
        assert channels(create_model("oscnn_unbudgeted", 12, 6))[:2] == [64, 64]


def test_width_is_a_factor_on_the_budgets_or_on_the_channels():
    with torch.device("meta"):
        assert channels(create_model("oscnn", 12, 6, width=2)) == [2, 9, 50]  # 2 * 229376 / (50 * 964)
        assert channels(create_model("oscnn_unbudgeted", 12, 6, width=0.5))[:2] == [32, 32]
    with pytest.raises(ModelError, match="width 0: expected a factor above 0"):
        create_model("oscnn", 12, 6, width=0)


def test_no_channels_are_refused():
    with pytest.raises(ModelError, match="channels 0: expected at least 1"):
        create_model("oscnn", 12, 6, channels=0)


def test_the_length_is_never_reduced():
    with torch.inference_mode():
        features = create_model("oscnn", 3, 2, largest_kernel=7).eval().forward_features(torch.zeros(1, 3, 77))
    assert features.shape[-1] == 77


def test_without_the_cap_every_kernel_up_to_a_quarter_of_the_length_has_a_channel():
    with torch.device("meta"):
        network = create_model("oscnn_uncapped", 12, 6)
    kernels = network.layers[0][0].kernel_sizes
    assert (kernels[0], kernels[-1], len(kernels)) == (1, 1021, 173)
    assert channels(network) == [1, 1, 173]


def test_the_residual_form_is_three_stacks_each_around_a_shortcut():
    network = create_model("oscnn_residual", 3, 2, largest_kernel=5).eval()
    assert len(network.layers) == 3
    first = network.layers[0]
    assert [len(layer) for layer in first.stack] == [3, 3, 2]  # the last is activated after the sum
    x = torch.randn(1, 3, 50)
    with torch.inference_mode():
        expected = torch.relu(first.stack(x) + first.shortcut(x))
        torch.testing.assert_close(first(x), expected)
        assert (first.stack(x) < 0).any()


def test_the_authors_dense_form_gives_the_same_logits_as_branches():
    torch.manual_seed(0)
    masked = create_model("oscnn", 12, 6, largest_kernel=31, method="masked").eval()
    x = torch.randn(2, 12, 300)
    with torch.inference_mode():
        expected = masked(x)
        torch.testing.assert_close(compute_directly(masked)(x), expected, rtol=1e-4, atol=1e-5)


def test_spectra_change_how_it_is_computed_and_not_what():
    torch.manual_seed(0)
    direct = create_model("oscnn", 12, 6, largest_kernel=31).eval()
    fourier = create_model("oscnn", 12, 6, largest_kernel=31, method="fourier").eval()
    fourier.load_state_dict(direct.state_dict(), strict=True)
    x = torch.randn(2, 12, 300)
    with torch.inference_mode():
        torch.testing.assert_close(fourier(x), direct(x), rtol=1e-4, atol=1e-5)
