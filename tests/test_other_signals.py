"""A bundle of another signal than an ECG in use: files, streams and long recordings, and what is of ECGs alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecoscale import Classifier, Signal, Stream, find_recordings
from ecoscale.errors import ChannelError, SignalError
from ecoscale.formats import Recording, find_signals
from ecoscale.formats.long_records import long_signal
from ecoscale.inference import Failure
from ecoscale.packing import pack
from ecoscale.sources import find_records
from ecoscale.timeline import timeline
from ecoscale.training import train
from ecoscale.training.recipe import validated_recipe
from owned import KINDS, RATE, made_signal, write_own, write_table


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A small FCN that tells calm from fast by two channels, pulse (a.u.) and move (g), at 20 Hz in windows of 3 s."""
    folder = tmp_path_factory.mktemp("wrist")
    recipe = validated_recipe(
        {
            "name": "wrist",
            "findings": list(KINDS),
            "model": {"name": "fcn", "config": {"width": 8}},
            "preparation": {
                "rate": RATE,
                "window": 60,
                "channels": ["pulse", "move"],
                "units": ["a.u.", "g"],
                "highpass": None,
            },
            "data": {
                "train": [{"collection": "folder", "share": [0, 0.7]}],
                "validation": [{"collection": "folder", "share": [0.7, 1]}],
            },
            "augmentation": {"noise": 0.1, "wander": 0.2, "lead_dropout": 0.1, "crop": 0.2},
            "optimisation": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01},
        },
        "the recipe",
    )
    run = train(recipe, {"folder": write_own(folder / "data")}, folder / "run", stores=folder / "stores")
    return Classifier(pack(run, folder / "bundle"))


@pytest.fixture
def signals():
    rng = np.random.default_rng(7)
    return [Signal(made_signal(kind, rng), RATE, ("pulse", "move"), ("a.u.", "g")) for kind in KINDS]


def probabilities(prediction):
    return [finding.probability for finding in prediction.findings.values()]


def test_channels_of_two_units_are_scaled_each_by_its_own(classifier):
    preparation = classifier.preparation
    assert not preparation.is_ecg
    assert preparation.mean[1] == pytest.approx(1, abs=0.01)
    assert preparation.scale[0] / preparation.scale[1] > 1000


def test_it_tells_the_classes_apart(classifier, signals):
    for kind, prediction in zip(KINDS, classifier.predict_batch(signals), strict=True):
        assert prediction.present == (kind,)
        assert prediction.warnings == ()
        assert "ECG" not in prediction.disclaimer


def test_a_file_says_what_the_same_signal_says_whatever_else_it_holds(classifier, signals, tmp_path):
    expected = probabilities(classifier.predict(signals[0]))
    rows = np.vstack((signals[0].signal[::-1], np.zeros(60)))
    write_table(tmp_path / "a.csv", rows, RATE, ("move", "pulse", "other"), ("g", "a.u.", "V"))
    np.save(tmp_path / "b.npy", signals[0].signal)
    (_, named), (read, bare) = classifier.classify(find_recordings([tmp_path / "a.csv", tmp_path / "b.npy"]))
    np.testing.assert_allclose(probabilities(named), expected, atol=1e-4)
    assert named.warnings == ()
    np.testing.assert_allclose(probabilities(bare), expected, atol=1e-4)
    assert read.channels == ("pulse", "move")
    (assumed,) = bare.warnings
    assert assumed.startswith(
        "assumed: channels pulse, move, rate 20 Hz, unit a.u., g of pulse, move; the file does not"
    )


def test_what_does_not_fit_fails_and_the_others_go_on(classifier, signals, tmp_path):
    write_table(tmp_path / "a.csv", signals[0].signal, RATE, units=("a.u.", "m/s2"))
    write_table(tmp_path / "b.csv", signals[0].signal, RATE, channels=("pulse", "acc"))
    write_table(tmp_path / "c.csv", signals[0].signal)
    recordings = [Recording(tmp_path / name, None, {"longest": 60}) for name in ("a.csv", "b.csv", "c.csv")]
    unit, channel, good = classifier.classify(recordings)
    assert isinstance(unit, Failure)
    assert "channel move is in 'm/s2'; expected 'g': convert the samples" in unit.error
    assert "no channel move (it has pulse, acc)" in channel.error
    assert good[1].present == ("calm",)


def test_a_folder_is_searched_for_files_of_its_channels(classifier, signals, tmp_path):
    write_table(tmp_path / "a.csv", signals[0].signal)
    write_table(tmp_path / "another.csv", signals[0].signal, channels=("x", "y"))
    np.savetxt(tmp_path / "bare.txt", signals[0].signal.T)
    np.save(tmp_path / "c.npy", signals[0].signal)
    (tmp_path / "labels.csv").write_text("path,label\na.csv,calm\n")
    (tmp_path / "notes.txt").write_text("worn on the left wrist\n")
    names = ["a.csv", "bare.txt", "c.npy"]
    assert [found.path.name for found in find_signals([tmp_path], ("pulse", "move"))] == names
    assert [found.path.name for found in find_records([tmp_path], classifier.preparation)] == names


def test_a_store_of_it_is_classified_as_its_files_are(classifier):
    (store,) = (Path(classifier.bundle.path).parent / "stores").glob("folder-*")
    data = store.parents[1] / "data"
    from_store = {
        signal.record: probabilities(prediction)
        for signal, prediction in classifier.classify(find_records([store], classifier.preparation))
    }
    files = classifier.classify(Recording(data / record) for record in from_store)
    np.testing.assert_allclose([probabilities(found[1]) for found in files], list(from_store.values()), atol=1e-5)


def test_a_stream_and_a_long_recording_say_of_a_window_what_a_file_of_it_says(classifier, signals):
    whole = Signal(np.hstack([signal.signal for signal in signals]), RATE, ("pulse", "move"), ("a.u.", "g"))
    expected = [probabilities(classifier.predict(signal)) for signal in signals]
    live = Stream(classifier, rate=RATE, hop=3).push(whole.signal)
    np.testing.assert_allclose([probabilities(window.prediction) for window in live], expected, atol=1e-4)
    found = timeline(classifier, long_signal(whole), hop=3)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert [episode.start for episode in found.episodes("fast")] == [3.0]


def test_a_stream_of_other_channels_or_units_is_refused(classifier, signals):
    with pytest.raises(ChannelError, match="no channel move, which the bundle"):
        Stream(classifier, rate=RATE, leads=["pulse"])
    with pytest.raises(SignalError, match="channel move is in 'mV'; expected 'g'"):
        Stream(classifier, rate=RATE, unit=["a.u.", "mV"]).push(signals[0].signal)


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "a.csv", "--report", "a.html"),
        ("predict", "a.csv", "--measure"),
        ("plot", "a.csv", "--output", "a.png", "--findings"),
        ("explain", "a.csv"),
        ("watch", "in", "out"),
        ("serve",),
        ("demo",),
    ],
)
def test_what_is_of_ecgs_alone_refuses_it_with_one_error(classifier, tmp_path, monkeypatch, command):
    from typer.testing import CliRunner

    from ecoscale.cli import app

    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "a.csv", np.zeros((2, 60)))
    (tmp_path / "in").mkdir()
    result = CliRunner().invoke(app, [*command, "--bundle", str(classifier.bundle.path)])
    said = f"{result.output} {result.stderr} {result.exception}"
    assert result.exit_code != 0
    assert "wrist 1 reads pulse in a.u., move in g; " in said
    assert " is of ECGs alone (leads in mV)" in said


def test_predict_writes_its_results(classifier, signals, tmp_path):
    from typer.testing import CliRunner

    from ecoscale.cli import app

    np.save(tmp_path / "a.npy", signals[1].signal)
    options = ["--rate", "20", "--channels", "pulse,move", "--unit", "a.u.,g", "--format", "json"]
    result = CliRunner().invoke(
        app, ["predict", str(tmp_path), "--bundle", str(classifier.bundle.path), *options], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    assert line["findings"]["fast"]["present"]
    assert line["warnings"] == []
