"""Kernel sets, and the receptive fields that stacks of them realise."""

from itertools import combinations, product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.errors import ModelError
from ecoscale.models import (
    gap_free_coverage,
    prime_kernels,
    radix_kernels,
    receptive_field_gaps,
    receptive_fields,
    required_receptive_field,
    stage_kernels,
)
from ecoscale.models.ecoscalenet import EcoScaleBlock
from ecoscale.models.kernels import block_weights, common_step, prime_layers, radix_stage_kernels, taps
from ecoscale.models.omniscale import OmniScaleConv

STRIDES = (8, 16, 32, 64)


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


@given(st.integers(1, 3000))
def test_the_inverse_of_the_cap_rule_is_the_least_requirement_with_the_same_kernels(required):
    kernels = stage_kernels(required, STRIDES)
    least = required_receptive_field(kernels, STRIDES)
    assert least <= required
    assert stage_kernels(least, STRIDES) == kernels
    assert least == 1 or stage_kernels(least - 1, STRIDES) != kernels


def test_the_published_kernels_call_for_496_samples_at_least():
    assert required_receptive_field(stage_kernels(512, STRIDES), STRIDES) == 496  # 2 * 31 * 8


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (((1, 2, 3),), "1 kernel lists for 4 strides"),
        (((1, 2), (), (1,), (1,)), "none empty"),
        (((1, 2, 3), (1, 2, 3), (1,), (1,)), "these are not its kernel lists"),
        (((1, 4), (1,), (1,), (1,)), "these are not its kernel lists"),
    ],
)
def test_kernels_that_the_cap_rule_never_gives_are_refused(kernels, message):
    with pytest.raises(ModelError, match=message):
        required_receptive_field(kernels, STRIDES)


@pytest.mark.parametrize("rule", [stage_kernels, radix_stage_kernels])
def test_a_receptive_field_without_a_sample_is_refused(rule):
    with pytest.raises(ModelError, match="required receptive field 0"):
        rule(0, STRIDES)


@pytest.mark.parametrize(
    ("largest", "gap_free", "longest", "gaps"),
    [(31, 54, 62, (55, 56)), (89, 162, 178, (163, 164, 169, 170, 173, 174, 175, 176)), (13, 26, 26, ())],
)
def test_coverage_is_as_the_design_computes_it(largest, gap_free, longest, gaps):
    layers = prime_layers(prime_kernels(largest))
    assert gap_free_coverage(layers) == gap_free
    assert receptive_fields(layers)[-1] == longest
    assert receptive_field_gaps(layers) == gaps


lists = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=3)


@given(lists)
def test_receptive_fields_are_those_of_every_path_through_the_stack(layers):
    assert set(receptive_fields(layers)) == {sum(path) - len(path) + 1 for path in product(*layers)}


@given(lists)
def test_coverage_ends_at_the_first_gap(layers):
    fields, covered = receptive_fields(layers), gap_free_coverage(layers)
    assert set(range(1, covered + 1)) <= set(fields)
    assert covered + 1 not in fields
    assert set(receptive_field_gaps(layers)) == set(range(1, fields[-1])) - set(fields)


# Radix kernels


@settings(deadline=None, max_examples=60)
@given(required=st.integers(1, 80), n_layers=st.integers(1, 4), dilated=st.booleans(), depthwise=st.booleans())
def test_radix_kernels_realise_every_receptive_field_exactly_once(required, n_layers, dilated, depthwise):
    layers = radix_kernels(required, n_layers, dilated=dilated, depthwise=depthwise)
    assert len(layers) == n_layers
    paths = [sum(path) - len(path) + 1 for path in product(*layers)]
    assert sorted(paths) == list(range(1, prod(map(len, layers)) + 1))
    assert len(paths) >= required


@given(m=st.integers(1, 7), n=st.integers(1, 7), q=st.integers(1, 7))
def test_three_digits_of_any_radices_realise_every_receptive_field_exactly_once(m, n, q):
    layers = [[1 + digit * place for digit in range(f)] for f, place in ((m, 1), (n, m), (q, m * n))]
    assert sorted(a + b + c - 2 for a, b, c in product(*layers)) == list(range(1, m * n * q + 1))


def test_no_three_lists_of_any_kind_are_cheaper_than_radix_kernels():
    required = 6
    found = [(1, *rest) for size in range(required) for rest in combinations(range(2, required + 1), size)]
    for dilated in (False, True):
        radix = block_weights(radix_kernels(required, dilated=dilated), 64, dilated=dilated)
        for layers in product(found, repeat=3):
            if block_weights(layers, 64, dilated=dilated) < radix:
                assert gap_free_coverage(layers) < required, layers


def test_radix_kernels_cost_a_fraction_of_primes_and_cover_more():
    radix, primes = radix_kernels(64), prime_layers(prime_kernels(31))
    assert gap_free_coverage(radix) == 64 > gap_free_coverage(primes) == 54
    assert block_weights(primes, 64) / block_weights(radix, 64) == pytest.approx(1295 / 184)
    assert block_weights(primes, 64) / block_weights(radix_kernels(64, dilated=True), 64, dilated=True) > 17


@settings(deadline=None, max_examples=30)
@given(required=st.integers(1, 1200), dilated=st.booleans())
def test_radix_kernels_of_every_stage_cover_what_it_still_has_to_see(required, dilated):
    for layers, stride in zip(radix_stage_kernels(required, STRIDES, dilated=dilated), STRIDES, strict=True):
        assert gap_free_coverage(layers) * stride >= required


def test_a_stack_without_a_layer_is_refused():
    with pytest.raises(ModelError, match="0 layers"):
        radix_kernels(8, 0)


# Costs


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_dilated_taps_reach_as_far_as_dense_ones(kernels):
    step = common_step(kernels)
    assert all((kernel - 1) % step == 0 for kernel in kernels)
    for kernel, dense, spaced in zip(kernels, taps(kernels), taps(kernels, dilated=True), strict=True):
        assert dense == kernel
        assert (spaced - 1) * step + 1 == kernel


@given(lists, st.sampled_from([4, 6, 8, 16]), st.booleans(), st.booleans())
def test_a_blocks_weights_are_those_that_a_built_one_has(layers, channels, dilated, depthwise):
    with torch.device("meta"):
        block = EcoScaleBlock(channels, layers, 0.0, identity_shortcut=True, dilated=dilated, depthwise=depthwise)
    built = sum(m.weight.numel() for m in block.modules() if isinstance(m, torch.nn.Conv1d))
    assert block_weights(layers, channels, dilated=dilated, depthwise=depthwise) == built


@pytest.mark.parametrize("layers", [((1, 2, 3, 5), (1, 2, 3, 5), (1, 2)), ((4,), (7,)), ((3,),)])
def test_the_longest_receptive_field_is_what_gradients_see(layers):
    inputs = (1, *map(len, layers[:-1]))
    network = torch.nn.Sequential(*(OmniScaleConv(n, 1, own) for n, own in zip(inputs, layers, strict=True)))
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 101, requires_grad=True)
    network(x)[0, :, 50].sum().backward()
    assert int((x.grad != 0).sum()) == receptive_fields(layers)[-1]
