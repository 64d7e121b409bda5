"""Receptive fields traced through networks are what gradients reach, path by path."""

from itertools import product

import pytest
import torch
from torch import nn

from ecoscale.errors import ModelError
from ecoscale.models import create_model, list_models, prime_kernels, radix_kernels, receptive_fields
from ecoscale.models.ecoscalenet import EcoScaleBlock, ResidualBlock
from ecoscale.models.kernels import prime_layers
from ecoscale.models.omniscale import MaskedOmniScaleConv, OmniScaleConv
from ecoscale.models.receptive_field import RealisedFields, trace_receptive_fields


def gradient_fields(module, channels, samples):
    """The extents that gradients show, one for each path: all branches but one are silenced in each layer.

    Weights and inputs are positive, so that every ReLU lets them through; pooling by the maximum would show the one
    sample that wins and is replaced by an average over the same samples.
    """
    module.eval()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool1d):
                own = nn.AvgPool1d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, own)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.5)
    switches = []
    for part in module.modules():
        if isinstance(part, OmniScaleConv):
            switches.append([[branch.weight, branch.bias] for branch in part.branches])
        elif isinstance(part, ResidualBlock | EcoScaleBlock):
            last = part.norm2 if isinstance(part, ResidualBlock) else part.norm
            # The shortcut is silenced where it has weights; an identity one is taken away below.
            switches.append([[last.weight, last.bias], part])
    found = set()
    weights = {id(p): p.detach().clone() for p in module.parameters()}
    for path in product(*(range(len(switch)) for switch in switches)):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(weights[id(parameter)])
            removed = []
            for switch, chosen in zip(switches, path, strict=True):
                for index, silenced in enumerate(switch):
                    if index == chosen:
                        continue
                    if isinstance(silenced, nn.Module):
                        removed.append((silenced, silenced.shortcut))
                        silenced.shortcut = Nothing(silenced.shortcut)
                    else:
                        for parameter in silenced:
                            parameter.zero_()
        x = torch.ones(1, channels, samples, requires_grad=True)
        out = module.forward_features(x) if hasattr(module, "forward_features") else module(x)
        out[..., out.shape[-1] // 2].sum().backward()
        reached = x.grad.abs().sum(dim=(0, 1)).nonzero().flatten()
        found.add(int(reached[-1] - reached[0]) + 1)
        for block, shortcut in removed:
            block.shortcut = shortcut
    return tuple(sorted(found))


class Nothing(nn.Module):
    """A shortcut that carries nothing."""

    def __init__(self, shortcut):
        super().__init__()
        self.inner = shortcut

    def forward(self, x):
        return 0.0 * self.inner(x).detach()


LAYERS = {
    "primes": (prime_layers(prime_kernels(5)), {}),
    "radix": (radix_kernels(12), {}),
    "dilated radix": (radix_kernels(12, dilated=True), {"dilated": True}),
    "depthwise": (radix_kernels(8, dilated=True), {"dilated": True, "depthwise": True}),
}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("identity", [False, True])
def test_a_block_realises_the_fields_of_its_layers_and_one_through_its_shortcut(case, identity):
    layers, options = LAYERS[case]
    block = EcoScaleBlock(4, layers, 0.0, identity_shortcut=identity, **options)
    traced = trace_receptive_fields(block, 4)
    assert traced.fields == tuple(sorted({1, *receptive_fields(layers)}))
    assert traced.fields == gradient_fields(block, 4, 101)
    assert traced.stride == 1


def test_a_stage_realises_what_gradients_show():
    network = create_model("ecoscalenet", 2, 1, width=4, kernel_sizes=[[1, 2, 3], [], [], []])
    stage = network.stages[0]
    traced = trace_receptive_fields(stage, 4)
    assert traced.fields == gradient_fields(stage, 4, 201)
    assert traced.stride == 2


def test_a_whole_network_realises_what_gradients_show():
    layers = [[[1, 2], [1, 3]], [], [], []]
    network = create_model("ecoscalenet", 1, 1, width=4, kernel_sizes=layers)
    traced = trace_receptive_fields(network, 1)
    assert traced.fields == gradient_fields(network, 1, 1601)
    assert traced.stride == 64


@pytest.mark.parametrize("name", [name for name in list_models() if name not in ("oscnn_uncapped", "ribeiro_resnet")])
def test_every_networks_longest_field_is_all_that_a_gradient_reaches(name):
    torch.manual_seed(0)
    config = {"oscnn_unbudgeted": {"channels": 2}, "ecoscalenet": {"width": 8}}.get(name, {})
    network = create_model(name, 1, 1, **config)
    longest = trace_receptive_fields(network, 1).longest
    samples = longest + 3 * 64
    for module in network.modules():
        if isinstance(module, nn.MaxPool1d):
            # As above: an average shows all that a maximum looks at.
            module.forward = nn.AvgPool1d(module.kernel_size, module.stride, module.padding, module.ceil_mode).forward
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)
    x = torch.ones(1, 1, 2 * samples, requires_grad=True, dtype=torch.float64)
    out = network.double().eval().forward_features(x)
    out[..., out.shape[-1] // 2].mean().backward()
    reached = x.grad.flatten().nonzero().flatten()
    assert int(reached[-1] - reached[0]) + 1 == longest


def test_os_cnn_realises_what_its_layers_do_however_it_is_computed():
    expected = receptive_fields(prime_layers(prime_kernels(89)))
    for method in ("direct", "masked", "fourier"):
        with torch.device("meta"):
            network = create_model("oscnn", 12, 6, method=method)
        assert trace_receptive_fields(network, 12).fields == expected
    assert trace_receptive_fields(MaskedOmniScaleConv(1, 1, (1, 4)), 1).fields == (1, 4)


def test_pooling_and_strides_lengthen_what_comes_after():
    network = nn.Sequential(nn.Conv1d(1, 1, 3, stride=2), nn.MaxPool1d(2), nn.Conv1d(1, 1, 3, dilation=5))
    traced = trace_receptive_fields(network, 1)
    assert traced == RealisedFields((3 + 2 + 10 * 4,), 4)


def test_squeeze_and_excitation_does_not_count_although_it_sees_everything():
    plain, scaled = (
        trace_receptive_fields(EcoScaleBlock(8, ((1, 3),), 0.0, squeeze_excitation=squeeze), 8)
        for squeeze in (False, True)
    )
    assert plain == scaled


def test_tracing_leaves_the_network_as_it_was():
    network = create_model("oscnn", 2, 1, largest_kernel=5, method="masked").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    trace_receptive_fields(network, 2)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_what_forgets_time_is_refused():
    with pytest.raises(ModelError, match="does not depend on its input over time"):
        trace_receptive_fields(nn.Sequential(nn.Flatten(), nn.Linear(4096, 2)), 1)


def test_signals_of_different_strides_cannot_be_joined():
    class Joined(nn.Module):
        def forward(self, x):
            return nn.functional.max_pool1d(x, 2)[..., :10] + x[..., :10]

    with pytest.raises(ModelError, match="strides 2 and 1"):
        trace_receptive_fields(Joined(), 1)


@pytest.mark.parametrize(
    ("fields", "unbroken", "step", "gaps"),
    [
        ((1, 2, 3, 5), (1, 3), 1, (4,)),
        ((5,), (5, 5), 1, ()),
        ((1, 9, 13, 17, 25), (9, 17), 4, (5, 21)),
    ],
)
def test_the_longest_stretch_without_a_gap_is_told_with_its_step(fields, unbroken, step, gaps):
    found = RealisedFields(fields, 1)
    assert (found.unbroken, found.step, found.gaps, found.longest) == (unbroken, step, gaps, fields[-1])
