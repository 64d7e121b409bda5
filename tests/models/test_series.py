"""EcoScale-Net for a series of any length: strides, stages and kernels follow from the number of samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.complexity import measure_complexity
from ecoscale.errors import ModelError
from ecoscale.models import create_model, gap_free_coverage, series_config
from ecoscale.models.ecoscalenet import STAGE_STRIDES, block_layers
from ecoscale.models.kernels import covering_primes, prime_kernels, prime_layers
from ecoscale.models.series import series_receptive_field, series_strides, stage_strides


def strides(config):
    return stage_strides(config["stem_stride"], config["block_strides"])


@pytest.mark.parametrize("kernels", ["lean", "radix", "prime"])
def test_every_stage_covers_half_of_the_series_without_a_gap_at_every_length(kernels):
    seen = set()
    for n_samples in range(2, 4097):
        required = series_receptive_field(n_samples)
        assert required >= n_samples / 2
        # Lengths whose stages are asked for the same have the same kernels.
        own = series_strides(required)
        asked = (own, tuple(-(-required // stride) for stride in stage_strides(*own)))
        if asked in seen:
            continue
        seen.add(asked)
        config = series_config(n_samples, kernels=kernels)
        for layers, stride in zip(config["kernel_sizes"], strides(config), strict=True):
            assert gap_free_coverage(block_layers(layers)) * stride >= required


def test_strides_and_stages_grow_with_the_length_up_to_the_published_ones():
    assert series_strides(512) == (4, (2, 2, 2, 2))
    assert stage_strides(*series_strides(512)) == STAGE_STRIDES
    given = {n: series_strides(series_receptive_field(n)) for n in (7, 24, 64, 150, 427, 1460, 100_000)}
    assert given == {
        7: (1, (1, 1)),
        24: (1, (1, 1)),
        64: (1, (2, 2)),
        150: (1, (2, 2, 2)),
        427: (1, (2, 2, 2, 2)),
        1460: (4, (2, 2, 2, 2)),
        100_000: (4, (2, 2, 2, 2)),
    }


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_no_network_reduces_a_series_by_more_than_it_has(required, shortest):
    stem_stride, block_strides = series_strides(required, shortest)
    total = stage_strides(stem_stride, block_strides)[-1]
    assert total <= min(64, shortest)
    assert total == 1 or 8 * total <= required


@given(st.integers(1, 600))
def test_primes_that_cover_are_as_few_as_cover(required):
    kernels = covering_primes(required)
    assert kernels == prime_kernels(kernels[-1])
    assert gap_free_coverage(prime_layers(kernels)) >= required
    assert len(kernels) == 1 or gap_free_coverage(prime_layers(kernels[:-1])) < required


@pytest.mark.parametrize("n_channels", [1, 12])
@pytest.mark.parametrize("n_samples", [8, 24, 64, 150, 254, 427, 500, 511, 1460, 4096])
def test_a_network_takes_less_than_a_tenth_of_what_os_cnn_computes(n_samples, n_channels):
    with torch.device("meta"):
        own = create_model("ecoscalenet", n_channels, 2, **series_config(n_samples, n_channels))
        other = create_model("oscnn", n_channels, 2, largest_kernel=min(n_samples // 4, 89))
    macs = [measure_complexity(network, n_channels, n_samples).macs for network in (own, other)]
    assert 10 * macs[0] < macs[1]


@pytest.mark.parametrize("kernels", ["lean", "radix", "prime"])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 24, 100, 513])
def test_the_network_takes_the_series_that_it_was_designed_for(kernels, n_samples):
    network = create_model("ecoscalenet", 3, 5, **series_config(n_samples, 3, kernels=kernels, width=4)).eval()
    assert network(torch.randn(2, 3, n_samples)).shape == (2, 5)
    assert network.minimum_samples <= n_samples


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4096), st.data())
def test_a_receptive_field_that_is_asked_for_is_covered(n_samples, data):
    required = data.draw(st.integers(1, n_samples))
    config = series_config(n_samples, receptive_field=required, width=8)
    for layers, stride in zip(config["kernel_sizes"], strides(config), strict=True):
        assert gap_free_coverage(layers) * stride >= required


def test_options_of_the_network_take_precedence():
    assert series_config(100, dropout=0.3)["dropout"] == 0.3
    assert series_config(100)["dropout"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "a series of 0 samples"),
        ((10, 0), {}, "n_channels is 0"),
        ((10,), {"receptive_field": 0}, "receptive field 0"),
        ((10,), {"kernels": "even"}, "kernels 'even'; expected one of lean, radix, prime"),
    ],
)
def test_what_cannot_be_designed_is_refused(arguments, options, message):
    with pytest.raises(ModelError, match=message):
        series_config(*arguments, **options)
