"""A network designed for a receptive field and a budget: it fits, it covers, and it is the widest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.errors import ModelError
from ecoscale.models import create_model
from ecoscale.models.design import design_network


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@settings(deadline=None, max_examples=15)
@given(
    receptive_field=st.integers(1, 700),
    budget=st.integers(70_000, 3_000_000),  # the narrowest with primes to 700 has 60,120
    kernels=st.sampled_from(["radix", "dilated", "prime", "none"]),
)
def test_the_widest_network_within_the_budget_is_found(receptive_field, budget, kernels):
    found = design_network(receptive_field, budget, kernels=kernels)
    assert parameters(found.build(12, 6)) == found.parameters <= budget
    wider = design_network(receptive_field, 10 * budget, kernels=kernels)
    assert wider.config["width"] > found.config["width"]
    one_wider = create_model("ecoscalenet", 12, 6, **found.config | {"width": found.config["width"] + 2})
    assert parameters(one_wider) > budget or kernels in ("radix", "dilated")  # whose kernels depend on the width


@pytest.mark.parametrize("kernels", ["radix", "dilated"])
def test_every_stage_covers_what_it_still_has_to_see(kernels):
    for stage in design_network(512, 500_000, kernels=kernels).stages:
        assert stage.gap_free == stage.longest
        assert stage.gap_free * stage.stride >= 512


def test_primes_cover_what_the_cap_rule_gives_them():
    stages = design_network(512, 600_000, kernels="prime").stages
    assert [(stage.gap_free, stage.longest) for stage in stages] == [(54, 62), (26, 26), (14, 14), (6, 6)]
    assert [stage.stride for stage in stages] == [8, 16, 32, 64]


def test_a_network_without_blocks_has_none():
    stages = design_network(512, 300_000, kernels="none").stages
    assert all(stage.layers == () and stage.weights == 0 for stage in stages)


def test_options_reach_the_network():
    found = design_network(128, 300_000, n_channels=1, n_classes=2, identity_shortcut=True)
    assert found.config["identity_shortcut"] is True
    assert found.build(1, 2).head.out_features == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((512, 1000), r"narrowest network \(width 4\) has [\d,]+ parameters, above the budget of 1,000"),
        ((0, 500_000), "receptive field 0"),
        ((512, 500_000, "fibonacci"), "kernels 'fibonacci'; expected one of radix, dilated, prime, none"),
    ],
)
def test_what_cannot_be_designed_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ModelError, match=message):
        design_network(*arguments[:2], **({"kernels": arguments[2]} if len(arguments) > 2 else {}))
