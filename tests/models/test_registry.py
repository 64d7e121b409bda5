"""Networks are made by name, and what cannot be made is refused with a hint."""

import pytest

from ecoscale.errors import ModelError
from ecoscale.models import create_model, describe_model, list_models


def test_networks_are_listed_by_pattern():
    assert {"ecoscalenet", "ecoscalenet_100hz", "oscnn", "oscnn_unbudgeted"} <= set(list_models())
    assert list_models("oscnn*") == ["oscnn", "oscnn_masked", "oscnn_residual", "oscnn_unbudgeted", "oscnn_uncapped"]
    assert list_models("transformer*") == []


@pytest.mark.parametrize("name", list_models())
def test_every_network_says_what_it_is_in_one_line(name):
    assert len(describe_model(name)) > 20
    assert "\n" not in describe_model(name)
    assert len(describe_model(name)) < 120


def test_an_unknown_name_is_answered_with_close_ones():
    with pytest.raises(ModelError, match=r"no model 'ecoscalnet'; did you mean ecoscalenet"):
        create_model("ecoscalnet", 12, 6)
    with pytest.raises(ModelError, match="did you mean oscnn"):
        describe_model("os-cnn")


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(ModelError, match=r"there are ecoscalenet, ecoscalenet_100hz, .*, xresnet1d50"):
        create_model("transformer", 12, 6)


@pytest.mark.parametrize("name", list_models())
def test_an_unknown_option_is_answered_with_the_known_ones(name):
    with pytest.raises(ModelError, match=f"{name} has no option kernel_size; it takes .*dropout"):
        create_model(name, 12, 6, kernel_size=3)


@pytest.mark.parametrize(("leads", "classes", "what"), [(0, 6, "n_channels is 0"), (12, -1, "n_classes is -1")])
def test_no_leads_or_no_classes_are_refused_by_name(leads, classes, what):
    with pytest.raises(ModelError, match=what):
        create_model("oscnn", leads, classes)
