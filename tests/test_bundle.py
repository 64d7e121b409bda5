"""A bundle is whole, unchanged and computes what it did, or it is refused by the name of what is wrong."""

import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest

from ecoscale.bundle import Bundle, write_bundle
from ecoscale.errors import BundleError
from ecoscale.inference import Classifier

FILES = ("model.onnx", "selftest.npz", "README.md", "reliability.png", "weights.safetensors")


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    """A copy of the tiny bundle, to be tampered with."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "copy")


@pytest.fixture
def again(tiny_bundle, tmp_path):
    """The tiny bundle written again with something changed and its checksums right."""

    def written(*, model=None, self_test=None, **manifest):
        signal, logits = tiny_bundle.self_test()
        return write_bundle(
            tmp_path / "again",
            tiny_bundle.manifest.model_copy(update=manifest),
            tiny_bundle.model.read_bytes() if model is None else model,
            {"signal": signal, "logits": logits} if self_test is None else self_test,
            "card",
        )

    return written


def edit(folder, change):
    """Change the manifest's JSON as someone with an editor would."""
    content = json.loads((folder / "bundle.json").read_text())
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content))


def test_a_copy_is_as_good_as_the_original(copy, tiny_bundle):
    assert Bundle.load(copy).manifest == tiny_bundle.manifest
    assert Bundle.load(str(copy)).title == tiny_bundle.title


def test_a_bundle_is_five_files_that_cannot_run_code(tiny_bundle):
    assert sorted(path.name for path in tiny_bundle.path.iterdir()) == sorted(("bundle.json", *FILES))
    with np.load(tiny_bundle.path / "selftest.npz", allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays} == {"f"}
    assert set(tiny_bundle.manifest.files) == set(FILES)


def test_a_bundle_may_do_without_the_plot_and_the_weights(again, tiny_bundle):
    bundle = again()
    assert bundle.weights is None
    assert set(bundle.manifest.files) == {"model.onnx", "selftest.npz", "README.md"}
    signal, logits = tiny_bundle.self_test()
    np.testing.assert_allclose(Classifier(bundle, threads=1).logits(signal), logits, atol=1e-5)


def test_a_bundle_from_before_there_was_more_than_platts_scaling_has_the_checksum_it_had(copy, tiny_bundle):
    content = json.loads((copy / "bundle.json").read_text())
    for name in ("calibration", "calibrations_compared"):
        del content[name]
    for label in content["labels"]:
        for name in ("knots", "prevalence", "operating_points"):
            del label[name]
    del content["checksum"]
    checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (copy / "bundle.json").write_text(json.dumps(content | {"checksum": checksum}))
    old = Bundle.load(copy)
    assert old.calibration == tiny_bundle.calibration
    assert old.manifest.prevalences == tiny_bundle.manifest.prevalences
    signal, _ = old.self_test()
    logits = Classifier(tiny_bundle, threads=1).logits(signal)
    np.testing.assert_array_equal(
        Classifier(old, threads=1).probabilities(logits), Classifier(tiny_bundle, threads=1).probabilities(logits)
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_changed_byte_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: checksum is .* changed after packing"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=rf"{name}: checksum"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", ["bundle.json", *FILES])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: cannot be read \(No such file"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["labels"][0].update(threshold=0.001),
        lambda content: content["labels"][5].update(slope=9.0),
        lambda content: content["labels"].reverse(),
        lambda content: content["preparation"].update(rate=200.0),
        lambda content: content["metrics"].clear(),
        lambda content: content.update(version="8"),
        lambda content: content["files"].update({"model.onnx": "0" * 64}),
        lambda content: content.update(checksum="0" * 64),
    ],
)
def test_an_edited_manifest_is_refused(copy, change):
    edit(copy, change)
    with pytest.raises(BundleError, match=r"bundle.json: checksum does not match its content"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["labels"][0].update(threshold=2), r"labels.0.threshold: .*less than or equal to 1"),
        (lambda content: content["labels"][0].update(prevalence=0), r"labels.0.prevalence: .*greater than 0"),
        (
            lambda content: content["labels"][1].update(knots=[[0, 0], [1, 0]], intercept=0),
            r"labels.1: .*knots do not rise",
        ),
        (lambda content: content["labels"][1].update(knots=[[0, 0]], intercept=0), r"labels.1: .*fewer than two"),
        (
            lambda content: content["labels"][0].update(knots=[[0, 0], [1, 1]], intercept=2),
            r"labels.0: .*intercept is 2",
        ),
        (lambda content: content.update(calibration="spline"), r"calibration: "),
        (lambda content: content["labels"][0].pop("snomed"), r"labels.0.snomed: Field required"),
        (lambda content: content.update(labels=[]), r"labels: .*at least 1"),
        (lambda content: content["preparation"].update(leads=["X"]), r"preparation: .*unknown lead X"),
        (lambda content: content.update(hook="os.system"), r"hook: Extra inputs"),
        (lambda content: content.pop("preparation"), r"preparation: Field required"),
        (lambda content: content.pop("schema_version"), r"schema_version: Field required"),
    ],
)
def test_a_manifest_that_says_too_little_or_too_much_is_refused_by_the_field(copy, change, message):
    edit(copy, change)
    with pytest.raises(BundleError, match=rf"bundle.json: {message}"):
        Bundle.load(copy)


def test_another_version_of_the_format_is_refused_before_its_fields_are_looked_at(copy):
    edit(copy, lambda content: content.update(schema_version=2, sections=[], labels="elsewhere"))
    with pytest.raises(BundleError, match=r"bundle.json: schema_version is 2; this ecoscale reads 1"):
        Bundle.load(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00"])
def test_a_manifest_that_is_no_json_is_refused(copy, content):
    (copy / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle.json: "):
        Bundle.load(copy)


def test_a_manifest_that_lists_no_checksum_of_a_file_is_refused(copy, tiny_bundle):
    manifest = tiny_bundle.manifest.model_copy(update={"files": {}, "checksum": ""})
    manifest = manifest.model_copy(update={"checksum": manifest.digest()})
    (copy / "bundle.json").write_text(manifest.model_dump_json())
    with pytest.raises(BundleError, match=r"files lists no checksum of model.onnx"):
        Bundle.load(copy)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BundleError, match="nowhere: no such bundle; give a bundle's folder"):
        Bundle.load(tmp_path / "nowhere")


def test_a_network_that_computes_something_else_than_when_it_was_packed_is_refused(again, tiny_bundle):
    signal, logits = tiny_bundle.self_test()
    bundle = again(self_test={"signal": signal, "logits": logits + 0.05})
    said = r"again: self-test failed in ONNX Runtime .*, fp32: logits differ by up to 0.05"
    with pytest.raises(BundleError, match=said):
        Classifier(bundle, threads=1)


def test_rounding_of_another_processor_is_no_reason_to_refuse(again, tiny_bundle):
    signal, logits = tiny_bundle.self_test()
    Classifier(again(self_test={"signal": signal, "logits": logits + np.float32(1e-4)}), threads=1)


def test_labels_that_are_not_the_networks_are_refused(again, tiny_bundle):
    bundle = again(labels=tiny_bundle.manifest.labels[:5])
    with pytest.raises(BundleError, match=r"self-test gives logits of shape \(\d+, 6\); expected .* for 5 labels"):
        Classifier(bundle, threads=1)


def test_a_self_test_of_another_shape_is_refused(again, tiny_bundle):
    signal, logits = tiny_bundle.self_test()
    bundle = again(self_test={"signal": signal[:, :8], "logits": logits})
    with pytest.raises(BundleError, match="the self-test does not run"):
        Classifier(bundle, threads=1)


def test_a_model_that_is_no_onnx_is_refused(again):
    with pytest.raises(BundleError, match=r"model.onnx: onnxruntime cannot load it"):
        Classifier(again(model=b"not a network"), threads=1)


def signed(bundle, content):
    """A bundle's folder with this as its self-test, the checksums right."""
    import hashlib

    (bundle.path / "selftest.npz").write_bytes(content)
    manifest = bundle.manifest
    files = manifest.files | {"selftest.npz": hashlib.sha256(content).hexdigest()}
    manifest = manifest.model_copy(update={"files": files})
    manifest = manifest.model_copy(update={"checksum": manifest.digest()})
    (bundle.path / "bundle.json").write_text(manifest.model_dump_json())
    return Bundle.load(bundle.path)


def test_a_pickle_in_place_of_the_self_test_is_never_opened(again):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    bundle = signed(again(), pickle.dumps(Trap()))
    with pytest.raises(BundleError, match=r"selftest.npz: not the arrays signal and logits"):
        Classifier(bundle, threads=1)


def test_a_self_test_without_its_arrays_is_refused(again, tmp_path):
    for arrays in ({"signal": np.zeros(3)}, {"signal": np.array([{}], dtype=object), "logits": np.zeros(1)}):
        np.savez(tmp_path / "other.npz", **arrays)
        bundle = signed(again(), (tmp_path / "other.npz").read_bytes())
        with pytest.raises(BundleError, match=r"selftest.npz: not the arrays signal and logits"):
            bundle.self_test()
