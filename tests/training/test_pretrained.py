"""What training begins from: network, preparation and weights of a bundle, fitted to other findings and leads."""

import shutil

import numpy as np
import pytest
import torch

from ecoscale.bundle import Bundle, write_bundle
from ecoscale.ecg import LEADS
from ecoscale.errors import RecipeError
from ecoscale.export import HALVING_TOLERANCE, export_weights
from ecoscale.models import create_model, list_models
from ecoscale.models.pretrained import read_weights
from ecoscale.training import Recipe, Run, load_recipe, train
from ecoscale.training.module import TrainingModule
from ecoscale.training.pretrained import Pretrained, load_pretrained, open_pretrained

# Those of more than a hundred million weights, or with thousands of kernels, take long to make.
MODELS = [name for name in list_models() if name not in ("oscnn_unbudgeted", "oscnn_uncapped")]
SIX = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")


def content(source, *, preparation=None, config=None, **keys):
    """A recipe that begins from `source`."""
    return {
        "name": "own",
        "findings": ["wide_qrs", "AF", "SB"],
        "model": {"pretrained": str(source)} | ({} if config is None else {"config": config}),
        "preparation": preparation or {},
        "data": {
            "train": [{"collection": "folder", "share": [0, 0.5]}],
            "validation": [{"collection": "folder", "share": [0.5, 1]}],
        },
        "optimisation": {"epochs": 2, "batch_size": 8},
    } | keys


@pytest.fixture
def recipe(tiny_bundle):
    def made(source=tiny_bundle.path, **keys):
        return Recipe.model_validate(content(source, **keys))

    return made


def logits(network, x):
    with torch.inference_mode():
        return network.eval()(x)


def test_the_bundles_weights_give_the_logits_of_its_onnx(tiny_bundle):
    signal, expected = tiny_bundle.self_test()
    network = tiny_bundle.manifest.network
    loaded = create_model(network["model"], 12, 6, pretrained=tiny_bundle.weights, **network["config"])
    np.testing.assert_allclose(logits(loaded, torch.from_numpy(signal)), expected, atol=HALVING_TOLERANCE)


def test_matrices_are_halved_unless_that_moves_the_logits(tiny_bundle, trained_run, tmp_path):
    kinds = {key: value.dtype for key, value in read_weights(tiny_bundle.weights).items()}
    assert kinds["stem.0.weight"] == kinds["head.weight"] == torch.float16
    assert kinds["head.bias"] == kinds["stem.1.running_var"] == torch.float32
    network = trained_run.load_network()
    signal, _ = tiny_bundle.self_test()
    with torch.no_grad():
        network.head.weight *= 1000
    (tmp_path / "weights.safetensors").write_bytes(export_weights(network, signal))
    assert read_weights(tmp_path / "weights.safetensors")["head.weight"].dtype == torch.float32


def test_network_and_preparation_come_from_the_bundle(recipe, tiny_bundle):
    made, manifest = recipe(), tiny_bundle.manifest
    assert (made.model.name, made.model.config) == (manifest.network["model"], manifest.network["config"])
    assert made.preparation == manifest.preparation
    other = recipe(preparation={"window": 500, "overlap": 0.5, "leads": ["II", "V1"]}, config={"dropout": 0.5})
    assert (other.preparation.window, other.preparation.leads) == (500, ("II", "V1"))
    assert other.preparation.scale == manifest.preparation.scale
    assert other.model.config == manifest.network["config"] | {"dropout": 0.5}


def test_a_run_and_its_checkpoint_may_stand_for_the_bundle(recipe, trained_run):
    for source in (trained_run.folder, trained_run.folder / "checkpoints" / "best.ckpt"):
        made = recipe(source)
        assert made.model.model_dump(exclude={"pretrained"}) == trained_run.recipe.model.model_dump(
            exclude={"pretrained"}
        )
        assert made.preparation == trained_run.preparation
        assert open_pretrained(source).outputs == SIX


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"preparation": {"rate": 250}}, r"preparation.rate is 250; .* was trained at 100.0: leave it out"),
        ({"preparation": {"highpass": None}}, r"preparation.highpass is None; .* was trained at 0.5"),
        ({"preparation": {"scale": 0.5}}, r"preparation.scale is 0.5; .* leave it out"),
        ({"config": {"width": 16}}, r"model.config: width is 16; .* has 8: leave it out"),
        ({"config": {"dilated": True}}, r"model.config: dilated is True; .* has the default"),
        ({"model": {"name": "oscnn"}}, r"model.name is oscnn; .* is a ecoscalenet_100hz"),
        ({"model": {"pretrained": "nowhere"}}, r"model.pretrained: nowhere: neither a bundle, a run's folder nor"),
    ],
)
def test_what_contradicts_the_bundle_is_refused_by_key(tiny_bundle, tmp_path, keys, said):
    import yaml

    whole = content(tiny_bundle.path, **{key: value for key, value in keys.items() if key != "model"})
    whole["model"] |= keys.get("model", {})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole))
    with pytest.raises(RecipeError, match=said):
        load_recipe(path)


def test_a_lead_that_the_bundle_does_not_read_is_refused(recipe, tiny_bundle, tmp_path):
    one = shutil.copytree(tiny_bundle.path, tmp_path / "one")
    base = open_pretrained(one)
    assert base.preparation is not None
    signal, expected = tiny_bundle.self_test()
    manifest = tiny_bundle.manifest.model_copy(
        update={"preparation": base.preparation.model_copy(update={"channels": ("I",), "units": ("mV",)})}
    )
    files = (tiny_bundle.model.read_bytes(), {"signal": signal, "logits": expected}, "card")
    write_bundle(one, manifest, *files, weights=base.weights.read_bytes())
    with pytest.raises(ValueError, match=r"leads: V1: .* reads I and has no weights for another lead"):
        recipe(one, preparation={"leads": ["I", "V1"]})


def test_a_bundle_without_weights_says_what_to_do(tiny_bundle, tmp_path):
    signal, expected = tiny_bundle.self_test()
    files = (tiny_bundle.model.read_bytes(), {"signal": signal, "logits": expected}, "card")
    old = write_bundle(tmp_path / "old", tiny_bundle.manifest, *files)
    with pytest.raises(RecipeError, match=r"old: this bundle holds no weights to train on; pack its run again"):
        open_pretrained(old.path)


def test_findings_that_the_bundle_tells_begin_with_its_logits_and_new_ones_anew(recipe, tiny_bundle):
    module = TrainingModule(made := recipe(), made.preparation)
    fresh = module.network.head.weight.detach().clone()
    module.begin_from(open_pretrained(tiny_bundle.path))
    signal, expected = tiny_bundle.self_test()
    found = logits(module.evaluated_network, torch.from_numpy(signal))
    np.testing.assert_allclose(found[:, 1:], expected[:, [SIX.index("AF"), SIX.index("SB")]], atol=HALVING_TOLERANCE)
    assert torch.equal(module.network.head.weight[0], fresh[0])


def test_the_average_of_the_weights_begins_there_too(tiny_bundle, recipe):
    made = recipe(optimisation={"ema_decay": 0.9})
    module = TrainingModule(made, made.preparation)
    module.begin_from(open_pretrained(tiny_bundle.path))
    x = torch.randn(2, 12, 800)
    assert module.evaluated_network is not module.network
    torch.testing.assert_close(logits(module.evaluated_network, x), logits(module.network, x))


@pytest.mark.parametrize("leads", [("I",), ("V1", "II"), tuple(reversed(LEADS))])
def test_fewer_leads_are_as_if_the_others_were_zero(tiny_bundle, recipe, leads):
    made = recipe(findings=list(SIX), preparation={"leads": list(leads)})
    module = TrainingModule(made, made.preparation)
    base = open_pretrained(tiny_bundle.path)
    module.begin_from(base)
    whole = create_model(made.model.name, 12, 6, pretrained=base.weights, **made.model.config)
    x = torch.zeros(2, 12, 800)
    rows = [LEADS.index(lead) for lead in leads]
    x[:, rows] = torch.randn(2, len(leads), 800)
    torch.testing.assert_close(logits(module.network, x[:, rows]), logits(whole, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_can_be_given_fewer_leads(name, trained_run, tmp_path):
    network = create_model(name, 12, 6)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    base = Pretrained("base", "base", tmp_path / "weights.pt", name, {}, trained_run.preparation, SIX)
    fewer = create_model(name, 2, 6)
    load_pretrained(fewer, base, SIX, ("V2", "I"))
    state = network.state_dict()
    for key, value in fewer.state_dict().items():
        expected = state[key]
        torch.testing.assert_close(value, expected if value.shape == expected.shape else expected[:, [7, 0]])


def test_the_features_may_learn_more_slowly_than_the_head(recipe, watch, tmp_path):
    made = recipe(
        preparation={"leads": ["I"]},
        findings=["AF", "wide_qrs"],
        optimisation={"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "features_factor": 0.1},
    )
    run = train(made, {"folder": watch}, tmp_path / "run", stores=tmp_path / "stores", show_progress=False)
    state = torch.load(run.last_checkpoint, weights_only=True)
    groups = state["optimizer_states"][0]["param_groups"]
    assert [(group["max_lr"], group["weight_decay"]) for group in groups] == [
        *((pytest.approx(0.001), 0.01), (pytest.approx(0.001), 0.0)),
        *((0.01, 0.01), (0.01, 0.0)),
    ]
    assert [len(group["params"]) for group in groups[2:]] == [1, 1]


def test_a_run_outlives_its_bundle_keeps_its_scale_and_begins_there_again_until_an_epoch_has_ended(
    recipe, tiny_bundle, watch, tmp_path
):
    source = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    made = recipe(source, preparation={"leads": ["I"]}, findings=["AF", "wide_qrs"])

    def go(name, **options):
        return train(
            made, {"folder": watch}, tmp_path / name, stores=tmp_path / "stores", show_progress=False, **options
        )

    run = go("run")
    assert run.preparation.scale == tiny_bundle.manifest.preparation.scale
    assert run.environment["pretrained"]["title"] == "tiny 7"
    killed = shutil.copytree(run.folder, tmp_path / "killed", ignore=shutil.ignore_patterns("checkpoints", "*.npz"))
    (killed / "history.csv").unlink()

    def scores(run):
        return [row["train_loss"] for row in run.history]

    assert scores(go("killed", resume=True)) == scores(run)
    shutil.rmtree(source)
    x = torch.randn(2, 1, 800)
    kept = Run(run.folder)
    assert kept.recipe == made
    assert torch.isfinite(logits(kept.load_network(), x)).all()
    with pytest.raises(RecipeError, match="neither a bundle, a run's folder nor a file of weights"):
        go("again")
    assert Bundle.load(tiny_bundle.path)
