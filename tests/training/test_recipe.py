"""Recipes: read whole, refused with the file and the key."""

import pytest
import yaml

from ecoscale.datasets import list_collections
from ecoscale.errors import RecipeError
from ecoscale.training import Recipe, load_recipe
from ecoscale.training.recipe import packaged_recipes

# A base is what others extend, and no recipe yet.
RECIPES = {name: path for name, path in packaged_recipes().items() if not name.endswith("/base")}

SHORTEST = """
name: shortest
model: {name: oscnn}
data:
  train: [{collection: ptbxl, folds: [1, 2]}]
  validation: [{collection: ptbxl, folds: [9]}]
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_what_is_left_out_has_defaults(write):
    recipe = load_recipe(write(SHORTEST))
    assert recipe.findings == ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
    assert (recipe.preparation.rate, recipe.preparation.window, recipe.preparation.highpass) == (100, 1000, 0.5)
    assert recipe.optimisation.schedule == "one_cycle"
    assert recipe.optimisation.patience is None
    assert set(recipe.augmentation.model_dump(exclude={"shortest_crop"}).values()) == {0.0, None}
    assert recipe.collections == ("ptbxl",)
    assert recipe.seed == 0


@pytest.mark.parametrize("path", RECIPES.values(), ids=RECIPES)
def test_every_recipe_of_the_repository_is_valid_and_survives_its_own_yaml(path, write):
    recipe = load_recipe(path)
    assert load_recipe(write(recipe.to_yaml())) == recipe


def test_the_yaml_of_a_recipe_holds_the_defaults_too(tiny_recipe, write):
    content = yaml.safe_load(tiny_recipe.to_yaml())
    assert content["optimisation"]["weight_decay"] == 0.01
    assert Recipe.model_validate(content).to_yaml() == tiny_recipe.to_yaml()


def test_a_change_replaces_a_key_where_it_lies(write):
    recipe = load_recipe(write(SHORTEST), optimisation__epochs=3, seed=7, model__config={"largest_kernel": 7})
    assert (recipe.optimisation.epochs, recipe.seed, recipe.model.config) == (3, 7, {"largest_kernel": 7})


def test_a_change_inside_what_is_no_mapping_is_refused(write):
    with pytest.raises(RecipeError, match=r"recipe.yaml: optimisation: expected a mapping, found 3"):
        load_recipe(write(SHORTEST + "optimisation: 3\n"), optimisation__epochs=3)


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("epochs: 3", r"epochs: Extra inputs are not permitted \(found 3\)"),
        ("optimisation: {epoch: 3}", r"optimisation.epoch: Extra inputs are not permitted \(found 3\)"),
        ("optimisation: {epochs: many}", r"optimisation.epochs: .*integer.* \(found 'many'\)"),
        ("optimisation: {epochs: 0}", r"optimisation.epochs: .* greater than or equal to 1 \(found 0\)"),
        ("optimisation: {schedule: step}", r"optimisation.schedule: .*'one_cycle' or 'cosine' \(found 'step'\)"),
        ("optimisation: {ema_decay: 1}", r"optimisation.ema_decay: .* less than 1"),
        ("optimisation: {warmup: 1}", r"optimisation.warmup: .* less than 1"),
        ("augmentation: {crop: 1.5}", r"augmentation.crop: .* less than or equal to 1 \(found 1.5\)"),
        ("optimisation: {precision: fp8}", r"optimisation.precision: .*'32' or 'bf16' \(found 'fp8'\)"),
        ("augmentation: {excerpt: 0}", r"augmentation.excerpt: .* greater than or equal to 1 \(found 0\)"),
        ("augmentation: {excerpt: 2000}", "augmentation.excerpt is 2000 samples; the window has 1000"),
        ("preparation: {rate: -100}", r"preparation.rate: .* greater than 0"),
        ("preparation: {leads: [I, X]}", r"preparation: leads: unknown lead X"),
        ("seed: -1", r"seed: .* greater than or equal to 0"),
        ("findings: []", "findings: .*at least 1"),
        ("findings: [AF, flutter]", "findings: unknown flutter; there are 1dAVb, RBBB, LBBB, SB, ST, AF"),
        ("findings: [AF, SB, AF]", "findings: one is named twice in AF, SB, AF"),
        ("model: {name: resnet}", "model.name: no model 'resnet'; there are ecoscalenet"),
        ("auxiliary: {scheme: SCP, codes: []}", "auxiliary.codes: .*at least 1"),
        ("auxiliary: {scheme: ICD, codes: [I48]}", "auxiliary.scheme: no collection .* uses 'ICD'; they use SCP"),
        (
            "model: {name: oscnn, config: {depth: 3}}",
            "model.config: oscnn has no option depth; it takes largest_kernel",
        ),
        ("model: {name: ecoscalenet, config: {width: 7}}", "model.config: width 7: expected an even number"),
        ("model: {name: ecoscalenet, config: {width: wide}}", "model.config: "),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(write, addition, message):
    path = write(SHORTEST + addition + "\n")
    with pytest.raises(RecipeError, match=message) as refusal:
        load_recipe(path)
    assert str(refusal.value).startswith(f"{path}: not a valid recipe")


def test_labels_of_a_users_own_folder_may_be_findings_and_no_others(write):
    own = "findings: [AF, hyperkalaemia]\n" + SHORTEST
    folder = own.replace("{collection: ptbxl, folds: [9]}", "{collection: folder, share: [0, 1]}")
    assert load_recipe(write(folder)).findings == ("AF", "hyperkalaemia")
    with pytest.raises(RecipeError, match="findings: unknown hyperkalaemia; there are 1dAVb"):
        load_recipe(write(own))


def test_a_task_gives_its_classes_for_findings(write):
    recipe = load_recipe(write("task: superdiagnostic\n" + SHORTEST))
    assert recipe.findings == ("CD", "HYP", "MI", "NORM", "STTC")
    # As a run's folder holds it, both written out.
    assert load_recipe(write(recipe.to_yaml())) == recipe


def test_some_classes_of_a_task_may_be_chosen(write):
    assert load_recipe(write("task: form\nfindings: [PVC, QWAVE]\n" + SHORTEST)).findings == ("PVC", "QWAVE")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("task: everything", r"task: PTB-XL .* has no task 'everything'; there are all, diagnostic"),
        ("task: form\nfindings: [AF]", r"findings: task form has no class AF"),
    ],
)
def test_a_task_or_class_that_is_none_is_refused(write, lines, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(f"{lines}\n{SHORTEST}"))


def test_a_task_is_of_one_collection(write):
    two = SHORTEST.replace("{collection: ptbxl, folds: [9]}", "{collection: code15, share: [0, 1]}")
    with pytest.raises(RecipeError, match="task: rhythm is of one collection; data names ptbxl, code15"):
        load_recipe(write("task: rhythm\n" + two))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("{collection: ptbxl}", r"data.train.0: give one of folds, share, and split with its part"),
        (
            "{collection: ptbxl, folds: [1], share: [0, 1]}",
            r"data.train.0: give one of folds, share, and split with its part",
        ),
        ("{collection: code15, share: [0, 2]}", r"data.train.0.share.1: .* less than or equal to 1"),
        ("{collection: mimic, folds: [1]}", f"data: no collection 'mimic'; there are {', '.join(list_collections())}"),
        ("{folds: [1]}", r"data.train.0.collection: Field required"),
    ],
)
def test_a_part_that_says_too_little_or_too_much_is_named(write, part, message):
    path = write(SHORTEST.replace("{collection: ptbxl, folds: [1, 2]}", part))
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_all_that_is_wrong_is_said_at_once(write):
    with pytest.raises(RecipeError, match=r"(?s)optimisation.epochs.*sead"):
        load_recipe(write(SHORTEST + "optimisation: {epochs: x}\nsead: 1\n"))


def test_what_is_missing_is_named(write):
    with pytest.raises(RecipeError, match=r"(?s)model: Field required.*data: Field required"):
        load_recipe(write("name: nothing"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [", "recipe.yaml: not valid YAML"), ("- 1", "expected a mapping with the keys name,"), ("", "mapping")],
)
def test_what_is_no_recipe_at_all_is_refused_with_its_file(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"none.yaml: cannot be read \(No such file"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match=r"binary.yaml: not text"):
        load_recipe(tmp_path / "binary.yaml")


class TestExtends:
    @pytest.fixture
    def base(self, tmp_path):
        (tmp_path / "base.yaml").write_text(SHORTEST + "optimisation: {epochs: 7, batch_size: 32}\nseed: 3\n")
        return tmp_path

    def test_what_a_recipe_does_not_say_is_taken_from_the_one_that_it_extends(self, base):
        (base / "mine.yaml").write_text("extends: base.yaml\nname: mine\noptimisation: {epochs: 9}\n")
        recipe, extended = load_recipe(base / "mine.yaml"), load_recipe(base / "base.yaml")
        assert (recipe.name, recipe.seed) == ("mine", 3)
        assert (recipe.optimisation.epochs, recipe.optimisation.batch_size) == (9, 32)
        assert recipe.data == extended.data
        # What is printed and stored is whole.
        assert "extends" not in recipe.to_yaml()

    def test_lists_are_replaced_and_so_is_another_network(self, base):
        model = "model: {name: oscnn, config: {largest_kernel: 7}}"
        (base / "other.yaml").write_text(f"extends: base.yaml\n{model}\nfindings: [AF]\n")
        (base / "third.yaml").write_text("extends: other.yaml\nmodel: {name: ecoscalenet_100hz}\n")
        assert load_recipe(base / "other.yaml").model.config == {"largest_kernel": 7}
        third = load_recipe(base / "third.yaml")
        assert (third.model.config, third.findings) == ({}, ("AF",))

    def test_it_is_found_from_the_recipes_own_folder(self, base, monkeypatch):
        (base / "deep").mkdir()
        (base / "deep" / "mine.yaml").write_text("extends: ../base.yaml\nseed: 5\n")
        monkeypatch.chdir("/")
        assert load_recipe(base / "deep" / "mine.yaml").seed == 5

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("extends: nowhere.yaml", r"nowhere.yaml: cannot be read"),
            ("extends: [base.yaml]", r"mine.yaml: extends: found \['base.yaml'\]; expected the path of a recipe"),
            ("extends: mine.yaml", r"mine.yaml: extends: mine.yaml extends this recipe in turn"),
            ("extends: base.yaml\nsead: 1", r"mine.yaml: not a valid recipe\n  sead: Extra inputs"),
        ],
    )
    def test_what_cannot_be_extended_is_refused(self, base, line, message):
        (base / "mine.yaml").write_text(line + "\n")
        with pytest.raises(RecipeError, match=message):
            load_recipe(base / "mine.yaml")

    def test_a_circle_is_refused(self, base):
        (base / "a.yaml").write_text("extends: b.yaml\n")
        (base / "b.yaml").write_text("extends: a.yaml\n")
        with pytest.raises(RecipeError, match=r"b.yaml: extends: a.yaml extends this recipe in turn"):
            load_recipe(base / "a.yaml")
