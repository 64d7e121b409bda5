"""What is OS-CNN's own: its budget, and the three readings of it."""

import pytest
import torch

from ecoscale.errors import ModelError
from ecoscale.models import create_model


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


def test_no_channels_are_refused():
    with pytest.raises(ModelError, match="channels 0: expected at least 1"):
        create_model("oscnn", 12, 6, channels=0)


def test_the_length_is_never_reduced():
    with torch.inference_mode():
        features = create_model("oscnn", 3, 2, largest_kernel=7).eval().forward_features(torch.zeros(1, 3, 77))
    assert features.shape[-1] == 77


def test_spectra_change_how_it_is_computed_and_not_what():
    torch.manual_seed(0)
    direct = create_model("oscnn", 12, 6, largest_kernel=31).eval()
    fourier = create_model("oscnn", 12, 6, largest_kernel=31, method="fourier").eval()
    fourier.load_state_dict(direct.state_dict(), strict=True)
    x = torch.randn(2, 12, 300)
    with torch.inference_mode():
        torch.testing.assert_close(fourier(x), direct(x), rtol=1e-4, atol=1e-5)
