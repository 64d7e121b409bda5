"""Protocols: what comes with ecoscale is whole, and what is wrong with one is named."""

import shutil

import pytest
import yaml

from ecoscale.errors import RecipeError
from ecoscale.reproduction import list_protocols, load_protocol, make_plan
from ecoscale.reproduction.comparison import recipe_cost
from ecoscale.reproduction.protocol import differing_keys


@pytest.fixture
def own(tmp_path):
    """A copy of the CODE-15% protocol with keys of its protocol.yaml replaced."""

    def made(**changes):
        folder = tmp_path / "mine"
        shutil.copytree(list_protocols()["code15"], folder, dirs_exist_ok=True)
        path = folder / "protocol.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))
        return folder

    return made


@pytest.mark.parametrize("name", list_protocols())
def test_every_recipe_of_a_protocol_is_valid_and_reads_the_split_that_is_made(name, tmp_path):
    protocol = load_protocol(name)
    plan = make_plan(protocol, tmp_path)
    assert tuple(plan.recipes) == tuple(protocol.networks)
    assert plan.seeds == tuple(range(protocol.seeds))
    for recipe in plan.recipes.values():
        places = {part.split for part in (*recipe.data.train, *recipe.data.validation)}
        assert places == {tmp_path.resolve() / "split.csv"}
        assert {part.part for part in (*recipe.data.train, *recipe.data.validation)} == set(protocol.split.shares) - {
            protocol.test
        }


def test_the_networks_of_code15_are_the_published_ones_at_the_published_input(tmp_path):
    plan = make_plan(load_protocol("code15"), tmp_path)
    assert (plan.preparation.rate, plan.preparation.window, plan.preparation.highpass) == (400, 4096, None)
    parameters = {name: recipe_cost(recipe).parameters for name, recipe in plan.recipes.items()}
    assert parameters.pop("radix_small") < 2.1e6
    assert parameters == {
        "ecoscalenet": 10_516_934,
        "oscnn": 246_549,
        "oscnn_uncapped": 14_929_095,
        "oscnn_unbudgeted": 107_172_358,
    }
    assert plan.recipes["ecoscalenet"].model.config == {"dropout": 0.2}


def test_the_reference_of_the_external_test_has_a_figure_for_every_finding(tmp_path):
    protocol = load_protocol("code15")
    assert set(protocol.external.f1) == set(make_plan(protocol, tmp_path).shared.findings)


def test_a_change_may_be_of_all_networks_or_of_one(tmp_path):
    changes = {"oscnn:optimisation.epochs": 7, "optimisation.epochs": 3, "oscnn:model.config.largest_kernel": 13}
    plan = make_plan(load_protocol("code15"), tmp_path, models=["oscnn", "ecoscalenet"], seeds=2, changes=changes)
    assert {name: recipe.optimisation.epochs for name, recipe in plan.recipes.items()} == {"ecoscalenet": 3, "oscnn": 7}
    assert plan.recipe("oscnn", 1).seed == 1
    as_published = make_plan(load_protocol("code15"), tmp_path, models=["oscnn"])
    assert differing_keys(plan.recipe("oscnn", 1), as_published.recipe("oscnn", 0)) == {
        "optimisation.epochs": 7,
        "model.config.largest_kernel": 13,
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"models": ["resnet"]}, "code15 has no network resnet; it has ecoscalenet, radix_small"),
        ({"changes": {"resnet:seed": 1}}, "code15 has no network resnet"),
        ({"changes": {"optimisation.epoch": 1}}, "optimisation.epoch: Extra inputs"),
        ({"changes": {"oscnn:preparation.rate": 100}}, "preparation differs from that of .*ecoscalenet.yaml"),
    ],
)
def test_what_a_plan_cannot_be_is_named(tmp_path, asked, said):
    with pytest.raises(RecipeError, match=said):
        make_plan(load_protocol("code15"), tmp_path, **asked)


def test_a_protocol_may_lie_in_a_folder_of_ones_own(own):
    protocol = load_protocol(own(title="Mine", seeds=1))
    assert (protocol.name, protocol.title, protocol.seeds) == ("mine", "Mine", 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"collection": "nothing"}, "no collection 'nothing'"),
        ({"test": "holdout"}, "test: the split has no part 'holdout'; it has "),
        ({"networks": {"resnet": {"title": "A"}, "ecoscalenet": {"title": "B"}}}, "resnet: no recipe of this name in"),
        ({"networks": {"oscnn": {"title": "A"}}}, "claims.network: no network 'ecoscalenet'"),
        ({"epochs": 3}, r"protocol.yaml: epochs: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_with_a_protocol_is_named(own, changes, said):
    with pytest.raises(RecipeError, match=said):
        load_protocol(own(**changes))


def test_a_protocol_that_is_not_there_is_answered_by_those_there_are(tmp_path):
    with pytest.raises(RecipeError, match=r"protocol\.yaml: not found; give one of code15, or a folder"):
        load_protocol(tmp_path / "code16")


@pytest.mark.parametrize("text", ["a: [", "- a"])
def test_a_protocol_that_is_no_mapping_is_refused(own, text):
    folder = own()
    (folder / "protocol.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"protocol\.yaml: "):
        load_protocol(folder)
