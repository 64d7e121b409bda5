"""What is EcoScale-Net's own: its stages, its minimum length, its options."""

import pytest
import torch

from ecoscale.complexity import measure_complexity
from ecoscale.errors import ModelError
from ecoscale.models import create_model
from ecoscale.models.ecoscalenet import EcoScaleBlock, ResidualBlock, SqueezeExcitation, StochasticDepth


def small(**options):
    torch.manual_seed(0)
    return create_model("ecoscalenet", 12, 6, width=8, kernel_sizes=[[1, 2, 3]] * 4, **options)


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (63, 1), (64, 1), (65, 2), (1000, 16), (4096, 64), (4097, 65)])
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


def test_a_block_that_starts_at_zero_is_the_identity_with_activation_first_too():
    network = small(zero_init_residual=True, identity_shortcut=True, pre_activation=True).eval()
    x = torch.randn(2, 8, 50)  # of either sign: nothing follows the sum
    with torch.inference_mode():
        torch.testing.assert_close(blocks(network)[0](x), x, rtol=0, atol=0)


def test_starting_at_zero_changes_the_weights_and_no_shape():
    shapes = [{k: v.shape for k, v in small(zero_init_residual=z).state_dict().items()} for z in (False, True)]
    assert shapes[0] == shapes[1]


def test_an_identity_shortcut_has_no_parameters_and_a_projecting_one_has():
    for identity, expected in ((True, 0), (False, 3)):
        for block in blocks(small(identity_shortcut=identity)):
            assert len(list(block.shortcut.parameters())) == expected


def test_an_empty_list_is_a_stage_without_a_block():
    network = create_model("ecoscalenet", 12, 6, width=8, kernel_sizes=[[1, 2], [], [[1, 2], [1, 3]], []])
    assert [len(blocks(stage)) for stage in network.stages] == [1, 0, 1, 0]
    assert blocks(create_model("ecoscalenet_backbone", 12, 6, width=8)) == []


def test_kernels_may_be_given_for_each_layer():
    network = create_model("ecoscalenet", 12, 6, width=8, kernel_sizes=[[[1, 2], [1, 3]], [1, 2], [[4]], []])
    kernels = [[layer.omni.kernel_sizes for layer in block.layers] for block in blocks(network)]
    assert kernels == [[(1, 2), (1, 3)], [(1, 2), (1, 2), (1, 2)], [(4,)]]
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 12, 100)).shape == (1, 6)


def test_the_number_of_residual_blocks_before_a_block_can_be_chosen():
    for count in (1, 2, 3):
        network = create_model("ecoscalenet", 12, 6, width=8, kernel_sizes=[[1]] * 4, residual_blocks=count)
        assert [len(blocks(stage, ResidualBlock)) for stage in network.stages] == [count] * 4
    assert [len(blocks(stage, ResidualBlock)) for stage in small().stages] == [2] * 4


def test_squeeze_and_excitation_scales_channels_by_their_averages():
    torch.manual_seed(0)
    scale = SqueezeExcitation(16)
    x = torch.randn(3, 16, 40)
    with torch.inference_mode():
        factors = scale(x) / x
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    assert ((factors > 0) & (factors < 1)).all()
    shuffled = x[..., torch.randperm(40)]
    with torch.inference_mode():
        torch.testing.assert_close(scale(shuffled)[..., 0] / shuffled[..., 0], factors[..., 0], rtol=1e-4, atol=1e-5)


def test_normalised_bottlenecks_have_a_batch_norm_more_for_each_layer():
    def norms(network):
        return sum(isinstance(module, torch.nn.BatchNorm1d) for module in network.modules())

    assert norms(small(norm_bottlenecks=True)) - norms(small()) == 4 * 3


@pytest.mark.parametrize("size", ["nano", "tiny", "small", "base"])
def test_a_lean_network_costs_less_than_the_backbone_of_the_same_width(size):
    with torch.device("meta"):
        lean = create_model(f"ecoscalenet_lean_{size}", 12, 6)
        backbone = create_model("ecoscalenet_backbone", 12, 6, width=lean.stem[0].out_channels)
    ours, theirs = measure_complexity(lean, 12, 1000), measure_complexity(backbone, 12, 1000)
    assert ours.macs < 0.9 * theirs.macs
    assert ours.parameters < 0.9 * theirs.parameters


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
        ({"residual_blocks": 0}, "residual_blocks 0: the first halves the length"),
        ({"width": 7}, "width 7: expected an even number"),
        ({"width": 2}, "width 2: expected an even number of at least 4"),
        ({"stem_stride": 3}, "stem_stride 3: expected 4 as published, 2 or 1"),
        ({"pooling": "max"}, "pooling 'max': expected 'mean' as published, or 'mean_max'"),
        ({"stochastic_depth": 1.0}, "stochastic_depth 1.0: expected a probability below 1"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_reason(options, message):
    with pytest.raises(ModelError, match=message):
        create_model("ecoscalenet", 12, 6, **options)


def test_the_smallest_network_runs():
    with torch.inference_mode():
        assert create_model("ecoscalenet", 1, 1, width=4, kernel_sizes=[[1]] * 4).eval()(torch.zeros(1, 1, 64)).shape


@pytest.mark.parametrize(("stride", "steps"), [(4, 16), (2, 32), (1, 63)])
def test_a_finer_stem_leaves_more_samples_to_every_stage(stride, steps):
    network = create_model("ecoscalenet_100hz", 12, 6, width=8, stem_stride=stride)
    assert network.forward_features(torch.zeros(2, 12, 1000)).shape == (2, 64, steps)


def test_with_the_largest_value_beside_the_mean_the_head_reads_both():
    network = create_model("ecoscalenet_100hz", 12, 6, width=8, pooling="mean_max").eval()
    assert network.head.in_features == 128
    features = torch.randn(2, 64, 9)
    pooled = network.pool(features)
    assert torch.equal(pooled, torch.cat((features.mean(dim=-1), features.max(dim=-1).values), dim=1))


def test_stochastic_depth_leaves_whole_branches_out_in_training_alone():
    depth = StochasticDepth(0.25)
    x = torch.ones(4000, 3, 5)
    assert torch.equal(depth.eval()(x), x)
    found = depth.train()(x)
    torch.testing.assert_close(found, found[:, :1, :1].expand_as(found))
    assert found.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert found.mean().item() == pytest.approx(1, abs=0.05)


def test_later_stages_leave_more_out():
    network = create_model("ecoscalenet_100hz", 12, 6, width=8, stochastic_depth=0.2)
    found = [module.probability for module in network.modules() if isinstance(module, StochasticDepth)]
    assert found == pytest.approx([0.05] * 3 + [0.1] * 3 + [0.15] * 3 + [0.2] * 3)
