"""Weights go into a network whole or not at all, and the error says what does not fit."""

import pytest
import torch

from ecoscale.errors import ModelError
from ecoscale.models import create_model

CONFIG = {"width": 8, "kernel_sizes": [[1, 2], [1, 2], [1], [1]]}


@pytest.fixture
def network():
    torch.manual_seed(1)
    return create_model("ecoscalenet", 3, 4, **CONFIG).eval()


@pytest.fixture
def path(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def logits(network, x):
    with torch.inference_mode():
        return network.eval()(x)


def test_a_state_dict_gives_the_same_network(network, path):
    x = torch.randn(2, 3, 100)
    loaded = create_model("ecoscalenet", 3, 4, pretrained=path, **CONFIG)
    torch.testing.assert_close(logits(loaded, x), logits(network, x), rtol=0, atol=0)


def test_a_checkpoint_of_a_run_gives_the_network_that_was_measured(trained_run):
    recipe, preparation = trained_run.recipe, trained_run.preparation
    path = trained_run.folder / "checkpoints" / "best.ckpt"
    loaded = create_model(
        recipe.model.name, preparation.n_channels, len(recipe.findings), pretrained=path, **recipe.model.config
    )
    x = torch.randn(2, 12, 800)
    torch.testing.assert_close(logits(loaded, x), logits(trained_run.load_network(), x), rtol=0, atol=0)


def test_another_number_of_classes_keeps_all_but_the_head(network, path):
    torch.manual_seed(2)
    loaded = create_model("ecoscalenet", 3, 9, pretrained=path, **CONFIG)
    x = torch.randn(2, 3, 100)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.eval().forward_features(x), network.forward_features(x), rtol=0, atol=0)
    assert logits(loaded, x).shape == (2, 9)


def test_a_new_head_leaves_the_features_alone(network):
    x = torch.randn(2, 3, 100)
    with torch.inference_mode():
        before = network.forward_features(x)
        network.reset_head(2)
        torch.testing.assert_close(network.forward_features(x), before, rtol=0, atol=0)
        torch.testing.assert_close(network.forward_head(before), network(x))
    assert network.n_classes == 2
    with pytest.raises(ModelError, match="n_classes is 0"):
        network.reset_head(0)


@pytest.mark.parametrize(
    ("leads", "config", "message"),
    [
        (12, CONFIG, r"stem.0.weight is \(8, 3, 7\) there and \(8, 12, 7\) here"),
        (3, CONFIG | {"identity_shortcut": True}, r"stages.0.2.shortcut.0.weight is not this network's.* and \d+ more"),
        (3, CONFIG | {"norm_bottlenecks": True}, "reduce_norm.weight is missing"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(path, leads, config, message):
    with pytest.raises(ModelError, match=message) as caught:
        create_model("ecoscalenet", leads, 4, pretrained=path, **config)
    assert str(path) in str(caught.value)
    assert "give the name, the number of channels and the options" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 neither"])
def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken.pt: cannot be read as weights"):
        create_model("ecoscalenet", 3, 4, pretrained=path, **CONFIG)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "code.pt"
    torch.save({"x": print}, path)
    with pytest.raises(ModelError, match="cannot be read as weights"):
        create_model("ecoscalenet", 3, 4, pretrained=path, **CONFIG)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)]])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ModelError, match="holds no state dict"):
        create_model("ecoscalenet", 3, 4, pretrained=path, **CONFIG)


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(ModelError, match="not found; give a checkpoint"):
        create_model("ecoscalenet", 3, 4, pretrained=tmp_path / "none.pt", **CONFIG)
