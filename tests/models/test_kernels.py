"""Kernel sets, and the receptive fields that stacks of them realise."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.errors import ModelError
from ecoscale.models import gap_free_coverage, prime_kernels, receptive_fields, stage_kernels
from ecoscale.models.omniscale import OmniScaleConv

STRIDES = (8, 16, 32, 64)


def omni_scale_stack(largest):
    return (prime_kernels(largest), prime_kernels(largest), (1, 2))


def test_kernels_are_one_and_the_primes():
    assert prime_kernels(1) == (1,)
    assert prime_kernels(31) == (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
    assert prime_kernels(32) == prime_kernels(31)
    assert len(prime_kernels(89)) == 25


@given(st.integers(1, 400))
def test_a_kernel_has_no_divisor_but_one_and_itself(largest):
    kernels = prime_kernels(largest)
    assert list(kernels) == [k for k in range(1, largest + 1) if sum(k % d == 0 for d in range(1, k + 1)) <= 2]


def test_a_kernel_without_a_sample_is_refused():
    with pytest.raises(ModelError, match="largest kernel 0"):
        prime_kernels(0)


def test_the_cap_rule_gives_the_published_sizes_at_400_hz():
    assert [kernels[-1] for kernels in stage_kernels(512, STRIDES)] == [31, 13, 7, 3]


def test_the_cap_rule_gives_the_recipes_sizes_at_100_hz():
    assert stage_kernels(128, STRIDES) == ((1, 2, 3, 5, 7), (1, 2, 3), (1, 2), (1,))


@given(st.integers(1, 2000))
def test_every_stage_is_capped_by_what_it_still_has_to_see(required):
    for kernels, stride in zip(stage_kernels(required, STRIDES), STRIDES, strict=True):
        assert kernels == (1,) or 2 * kernels[-1] * stride <= required


def test_a_receptive_field_without_a_sample_is_refused():
    with pytest.raises(ModelError, match="required receptive field 0"):
        stage_kernels(0, STRIDES)


@pytest.mark.parametrize(("largest", "gap_free", "longest"), [(31, 54, 62), (89, 162, 178)])
def test_coverage_is_as_the_design_computes_it(largest, gap_free, longest):
    assert gap_free_coverage(omni_scale_stack(largest)) == gap_free
    assert receptive_fields(omni_scale_stack(largest))[-1] == longest


@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=3))
def test_receptive_fields_are_those_of_every_path_through_the_stack(layers):
    assert set(receptive_fields(layers)) == {sum(path) - len(path) + 1 for path in product(*layers)}


@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=3))
def test_coverage_ends_at_the_first_gap(layers):
    fields, covered = receptive_fields(layers), gap_free_coverage(layers)
    assert set(range(1, covered + 1)) <= set(fields)
    assert covered + 1 not in fields


@pytest.mark.parametrize("layers", [((1, 2, 3, 5), (1, 2, 3, 5), (1, 2)), ((4,), (7,)), ((3,),)])
def test_the_longest_receptive_field_is_what_gradients_see(layers):
    inputs = (1, *map(len, layers[:-1]))
    network = torch.nn.Sequential(*(OmniScaleConv(n, 1, own) for n, own in zip(inputs, layers, strict=True)))
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 101, requires_grad=True)
    network(x)[0, :, 50].sum().backward()
    assert int((x.grad != 0).sum()) == receptive_fields(layers)[-1]
