"""The networks compute what the papers' public implementations compute (`../shared/golden`)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from weights_by_name import logits_of_noise, weight_by_name

from ecoscale.models import create_model
from ecoscale.models.ecoscalenet import from_reference_state_dict

GOLDEN = Path(os.environ.get("ECOSCALE_GOLDEN", Path(__file__).parents[2] / ".." / "shared" / "golden")) / "golden.json"
if not GOLDEN.exists():
    pytest.skip(f"no reference outputs at {GOLDEN}; set ECOSCALE_GOLDEN", allow_module_level=True)
CASES = json.loads(GOLDEN.read_text())


def reference_state(shapes):
    """The state dict of a case."""
    return {key: weight_by_name(key, shape) for key, shape in shapes.items()}


def zero_outside_branches(state, layers):
    for index, branches in enumerate(layers):
        dense = state[f"net.{index}.conv1d.weight"]
        largest, row = dense.shape[-1], 0
        for _, channels, size in branches:
            right = int(np.ceil((largest - 1) / 2) - np.ceil((size - 1) / 2))
            dense[row : row + channels, :, largest - right :] = 0
            dense[row : row + channels, :, : largest - right - size] = 0
            row += channels
    return state


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("ecoscalenet")])
def test_ecoscalenet_equals_the_authors_implementation(name):
    case = CASES[name]
    model = create_model("ecoscalenet", n_channels=12, n_classes=6, kernel_sizes=case["kernel_sizes"])
    assert sum(p.numel() for p in model.parameters()) == case["parameters"]
    state = from_reference_state_dict(reference_state(case["shapes"]))
    state |= {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=True)
    np.testing.assert_allclose(logits_of_noise(model, case["length"]), case["logits"], rtol=1e-4)


@pytest.mark.parametrize("method", ["direct", "masked", "fourier"])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("os_cnn")])
def test_oscnn_equals_the_authors_implementation(name, method):
    case = CASES[name]
    model = create_model("oscnn", n_channels=12, n_classes=6, largest_kernel=case["largest_kernel"], method=method)
    stored = case["parameters_dense" if method == "masked" else "parameters_nonzero"]
    assert sum(p.numel() for p in model.parameters()) == stored
    model.load_dense_state_dict(zero_outside_branches(reference_state(case["shapes"]), case["layers"]))
    np.testing.assert_allclose(logits_of_noise(model, case["length"]), case["logits"], rtol=1e-4)


def test_dense_weights_outside_a_branch_are_refused():
    case = CASES["os_cnn_cap19"]
    model = create_model("oscnn", n_channels=12, n_classes=6, largest_kernel=19)
    with pytest.raises(Exception, match="not zero"):
        model.load_dense_state_dict(reference_state(case["shapes"]))
