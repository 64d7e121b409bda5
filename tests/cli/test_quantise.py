"""`ecoscale quantise`: a bundle in integers, and commands that take it."""

import json


def test_it_writes_a_bundle_that_predict_takes_in_integers(run, tiny_bundle, code15, stores, tmp_path, recordings):
    out = tmp_path / "integers"
    sources = ("--data", f"code15={code15}", "--stores", stores, "--records", 16)
    accepted = ("--auroc-fall", 1, "--f1-fall", 1, "--even-if-slower")
    done = run("quantise", tiny_bundle.path, *sources, *accepted, "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    assert "macro AUROC" in done.output
    assert "ms a window" in done.output
    record = next((recordings / "ptbxl-native").rglob("*.hea"))
    said = {}
    for precision in ((), ("--precision", "int8"), ("--precision", "fp32")):
        answer = run("predict", record, "--bundle", out, "--format", "json", *precision)
        assert answer.exit_code == 0, answer.output
        said[precision[-1:]] = json.loads(answer.stdout)
    assert said[()] == said[("int8",)]
    assert said[("int8",)]["bundle"].endswith("(int8)")
    assert "int8" not in said[("fp32",)]["bundle"]
    assert said[("fp32",)]["findings"] != said[("int8",)]["findings"]


def test_a_collection_that_is_not_said_where_is_asked_for(run, tiny_bundle, tmp_path):
    done = run("quantise", tiny_bundle.path, "--data", f"chapman={tmp_path}", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "say where it lies" in done.output
