"""What every registered network keeps to: a new one is tested by existing, once its parameters stand in the table."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from weights_by_name import logits_of_noise, weight_by_name

from ecoscale.complexity import measure_complexity
from ecoscale.errors import ModelError
from ecoscale.export import export_onnx
from ecoscale.models import Network, create_model, list_models
from ecoscale.models.omniscale import compute_directly

PARAMETERS = {
    "ecoscalenet": 10_516_934,
    "ecoscalenet_100hz": 5_428_102,
    "ecoscalenet_backbone": 3_856_134,
    "ecoscalenet_lean_base": 10_013_751,
    "ecoscalenet_lean_nano": 106_280,
    "ecoscalenet_lean_small": 2_044_168,
    "ecoscalenet_lean_tiny": 481_445,
    "ecoscalenet_nano": 95_697,
    "ecoscalenet_radix": 6_922_822,
    "ecoscalenet_radix_base": 9_754_834,
    "ecoscalenet_radix_dilated": 6_221_830,
    "ecoscalenet_radix_nano": 111_822,
    "ecoscalenet_radix_small": 1_962_112,
    "ecoscalenet_radix_tiny": 438_934,
    "ecoscalenet_small": 2_022_446,
    "ecoscalenet_tiny": 509_809,
    "fcn": 276_742,
    "inceptiontime": 507_782,
    "oscnn": 246_549,
    "oscnn_masked": 551_031,
    "oscnn_residual": 818_199,
    "oscnn_unbudgeted": 107_172_358,
    "oscnn_uncapped": 14_929_095,
    "resnet1d_wang": 473_478,
    "ribeiro_resnet": 6_421_910,
    "xresnet1d101": 1_872_390,
    "xresnet1d50": 954_118,
}
"""At 12 leads and 6 findings."""

# The whole of these is too large for a test; the same code runs with fewer kernels or channels.
SMALLER = {"oscnn_unbudgeted": {"largest_kernel": 7}, "oscnn_uncapped": {"largest_kernel": 101}}
SIZES = ("_nano", "_tiny", "_small", "_base")
"""What a name ends with that differs from another in its width alone, which `smaller` makes the same."""
DISTINCT = ["ecoscalenet_lean_tiny", *(name for name in list_models() if not name.endswith(SIZES))]
GOLDEN = Path(__file__).with_name("golden.json")


def smaller(name):
    """Options that make a network small enough to run many times."""
    return {"width": 8} if name.startswith("ecoscalenet") else SMALLER.get(name, {})


def network(name, n_channels=12, n_classes=6, seed=0):
    torch.manual_seed(seed)
    return create_model(name, n_channels, n_classes, **smaller(name))


def signals(batch, channels, samples, seed=0):
    return torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(seed))


def golden_logits(name):
    """Logits of a network whose every weight is made from its name."""
    model = network(name)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not key.endswith("mask"):
            tensor.copy_(weight_by_name(key, tensor.shape))
    return logits_of_noise(model, 500)


@pytest.fixture(params=DISTINCT)
def name(request):
    return request.param


def test_every_networks_parameters_stand_in_the_table():
    found = {}
    for name in list_models():
        with torch.device("meta"):
            found[name] = sum(p.numel() for p in create_model(name, 12, 6).parameters())
    assert found == PARAMETERS


def test_logits_are_those_that_were_stored(name):
    np.testing.assert_allclose(golden_logits(name), json.loads(GOLDEN.read_text())[name], rtol=1e-4, atol=1e-5)


def test_every_network_is_a_network_with_a_linear_head(name):
    model = network(name)
    assert isinstance(model, Network)
    assert model.n_classes == 6
    model.reset_head(3)
    with torch.inference_mode():
        assert model.eval()(signals(1, 12, 128)).shape == (1, 3)


def test_one_finite_logit_for_each_class_at_any_length(name):
    model = network(name).eval()
    for samples in (1, 2, 3, 24, 63, 97, 128, 211, 500):
        with torch.inference_mode():
            logits = model(signals(2, 12, samples))
        assert logits.shape == (2, 6), samples
        assert torch.isfinite(logits).all(), samples


def test_a_signal_without_samples_is_refused(name):
    with pytest.raises(ModelError, match="0 samples are too few"):
        network(name).eval()(signals(1, 12, 0))


def test_a_series_shorter_than_the_strides_trains(name):
    model = network(name, n_channels=2).train()
    torch.nn.functional.binary_cross_entropy_with_logits(model(signals(4, 2, 24)), torch.ones(4, 6)).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("channels", [1, 3, 8, 12])
def test_any_number_of_channels_and_classes(name, channels):
    with torch.inference_mode():
        logits = network(name, channels, channels + 1).eval()(signals(1, channels, 101))
    assert logits.shape == (1, channels + 1)
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


def test_features_and_head_together_are_the_network(name):
    model = network(name).eval()
    x = signals(2, 12, 200)
    with torch.inference_mode():
        features = model.forward_features(x)
        torch.testing.assert_close(model.forward_head(features), model(x), rtol=0, atol=0)
    assert features.ndim == 3


def test_operations_are_those_that_torch_counts(name):
    with torch.device("meta"):
        model = create_model(name, 12, 6)
        direct = compute_directly(create_model(name, 12, 6)).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            direct(torch.zeros(1, 12, 1000))
    assert measure_complexity(model, 12, 1000).macs == counter.get_total_flops() // 2


def test_the_exported_network_gives_the_same_logits(name):
    # Raises unless they agree.
    x = signals(2, 12, 256).numpy()
    assert export_onnx(network(name), x).max_difference < 1e-3


if __name__ == "__main__":  # python tests/models/test_networks.py: store the logits anew, when a network is added
    stored = {name: [[round(float(v), 6) for v in row] for row in golden_logits(name)] for name in DISTINCT}
    GOLDEN.write_text(json.dumps(stored, indent=1) + "\n")
