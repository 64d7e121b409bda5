"""The omni-scale convolution, computed directly and by spectra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.errors import ModelError
from ecoscale.models.omniscale import MaskedOmniScaleConv, OmniScaleConv, compute_directly


def pair(kernels, leads=2, channels=3):
    torch.manual_seed(0)
    direct = OmniScaleConv(leads, channels, kernels).double()
    fourier = OmniScaleConv(leads, channels, kernels, method="fourier").double()
    fourier.load_state_dict(direct.state_dict())
    return direct, fourier


def test_each_branch_correlates_with_its_kernel_and_an_even_one_looks_one_further_to_the_right():
    conv = OmniScaleConv(1, 1, (1, 2, 3, 4))
    for branch in conv.branches:
        torch.nn.init.ones_(branch.weight)
        torch.nn.init.zeros_(branch.bias)
    impulse = torch.zeros(1, 1, 11)
    impulse[..., 5] = 1
    seen = conv(impulse)[0].detach().numpy()
    assert [np.flatnonzero(row).tolist() for row in seen] == [[5], [4, 5], [4, 5, 6], [3, 4, 5, 6]]


@settings(max_examples=40, deadline=None)
@given(
    kernels=st.lists(st.integers(1, 23), min_size=1, max_size=4),
    samples=st.integers(1, 60),
    batch=st.integers(1, 3),
)
def test_spectra_give_the_same_output_and_gradients_as_sums(kernels, samples, batch):
    direct, fourier = pair(kernels)
    generator = torch.Generator().manual_seed(samples)
    x = torch.randn(batch, 2, samples, generator=generator, dtype=torch.float64)
    weight = torch.randn(batch, direct.out_channels, samples, generator=generator, dtype=torch.float64)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    first, second = direct(one), fourier(other)
    torch.testing.assert_close(second, first, rtol=1e-10, atol=1e-10)
    (first * weight).sum().backward()
    (second * weight).sum().backward()
    torch.testing.assert_close(other.grad, one.grad, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(fourier.parameters(), direct.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-10)


def test_spectra_are_as_exact_in_single_precision_as_sums():
    direct, fourier = pair((1, 2, 3, 89), leads=12)
    x = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(fourier.float()(x), direct.float()(x), rtol=1e-5, atol=1e-5)


def test_a_network_can_be_switched_to_sums():
    masked = MaskedOmniScaleConv(2, 3, (1, 2)).double()
    network = torch.nn.Sequential(masked, torch.nn.Sequential(pair((3,), leads=6)[1]))
    x = torch.randn(1, 2, 30, dtype=torch.float64)
    before = network(x)
    assert compute_directly(network) is network
    assert [m.method for m in network.modules() if isinstance(m, OmniScaleConv)] == ["direct", "direct"]
    torch.testing.assert_close(network(x), before)
    assert isinstance(compute_directly(masked), OmniScaleConv)


@settings(max_examples=40, deadline=None)
@given(kernels=st.lists(st.integers(1, 23), min_size=1, max_size=4), samples=st.integers(1, 60))
def test_one_dense_convolution_with_a_mask_is_the_same_function(kernels, samples):
    torch.manual_seed(0)
    masked = MaskedOmniScaleConv(2, 3, kernels).double()
    torch.nn.init.normal_(masked.weight)  # outside the branches too: the mask must hold it back
    branches = masked.to_branches()
    x = torch.randn(2, 2, samples, dtype=torch.float64)
    torch.testing.assert_close(masked(x), branches(x), rtol=1e-10, atol=1e-10)
    assert masked(x).shape[1] == masked.out_channels == branches.out_channels


def test_the_mask_is_no_parameter_and_what_it_holds_back_is_not_trained():
    masked = MaskedOmniScaleConv(2, 3, (1, 4))
    assert [name for name, _ in masked.named_parameters()] == ["weight", "bias"]
    assert "mask" in dict(masked.named_buffers())
    masked(torch.randn(1, 2, 20)).sum().backward()
    outside = masked.weight.grad[(masked.mask == 0).expand_as(masked.weight)]
    assert len(outside) == 3 * 2 * 3
    assert not outside.any()
    used = [branch.weight.numel() for branch in masked.to_branches().branches]
    assert sum(used) == int(masked.mask.sum()) * 2


def test_a_masked_convolution_starts_with_zeros_outside_its_branches():
    masked = MaskedOmniScaleConv(2, 3, (1, 4))
    assert not masked.weight[(masked.mask == 0).expand_as(masked.weight)].any()


def test_dilated_branches_reach_as_far_with_fewer_taps():
    conv = OmniScaleConv(1, 1, (1, 4, 7), dilated=True)
    assert [tuple(branch.weight.shape[2:]) for branch in conv.branches] == [(1,), (2,), (3,)]
    for branch in conv.branches:
        torch.nn.init.ones_(branch.weight)
        torch.nn.init.zeros_(branch.bias)
    impulse = torch.zeros(1, 1, 15)
    impulse[..., 7] = 1
    seen = conv(impulse)[0].detach().numpy()
    assert [np.flatnonzero(row).tolist() for row in seen] == [[7], [5, 8], [4, 7, 10]]


def test_grouped_branches_keep_channels_apart():
    conv = OmniScaleConv(4, 4, (1, 3), groups=4)
    x = torch.zeros(1, 4, 9)
    x[:, 2] = 1
    with torch.inference_mode():
        changed = (conv(x) - conv(torch.zeros_like(x))).abs().sum(dim=(0, 2))
    assert changed.nonzero().flatten().tolist() == [2, 6]


@pytest.mark.parametrize("options", [{"dilated": True}, {"groups": 2}])
def test_spectra_of_dilated_or_grouped_branches_are_refused(options):
    with pytest.raises(ModelError, match="dilated or grouped"):
        OmniScaleConv(2, 2, (1, 3), "fourier", **options)


@pytest.mark.parametrize("kernels", [(), (0, 3), (-1,)])
def test_kernels_without_a_sample_are_refused(kernels):
    with pytest.raises(ModelError, match="kernel sizes"):
        OmniScaleConv(1, 1, kernels)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match="'wavelet'; expected one of direct, fourier"):
        OmniScaleConv(1, 1, (1, 2), method="wavelet")
