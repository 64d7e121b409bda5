import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ecoscale.bundle import Bundle
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.errors import BundleError
from ecoscale.explaining.gradients import bundled_network, explain_by_gradients, integrated_gradients
from ecoscale.explaining.occlusion import occlusion_map
from ecoscale.inference import Classifier


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("six-findings-small")


@pytest.fixture(scope="module")
def windows(bundle):
    findings = ("AF", "LBBB", "1dAVb")
    return {name: bundle.manifest.preparation.windows(synthetic_ecg([name], seed=2).ecg)[0] for name in findings}


def column(bundle, name):
    return [label.name for label in bundle.manifest.labels].index(name)


def test_the_network_of_a_bundle_computes_what_its_onnx_does(bundle, windows):
    stacked = np.stack(list(windows.values()))
    with torch.inference_mode():
        found = bundled_network(bundle)(torch.from_numpy(stacked)).numpy()
    # Its weights are stored in halves: `export_weights` accepts 0.01.
    assert np.allclose(found, Classifier.load("six-findings-small").logits(stacked), atol=0.02)


def test_relevance_adds_up_to_the_difference_of_log_odds_to_less_than_a_tenth_of_a_unit(bundle, windows):
    network = bundled_network(bundle)
    for name, window in windows.items():
        with torch.inference_mode():
            ends = network(torch.from_numpy(np.stack([window, np.zeros_like(window)])))[:, column(bundle, name)]
        difference = float(ends[0] - ends[1])
        coarse, fine = (integrated_gradients(network, window, column(bundle, name), n).sum() for n in (4, 128))
        assert fine == pytest.approx(difference, abs=0.1)
        assert abs(fine - difference) < abs(coarse - difference)


def test_the_remainder_is_told(bundle):
    ecg = synthetic_ecg(["LBBB"], seed=2, duration=12).ecg
    found = explain_by_gradients(bundle, ecg, "LBBB", path_steps=4)
    assert (found.method, found.values.shape) == ("gradients", (12, 300))
    assert found.remainder != 0
    assert abs(explain_by_gradients(bundle, ecg, "LBBB", path_steps=32).remainder) < abs(found.remainder)


def test_the_sum_of_all_values_and_the_remainder_is_what_the_logit_gained(bundle):
    ecg = synthetic_ecg(["AF"], seed=2).ecg
    found = explain_by_gradients(bundle, ecg, "AF")
    network, window = bundled_network(bundle), bundle.manifest.preparation.windows(ecg)
    with torch.inference_mode():
        ends = network(torch.from_numpy(np.concatenate([window, np.zeros_like(window)])))[:, column(bundle, "AF")]
    assert found.scale * float(found.values.sum(dtype=float)) + found.remainder == pytest.approx(
        float(ends[0] - ends[1]), abs=1e-3
    )


def test_padding_is_given_nothing(bundle):
    found = explain_by_gradients(bundle, synthetic_ecg(["AF"], seed=2, duration=4).ecg, "AF", path_steps=8)
    assert found.values.shape == (12, 100)


@pytest.mark.parametrize("method", ["occlusion", "gradients"])
def test_random_weights_give_another_map(bundle, windows, method):
    trained, untrained = bundled_network(bundle), bundled_network(bundle)
    torch.manual_seed(0)
    for layer in untrained.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.Linear):
            layer.reset_parameters()

    def mapped(network, window, at):
        if method == "gradients":
            return integrated_gradients(network, window, at, 16)
        with torch.inference_mode():
            return occlusion_map(lambda copies: network(torch.from_numpy(copies)).numpy(), window[:, :300], at, 100)

    at = column(bundle, "LBBB")
    one, same, other = (mapped(each, windows["LBBB"], at) for each in (trained, trained, untrained))
    assert np.array_equal(one, same)
    assert abs(spearmanr(one, other, axis=None)[0]) < 0.5


def test_a_bundle_without_weights_is_told_what_else_can_be_done(bundle, tmp_path):
    from ecoscale.bundle import MODEL, write_bundle

    signal, logits = bundle.self_test()
    bare = write_bundle(
        tmp_path / "bare",
        bundle.manifest,
        (bundle.path / MODEL).read_bytes(),
        {"signal": signal, "logits": logits},
        "# For tests\n",
    )
    with pytest.raises(BundleError, match="holds no weights to take gradients of; explain by occlusion"):
        explain_by_gradients(bare, synthetic_ecg(seed=1).ecg, "AF")


def test_without_torch_the_extra_is_named_and_occlusion_goes_on():
    code = """
import sys
sys.modules["torch"] = None
from ecoscale.errors import MissingExtraError
from ecoscale.explaining import explain_ecg
try:
    import ecoscale.explaining.gradients
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "explaining by gradients needs the package 'torch'" in done.stdout
    assert "ecoscale[train]" in done.stdout
