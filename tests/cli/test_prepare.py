"""`ecoscale prepare`: a store from a collection, what is said about it, and going on after an interruption."""

import signal

import pytest

from ecoscale.datasets.store import open_store
from ecoscale.preparation import Preparation


def test_it_makes_a_store_and_says_what_it_holds_and_what_was_left_out(run, exams, tmp_path):
    result = run("prepare", "code15", exams, "--out", tmp_path / "store", "--verify")
    assert result.exit_code == 0, result.output
    store = open_store(tmp_path / "store")
    assert (len(store), store.preparation) == (39, Preparation())
    assert f"{tmp_path / 'store'}: 39 records, 0.00 GB" in result.stdout
    assert "is all zeros" in result.stdout
    assert "warning padded: " in result.stdout


def test_the_options_say_how(run, exams, tmp_path):
    options = ("--rate", 400, "--window", 4096, "--highpass", 0, "--leads", "I,II,V1", "--dtype", "float16")
    assert run("prepare", "code15", exams, "-o", tmp_path / "store", *options).exit_code == 0
    store = open_store(tmp_path / "store")
    assert store.preparation == Preparation(rate=400, window=4096, highpass=None, leads=("I", "II", "V1"))
    assert store.signals.dtype == "float16"


def test_a_recipe_says_how(run, exams, tmp_path, tiny_recipe):
    (tmp_path / "recipe.yaml").write_text(tiny_recipe.to_yaml())
    assert (
        run("prepare", "code15", exams, "-o", tmp_path / "store", "--recipe", tmp_path / "recipe.yaml").exit_code == 0
    )
    assert open_store(tmp_path / "store").preparation == tiny_recipe.preparation


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rate", 100, "--recipe", "x.yaml"), "the recipe says how; leave this option out"),
        (("--leads", "I,X9"), "unknown lead X9"),
        (("--rate", 0.5), "highpass is 0.5 Hz; expected less than half the rate"),
        (("--window", 0), "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(run, exams, tmp_path, options, complaint):
    result = run("prepare", "code15", exams, "-o", tmp_path / "store", *options)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_another_collection_than_the_folders_is_refused(run, exams, tmp_path):
    result = run("prepare", "ptbxl", exams, "-o", tmp_path / "store")
    assert result.exit_code == 2
    assert "ptbxl_database.csv: not found" in result.stderr


def test_collection_and_store_may_lie_at_urls(run, exams, bucket, tmp_path):
    source = bucket.put_folder("CODE-15", exams)
    result = run("prepare", "code15", source, "--out", f"{bucket.url}/store", "--verify", "--cache", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"{bucket.url}/store: 39 records, 0.00 GB" in result.stdout
    (copy,) = tmp_path.glob("store-*")
    assert f"this machine's copy: {copy}" in result.stdout
    assert bucket.get("store/signals.npy") == (copy / "signals.npy").read_bytes()
    assert len(open_store(copy)) == 39


def test_a_bucket_that_is_not_there_is_one_message(run, exams, bucket, tmp_path):
    result = run("prepare", "code15", exams, "--out", "s3://no-such-bucket/store", "--cache", tmp_path)
    assert (result.exit_code, result.stderr.count("error: ")) == (2, 1)
    assert "s3://no-such-bucket/store" in result.stderr
    assert "check the names of bucket and path" in result.stderr
    assert not list(tmp_path.iterdir())


def test_interrupted_it_says_how_to_go_on(process, exams, tmp_path):
    code = """
import ecoscale.datasets.processes as processes
from ecoscale.cli import app
from signal import pause

def wait(records, description, total):
    print("ready", flush=True)
    pause()
    yield from records

processes.silent = wait
app()
"""
    store = tmp_path / "store"
    with process("prepare", "code15", exams, "-o", store, "--quiet", code=code) as started:
        assert started.stdout.readline() == "ready\n"
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
    assert started.returncode == 2
    assert "interrupted; the same command goes on from where it stopped" in errors
    with process("prepare", "code15", exams, "-o", store) as again:
        again.communicate(timeout=60)
    assert again.returncode == 0
