"""What is EcoScale-Net's own: its stages, its minimum length, its options."""

import pytest
import torch

from ecoscale.errors import ModelError
from ecoscale.models import create_model
from ecoscale.models.ecoscalenet import EcoScaleBlock, ResidualBlock


def small(**options):
    torch.manual_seed(0)
    return create_model("ecoscalenet", 12, 6, width=8, kernel_sizes=[[1, 2, 3]] * 4, **options)


def test_fewer_samples_than_the_minimum_are_refused_with_both_numbers():
    with pytest.raises(ModelError, match=r"63 samples are too few .* at least 64"):
        small().eval()(torch.zeros(1, 12, 63))


@pytest.mark.parametrize(("samples", "steps"), [(64, 1), (65, 2), (1000, 16), (4096, 64), (4097, 65)])
def test_each_stage_halves_the_length_rounding_up(samples, steps):
    with torch.inference_mode():
        assert small().eval().forward_features(torch.zeros(1, 12, samples)).shape == (1, 64, steps)


def test_the_variant_for_100_hz_takes_the_kernels_of_the_cap_rule():
    kernels = [block.layers[0].omni.kernel_sizes for block in blocks(create_model("ecoscalenet_100hz", 12, 6, width=8))]
    assert kernels == [(1, 2, 3, 5, 7), (1, 2, 3), (1, 2), (1,)]


def blocks(network, kind=EcoScaleBlock):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_a_residual_branch_that_starts_at_zero_leaves_the_shortcut_alone():
    network = small(zero_init_residual=True, identity_shortcut=True).eval()
    x = torch.rand(2, 8, 50)
    with torch.inference_mode():
        torch.testing.assert_close(blocks(network)[0](x), x, rtol=0, atol=0)
        plain = blocks(network, ResidualBlock)[1]
        torch.testing.assert_close(plain(x), x, rtol=0, atol=0)
    before = blocks(small(), ResidualBlock)[1].eval()
    with torch.inference_mode():
        assert not torch.allclose(before(x), x, atol=1e-2)


def test_starting_at_zero_changes_the_weights_and_no_shape():
    shapes = [{k: v.shape for k, v in small(zero_init_residual=z).state_dict().items()} for z in (False, True)]
    assert shapes[0] == shapes[1]


def test_an_identity_shortcut_has_no_parameters_and_a_projecting_one_has():
    for identity, expected in ((True, 0), (False, 3)):
        for block in blocks(small(identity_shortcut=identity)):
            assert len(list(block.shortcut.parameters())) == expected


def test_dropout_acts_in_training_only():
    network, x = small(dropout=0.5), torch.randn(2, 12, 100)
    network.eval()
    torch.testing.assert_close(network(x), network(x), rtol=0, atol=0)
    network.train()
    assert not torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": [[1, 2]] * 3}, "kernel_sizes has 3 lists; EcoScale-Net has 4 stages"),
        ({"kernel_sizes": [[1, 2], [0], [1], [1]]}, r"kernel sizes \[0\]"),
        ({"kernel_sizes": [[1, [2]], [], [1], [1]]}, "expected lengths, or a list of lengths for each layer"),
        ({"width": 7}, "width 7: expected an even number"),
        ({"width": 2}, "width 2: expected an even number of at least 4"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_reason(options, message):
    with pytest.raises(ModelError, match=message):
        create_model("ecoscalenet", 12, 6, **options)


def test_the_smallest_network_runs():
    with torch.inference_mode():
        assert create_model("ecoscalenet", 1, 1, width=4, kernel_sizes=[[1]] * 4).eval()(torch.zeros(1, 1, 64)).shape
