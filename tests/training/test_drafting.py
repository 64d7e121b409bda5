"""A recipe drafted from a folder: what the records say, what follows from it, and what is refused or doubted."""

import re
import shutil

import numpy as np
import pytest

from ecoscale.datasets import open_collection, splits
from ecoscale.errors import DatasetError, RecipeError
from ecoscale.training import draft_recipe
from owned import made_signal, write_own, write_table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_own(tmp_path_factory.mktemp("own") / "wrist")


@pytest.fixture
def own(written, tmp_path):
    """A folder of 48 records of 24 subjects, each calm once and fast once."""
    return shutil.copytree(written, tmp_path / "wrist")


def drafted(folder, changes=None, run=None):
    return draft_recipe(open_collection(folder, "folder"), run or folder.parent / "run", changes)


def with_table(folder, edit):
    table = folder / "labels.csv"
    table.write_text(edit(table.read_text()))
    return folder


def test_the_recipe_reads_what_the_files_state(own):
    recipe = drafted(own).recipe
    preparation = recipe.preparation
    assert (recipe.name, recipe.findings, recipe.single_label) == ("wrist", ("calm", "fast"), True)
    assert (preparation.channels, preparation.units) == (("pulse", "move"), ("a.u.", "g"))
    assert (preparation.rate, preparation.window, preparation.highpass) == (20, 60, None)


def test_patients_are_dealt_whole_into_three_parts_with_each_class_in_proportion(own):
    draft = drafted(own)
    assert draft.counts == {
        "train": {"records": 34, "patients": 17, "calm": 17, "fast": 17},
        "validation": {"records": 8, "patients": 4, "calm": 4, "fast": 4},
        "test": {"records": 6, "patients": 3, "calm": 3, "fast": 3},
    }
    assert not splits.shared_patients(draft.collection.records, draft.parts)
    assert draft.kept_aside == f"--split {own.parent / 'run' / 'parts.csv'}"


def test_the_parts_are_stored_where_the_recipe_finds_them(own):
    draft = drafted(own)
    draft.write_parts()
    (train,) = draft.recipe.data.train
    assert splits.read_split(train.split) == draft.parts
    assert train.rows(draft.collection.records).sum() == 34


def test_of_few_patients_none_is_kept_aside_and_that_is_said(tmp_path):
    draft = drafted(write_own(tmp_path / "few", subjects=8))
    assert list(draft.counts) == ["train", "validation"]
    assert draft.kept_aside is None
    assert any("no records are kept aside to measure on" in doubt for doubt in draft.doubts)


def test_fewer_than_four_patients_cannot_be_split(tmp_path):
    with pytest.raises(DatasetError, match="3 patients with a label; expected at least 4, two to train on and two to"):
        drafted(write_own(tmp_path / "three", subjects=3))
    four = drafted(write_own(tmp_path / "four", subjects=4))
    assert {part: counts["patients"] for part, counts in four.counts.items()} == {"train": 2, "validation": 2}


def folds(folder, fold_of):
    lines = (folder / "labels.csv").read_text().splitlines()
    rows = [f"{line},{fold_of(number)}" for number, line in enumerate(lines[1:])]
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},fold", *rows]) + "\n")
    return folder


def test_folds_of_the_table_are_kept_the_last_to_measure_on_the_one_before_to_choose_on(own):
    draft = drafted(folds(own, lambda row: 1 + row // 12))
    (train,), (validation,) = draft.recipe.data.train, draft.recipe.data.validation
    assert (train.folds, validation.folds, draft.kept_aside) == ((1, 2), (3,), "--folds 4")
    draft.write_parts()
    assert not (own.parent / "run").exists()


def test_of_two_folds_the_last_chooses(own):
    draft = drafted(folds(own, lambda row: row // 24))
    assert (draft.recipe.data.train[0].folds, draft.recipe.data.validation[0].folds) == ((0,), (1,))
    assert draft.kept_aside is None


def test_a_patient_in_two_folds_is_refused(own):
    with pytest.raises(DatasetError, match=r"24 patients are in more than one part by the column fold, s00 among them"):
        drafted(folds(own, lambda row: row % 2))


def test_a_class_in_one_fold_alone_is_doubted(own):
    with_table(
        own,
        lambda text: text.replace("s00-0.csv,s00,calm", "s00-0.csv,s00,odd").replace(
            "s01-0.csv,s01,fast", "s01-0.csv,s01,odd"
        ),
    )
    doubts = drafted(folds(own, lambda row: 1 + row // 12)).doubts
    assert "class odd: all its records are in fold 1" in doubts
    assert "class odd: 2 records to train on, which is few" in doubts
    assert "class odd: no record of the validation part has it, so nothing will be known of it" in doubts


def test_a_patient_of_several_classes_is_named_where_most_have_one(own):
    assert drafted(own).doubts == ()
    with_table(
        own, lambda text: re.sub(r"(s(\d\d)-\d.csv,s\d\d),\w+", r"\1,of\2", text).replace("s03,of03", "s03,of04", 1)
    )
    doubts = drafted(own, {"findings": [f"of{number:02}" for number in range(24)]}).doubts
    assert "1 of 24 patients have records of several classes, s03 among them" in doubts


def test_records_without_a_class_are_in_no_part_and_counted(own):
    draft = drafted(with_table(own, lambda text: text.replace("s00-0.csv,s00,calm", "s00-0.csv,s00,")))
    assert "s00-0.csv" not in draft.parts
    assert "1 records have no label, or cannot be read, and are in no part" in draft.doubts


@pytest.mark.parametrize(
    ("lengths", "window", "said"),
    [
        ((60, 60, 60, 60), 60, []),
        ((30, 40, 40, 50), 50, ["3 records are shorter than the window and are padded"]),
        ((40, 40, 40, 200), 40, ["1 records are longer than the window: the middle of each is trained on"]),
    ],
)
def test_the_window_holds_the_longest_record_unless_that_is_an_exception(tmp_path, lengths, window, said):
    folder = write_own(tmp_path / "own", subjects=4, records=1)
    for path, length in zip(sorted(folder.glob("s*.csv")), lengths, strict=True):
        write_table(path, made_signal("calm", np.random.default_rng(0), length))
    draft = drafted(folder)
    assert draft.recipe.preparation.window == window
    found = [doubt for doubt in draft.doubts if "window" in doubt]
    assert len(found) == len(said)
    assert all(doubt.startswith(start) for doubt, start in zip(found, said, strict=True))


def test_records_of_another_rate_are_refused_until_one_is_chosen(own):
    write_table(own / "s00-0.csv", made_signal("calm", np.random.default_rng(0)), rate=40)
    with pytest.raises(DatasetError, match=r"differ in rate: 20 Hz in 47 .*; 40 Hz in 1 \(s00-0.csv\). .*--set prep"):
        drafted(own)
    preparation = drafted(own, {"preparation.rate": 10}).recipe.preparation
    assert (preparation.rate, preparation.window) == (10, 30)


def test_records_of_other_channels_are_refused_until_some_are_chosen(own):
    write_table(own / "s00-0.csv", np.random.default_rng(0).normal(size=(1, 60)), channels=["pulse"], units=["a.u."])
    with pytest.raises(DatasetError, match=r"differ in channels: move, pulse in 47 .*; pulse in 1 \(s00-0.csv\)"):
        drafted(own)
    assert drafted(own, {"preparation.channels": ["pulse"]}).recipe.preparation.units == ("a.u.",)
    with pytest.raises(DatasetError, match=r"s00-0.csv: no channel move; it has pulse"):
        drafted(own, {"preparation.channels": ["move"]})


def test_records_in_other_units_are_refused(own):
    write_table(own / "s00-0.csv", made_signal("calm", np.random.default_rng(0)), units=["mV", "g"])
    with pytest.raises(DatasetError, match=r"differ in the units of pulse, move: a.u., g in 47 .*; mV, g in 1 "):
        drafted(own)


def test_changes_reach_every_key_and_what_depends_on_them(own):
    recipe = drafted(
        own, {"preparation.window": 40, "optimisation.epochs": 3, "findings": ["fast", "calm"], "seed": 5}
    ).recipe
    assert (recipe.preparation.window, recipe.optimisation.epochs, recipe.seed) == (40, 3, 5)
    assert recipe.findings == ("fast", "calm")
    assert recipe.model.config["block_strides"] == (1, 2)  # 20 samples of field in eighths
    assert drafted(own, {"model.name": "inceptiontime"}).recipe.model.config == {}
    with pytest.raises(RecipeError, match=r"wrist: the recipe drafted from it: not a valid recipe\n.*epoch"):
        drafted(own, {"optimisation.epoch": 3})


def test_what_is_trained_on_may_be_said_otherwise(own):
    part = {"collection": "folder", "share": [0, 0.5]}
    draft = drafted(own, {"data.train": [part]})
    assert (draft.parts, draft.counts, draft.kept_aside) == (None, {}, None)
    assert draft.recipe.data.train[0].share == (0, 0.5)


def test_another_seed_deals_other_parts(own):
    assert drafted(own, {"seed": 1}).parts != drafted(own).parts
    assert drafted(own).parts == drafted(own).parts


def test_columns_of_ones_and_zeros_make_a_recipe_of_findings(tmp_path):
    folder = write_own(tmp_path / "own")
    lines = (
        (folder / "labels.csv")
        .read_text()
        .replace("label", "fast,restless")
        .replace("calm", "0,0")
        .replace("fast\n", "1,0\n")
    )
    (folder / "labels.csv").write_text("path,subject,fast,restless\n" + lines.partition("\n")[2])
    draft = drafted(folder)
    assert (draft.recipe.single_label, draft.recipe.findings) == (False, ("fast", "restless"))
    assert "label restless: no record to train on has it, so it will not be told" in draft.doubts


def test_a_folder_of_ecgs_is_prepared_as_ecgs_are(tmp_path):
    from ecoscale.datasets.layouts import write_wfdb
    from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection

    write_wfdb(tmp_path / "ward", synthetic_collection(30, seed=1, prevalence=EVEN_PREVALENCE))
    recipe = drafted(tmp_path / "ward").recipe
    assert recipe.preparation.is_ecg
    assert (recipe.preparation.rate, recipe.preparation.highpass, len(recipe.preparation.leads)) == (100, 0.5, 12)
    assert recipe.model.name == "ecoscalenet_lean_tiny"
    assert (recipe.augmentation.noise, recipe.single_label) == (0.03, False)
    assert recipe.findings == ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")


def test_channels_of_one_unit_share_a_scale_and_those_of_another_have_their_own(own, tmp_path):
    from ecoscale.training.data import ECGData

    draft = drafted(own)
    draft.write_parts()
    mean, scale = ECGData(draft.recipe, {"folder": own}, tmp_path / "stores").statistics()
    assert mean == pytest.approx((0, 1), abs=2)
    assert scale == pytest.approx((74, 0.01), rel=0.1)
