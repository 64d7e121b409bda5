"""Series of different lengths in one batch: each is computed as if it were alone."""

import pytest
import torch
from torch import nn

from ecoscale.errors import ModelError
from ecoscale.models import create_model, series_config
from ecoscale.models.padding import as_if_alone

NETWORKS = {
    "lean": ("ecoscalenet", series_config(100, 3, width=8)),
    "radix": ("ecoscalenet", series_config(100, 3, kernels="radix", width=8)),
    "published": ("ecoscalenet_nano", {}),
    "mean and largest": ("ecoscalenet", {**series_config(200, 3, width=8), "pooling": "mean_max"}),
    "oscnn": ("oscnn", {"largest_kernel": 13}),
    "oscnn masked": ("oscnn_masked", {"largest_kernel": 13}),
    "oscnn residual": ("oscnn_residual", {"largest_kernel": 13}),
    "fcn": ("fcn", {}),
    "inceptiontime": ("inceptiontime", {}),
    "resnet1d_wang": ("resnet1d_wang", {}),
}
LENGTHS = (100, 64, 67, 99, 88)


@pytest.fixture
def series():
    torch.manual_seed(1)
    return [torch.randn(3, length) for length in LENGTHS]


def padded(series, filling):
    batch = torch.full((len(series), 3, max(LENGTHS)), filling)
    for row, own in zip(batch, series, strict=True):
        row[:, : own.shape[-1]] = own
    return batch, torch.tensor(LENGTHS)


def network(name, **options):
    torch.manual_seed(0)
    model, config = NETWORKS[name]
    built = create_model(model, 3, 4, **config, **options)
    # Running statistics other than those of the start.
    built.train()
    built(torch.randn(16, 3, 100))
    return built


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("filling", [0.0, 1e6])
def test_a_series_has_the_logits_that_it_has_alone_whatever_fills_it_up(name, filling, series):
    built = network(name).eval()
    batch, lengths = padded(series, filling)
    with torch.no_grad():
        with as_if_alone(lengths):
            together = built(batch)
        alone = torch.cat([built(own[None]) for own in series])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_series_of_one_length_are_what_they_are_without(series):
    built = network("lean").eval()
    batch = torch.randn(4, 3, 100)
    with torch.no_grad(), as_if_alone(torch.full((4,), 100)):
        within = built(batch)
    torch.testing.assert_close(within, built(batch), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["lean", "radix", "oscnn"])
def test_what_fills_a_series_up_changes_neither_gradients_nor_statistics(name, series):
    states = []
    for filling in (0.0, 1e3):
        built = network(name).train()
        batch, lengths = padded(series, filling)
        torch.manual_seed(2)
        with as_if_alone(lengths):
            logits = built(batch)
        logits.square().sum().backward()
        states.append({name: p.grad for name, p in built.named_parameters()} | dict(built.named_buffers()))
    for name, value in states[0].items():
        assert value is not None
        assert value.isfinite().all()
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)


def test_batch_norm_is_trained_on_the_samples_of_the_series_alone(series):
    norm = nn.BatchNorm1d(3)
    batch, lengths = padded(series, 50.0)
    with as_if_alone(lengths):
        out = norm(batch)
    every = torch.cat(series, dim=1)
    torch.testing.assert_close(norm.running_mean, 0.1 * every.mean(dim=1))
    expected = (series[1] - every.mean(dim=1)[:, None]) / (every.var(dim=1, unbiased=False) + norm.eps).sqrt()[:, None]
    torch.testing.assert_close(out[1, :, : LENGTHS[1]], expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ribeiro_resnet", {}, "whose padding depends on"),
        ("oscnn", {"method": "fourier"}, "calls fft_rfft over time"),
        ("xresnet1d50", {}, "calls avg_pool1d over time"),
    ],
)
def test_a_network_that_cannot_be_followed_is_refused(name, options, message, series):
    built = create_model(name, 3, 4, **options).eval()
    batch, lengths = padded(series, 0.0)
    with pytest.raises(ModelError, match=message), as_if_alone(lengths):
        built(batch)
