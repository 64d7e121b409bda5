"""Fine-tuning: a user's folder with other findings, one lead and another rate becomes a bundle, honestly measured."""

import csv

import numpy as np
import pytest

from ecoscale import read_ecg
from ecoscale.datasets.splits import read_split
from ecoscale.errors import EcoscaleError, RecipeError
from ecoscale.evaluation import macro_auroc
from ecoscale.finetuning import ANSWERS, RECIPE, SPLIT, finetune
from ecoscale.inference import Classifier
from ecoscale.training import Run, load_recipe
from ecoscale.training.pretrained import open_pretrained

ONCE = {"optimisation.epochs": 1}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("tuned") / "mine"


@pytest.fixture(scope="module")
def tuned(tiny_bundle, watch, out):
    """The tiny bundle, fine-tuned on the watch's records for an epoch, beside networks from scratch."""
    return finetune(tiny_bundle.path, watch, out, parts=3, changes=ONCE, beside_scratch=True)


def test_the_bundle_reads_one_lead_and_tells_the_users_findings(tuned, watch, tiny_bundle):
    manifest = tuned.bundle.manifest
    assert manifest.preparation == tiny_bundle.manifest.preparation.model_copy(
        update={"channels": ("I",), "units": ("mV",)}
    )
    assert [label.name for label in manifest.labels] == ["AF", "wide_qrs"]
    assert tuned.kept == ("AF",)
    assert tuned.bundle.weights is not None
    assert any("the network reads I, 11 fewer leads than tiny 7 does" in remark for remark in tuned.remarks)
    ecg = read_ecg(watch / "0.npy", rate=250, unit="mV", leads=["I"], fewer_leads=True)
    assert set(Classifier(tuned.bundle, threads=1).predict(ecg).findings) == {"AF", "wide_qrs"}


def test_each_record_is_told_by_a_network_that_has_not_seen_its_patient(tuned, out):
    part_of = read_split(out / SPLIT)
    told = set()
    for part in "123":
        with (out / "runs" / f"without-{part}" / "split.csv").open(newline="") as stream:
            seen = {(row["record"], row["patient"].removeprefix("folder:")) for row in csv.DictReader(stream)}
        own = {record for record, other in part_of.items() if other == part}
        assert not own & {record for record, _ in seen}
        patients = {f"patient-{int(record.removesuffix('.npy')) // 2}" for record in own}
        assert not patients & {patient for _, patient in seen}
        told |= own
    assert len(told) == 36


def test_the_figures_are_of_these_answers(tuned, out):
    with np.load(out / ANSWERS) as answers:
        expected = macro_auroc(answers["labels"], answers["logits"])
        assert len(answers["records"]) == tuned.evaluation.n_records == 36
    assert tuned.evaluation.metrics.macro["auroc"] == pytest.approx(expected, abs=1e-6)
    assert tuned.evaluation.n_patients == 18
    assert tuned.evaluation.cross_fitted is not None
    said = tuned.bundle.manifest.thresholds_chosen
    assert "36 records of the folder, each told by that one of 3 networks trained alike which has not seen" in said
    card = (tuned.bundle.path / "README.md").read_text()
    assert "Training began from: tiny 7." in card
    assert "and so was the epoch" not in card


def test_from_scratch_it_is_the_same_network_for_twice_the_epochs_on_the_records_own_scale(tuned, out):
    scratch, own = Run(out / "runs" / "scratch-without-1"), Run(out / "runs" / "without-1")
    assert scratch.recipe.model.pretrained is None
    assert scratch.recipe.model.config == own.recipe.model.config
    assert (len(scratch.history), len(own.history)) == (2, 1)
    assert scratch.preparation.scale != own.preparation.scale
    assert scratch.recipe.data == own.recipe.data
    difference = tuned.difference.macro["auroc"]
    expected = tuned.evaluation.metrics.macro["auroc"] - tuned.from_scratch.metrics.macro["auroc"]
    assert difference.estimate == pytest.approx(expected, abs=1e-6)


def test_the_recipe_can_be_changed_and_trained_again(tuned, out):
    recipe = load_recipe(out / RECIPE)
    assert recipe == Run(out / "runs" / "final").recipe
    assert len(recipe.data.train) == 2


def test_what_has_ended_is_not_repeated(tuned, tiny_bundle, watch, out):
    written = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("history.csv")}
    again = finetune(tiny_bundle.path, watch, out, parts=3, changes=ONCE, beside_scratch=True, resume=True)
    assert again.evaluation.to_dict() == tuned.evaluation.to_dict()
    assert written == {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("history.csv")}
    with pytest.raises(RecipeError, match=r"recipe.yaml: differs from what is asked for now"):
        finetune(tiny_bundle.path, watch, out, parts=4, changes=ONCE, resume=True)
    with pytest.raises(RecipeError, match=r"holds a fine-tuning already; go on with it \(--resume\)"):
        finetune(tiny_bundle.path, watch, out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"findings": ["AF", "fever"]}, "the table has no labels fever; it has AF, wide_qrs"),
        ({"parts": 2}, "parts is 2; expected at least 3"),
        ({"parts": 15}, r"AF: \d+ patients with it among 36 records; expected at least 15"),
        ({"leads": ["I", "V9"]}, "unknown lead 'V9' in the leads given"),
        ({"resume": True}, "nothing to resume here"),
        ({"changes": {"optimisation.epoch": 3}}, "optimisation.epoch: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused_before_training(tiny_bundle, watch, tmp_path, options, said):
    with pytest.raises(EcoscaleError, match=said):
        finetune(tiny_bundle.path, watch, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "runs").exists()


def test_a_table_of_another_name_is_named_itself(tiny_bundle, watch, tmp_path):
    table = watch / "other.csv"
    table.write_text((watch / "labels.csv").read_text().replace("wide_qrs", "broad", 1))
    try:
        with pytest.raises(RecipeError, match="it has AF, broad"):
            finetune(tiny_bundle.path, table, tmp_path / "out", findings=["wide_qrs"])
    finally:
        table.unlink()


def test_weights_alone_do_not_say_how_to_be_used(trained_run, watch, tmp_path):
    path = tmp_path / "weights.ckpt"
    path.write_bytes((trained_run.folder / "checkpoints" / "best.ckpt").read_bytes())
    with pytest.raises(RecipeError, match=r"only weights; fine-tuning begins from a bundle or a run"):
        finetune(path, watch, tmp_path / "out")


def test_what_was_tuned_may_be_tuned_again_and_remembers_all_that_was_seen(tuned):
    base = open_pretrained(tuned.bundle.path)
    assert base.outputs == ("AF", "wide_qrs")
    assert {part["collection"] for part in base.data} == {"folder", "code15"}
