"""What every registered network keeps to: a new one is tested by existing."""

import pytest
import torch

from ecoscale.models import create_model, list_models

# The whole of these is too large for a test; the same code runs with fewer kernels.
SMALLER = {"oscnn_unbudgeted": {"largest_kernel": 7}, "oscnn_uncapped": {"largest_kernel": 101}}


def network(name, n_leads=12, n_classes=6, seed=0):
    torch.manual_seed(seed)
    return create_model(name, n_leads, n_classes, **SMALLER.get(name, {}))


def signals(batch, leads, samples, seed=0):
    return torch.randn(batch, leads, samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=list_models())
def name(request):
    return request.param


def test_one_finite_logit_for_each_class_at_any_length_from_the_minimum_up(name):
    model = network(name).eval()
    least = model.minimum_samples
    for samples in (least, least + 1, least + 30, 97, 128, 211, 500):
        with torch.inference_mode():
            logits = model(signals(2, 12, samples))
        assert logits.shape == (2, 6), samples
        assert torch.isfinite(logits).all(), samples


@pytest.mark.parametrize("leads", [1, 3, 8, 12])
def test_any_number_of_leads_and_classes(name, leads):
    with torch.inference_mode():
        logits = network(name, leads, leads + 1).eval()(signals(1, leads, 101))
    assert logits.shape == (1, leads + 1)
    assert torch.isfinite(logits).all()


def test_the_gradient_of_every_parameter_is_finite_and_of_every_weight_not_zero(name):
    model = network(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):  # one that starts at zero holds back what lies before it
            torch.nn.init.ones_(module.weight)
    torch.nn.functional.binary_cross_entropy_with_logits(model(signals(4, 12, 129)), torch.ones(4, 6)).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        # A bias before batch norm has none by construction.
        assert parameter.ndim == 1 or parameter.grad.any(), key


def test_outputs_are_logits_not_probabilities(name):
    model = network(name).eval()
    with torch.inference_mode():
        model.head.bias.fill_(40)
        assert (model(signals(2, 12, 100)) > 20).all()


def test_weights_go_round_through_a_state_dict_strictly(name):
    first, second = network(name, seed=1).eval(), network(name, seed=2).eval()
    x = signals(2, 12, 120)
    with torch.inference_mode():
        assert not torch.equal(first(x), second(x))
        assert second.load_state_dict(first.state_dict(), strict=True).missing_keys == []
        torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


def test_a_record_is_scored_alike_alone_and_in_a_batch(name):
    model = network(name).eval()
    x = signals(5, 12, 200)
    with torch.inference_mode():
        together, alone = model(x), torch.cat([model(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
