"""The omni-scale convolution, computed directly and by spectra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.errors import ModelError
from ecoscale.models.omniscale import OmniScaleConv, compute_directly


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
    network = torch.nn.Sequential(pair((1, 2))[1], torch.nn.Sequential(pair((3,), leads=6)[1]))
    assert compute_directly(network) is network
    assert [m.method for m in network.modules() if isinstance(m, OmniScaleConv)] == ["direct", "direct"]


@pytest.mark.parametrize("kernels", [(), (0, 3), (-1,)])
def test_kernels_without_a_sample_are_refused(kernels):
    with pytest.raises(ModelError, match="kernel sizes"):
        OmniScaleConv(1, 1, kernels)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match="'wavelet'; expected one of direct, fourier"):
        OmniScaleConv(1, 1, (1, 2), method="wavelet")
