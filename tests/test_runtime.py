"""Runtimes: the same logits however windows are shared out, and what is missing or wrong said at once."""

import sys

import numpy as np
import pytest

from ecoscale.errors import BundleError, MissingExtraError
from ecoscale.inference import Classifier
from ecoscale.runtime import WINDOWS_TOGETHER, open_runtime


@pytest.fixture(scope="module")
def windows(tiny_bundle):
    signal, _ = tiny_bundle.self_test()
    factors = np.random.default_rng(0).uniform(0.5, 1.5, 3 * WINDOWS_TOGETHER + 1)
    return np.stack([factor * signal[at % len(signal)] for at, factor in enumerate(factors)]).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "int8", "bf16"])
@pytest.mark.parametrize("count", [1, 2, WINDOWS_TOGETHER + 1, 3 * WINDOWS_TOGETHER + 1])
def test_logits_do_not_depend_on_threads_or_on_what_is_computed_beside(integer_bundle, windows, precision, count):
    bundle = integer_bundle.in_integers() if precision == "int8" else integer_bundle
    one, several = (open_runtime(bundle.model, precision, threads) for threads in (1, 3))
    alone = np.concatenate([one.logits(window[None]) for window in windows[:count]])
    tolerance = 0.02 if precision == "bf16" else 1e-4
    for runtime in (one, several):
        np.testing.assert_allclose(runtime.logits(windows[:count]), alone, atol=tolerance)


def test_bfloat16_is_near_float32_and_results_say_so(tiny_bundle, windows):
    single, half = (Classifier(tiny_bundle, threads=1, precision=each) for each in ("fp32", "bf16"))
    np.testing.assert_allclose(half.logits(windows), single.logits(windows), atol=0.05)
    assert half.title == f"{single.title} (bf16)"
    assert half.runtime.name.startswith("OpenVINO")


def test_bfloat16_without_openvino_names_the_extra(tiny_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[openvino\]"):
        Classifier(tiny_bundle, precision="bf16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_file_that_is_no_network_is_refused(tmp_path, precision):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BundleError, match=r"model.onnx: .* cannot load it"):
        open_runtime(path, precision, 1)


def test_a_classifier_says_what_computes_it(integer_bundle):
    assert Classifier(integer_bundle).runtime.precision == "int8"
    assert Classifier(integer_bundle, precision="fp32").runtime.name.endswith("fp32")
