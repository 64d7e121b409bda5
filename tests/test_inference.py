"""The classifier: one answer for an ECG whichever way it is asked, and nothing silent."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ecoscale.datasets import open_collection
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import NO_NOISE, synthetic_collection, synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.findings import CODE_FINDINGS, DISCLAIMER, FINDINGS
from ecoscale.formats import read_ecg
from ecoscale.inference import Classifier, Failure
from ecoscale.prevalence import prevalence_corrections
from ecoscale.runtime import WINDOWS_TOGETHER


@pytest.fixture(scope="module")
def classifier(tiny_bundle):
    return Classifier.load(tiny_bundle.path, threads=1)


@pytest.fixture(scope="module")
def ecgs():
    cases = ((), ("AF",), ("LBBB",), ("SB", "1dAVb"), ("ST", "RBBB"))
    return [synthetic_ecg(findings, seed=40 + seed).ecg for seed, findings in enumerate(cases)]


@dataclass
class InMemory:
    """A recording that is read from memory, or cannot be."""

    ecg: ECG | None
    path: Path = Path("somewhere.hea")
    record: str | None = None

    def read(self):
        if self.ecg is None:
            raise FormatError(f"{self.path}: the file is empty")
        return self.ecg


def probabilities(prediction):
    return [finding.probability for finding in prediction.findings.values()]


def test_alone_in_a_batch_and_as_a_recording_an_ecg_gets_the_same_answer(classifier, ecgs):
    alone = [classifier.predict(ecg) for ecg in ecgs]
    together = classifier.predict_batch(ecgs)
    read = [prediction for _, prediction in classifier.classify(map(InMemory, ecgs), batch_size=2)]
    for one, two, three in zip(alone, together, read, strict=True):
        np.testing.assert_allclose(probabilities(two), probabilities(one), atol=1e-6)
        np.testing.assert_allclose(probabilities(three), probabilities(one), atol=1e-6)
        assert one.warnings == two.warnings == three.warnings
        assert (one.source, one.record) == (three.source, three.record)


def test_no_ecgs_give_no_predictions(classifier):
    assert classifier.predict_batch([]) == []
    assert list(classifier.classify([])) == []


def test_probabilities_are_the_calibrated_logits_of_the_network(classifier, ecgs, tiny_bundle):
    logits = classifier.logits(classifier.preparation.windows(ecgs[0])[:1]).astype(float)
    expected = [
        1 / (1 + np.exp(-(label.slope * logit + label.intercept)))
        for label, logit in zip(tiny_bundle.manifest.labels, logits[0], strict=True)
    ]
    np.testing.assert_allclose(classifier.probabilities(logits)[0], expected, rtol=1e-9)
    assert np.isfinite(classifier.probabilities(np.array([[1e9] * 6, [-1e9] * 6]))).all()


def test_a_finding_is_present_from_its_threshold_on(classifier, ecgs):
    for prediction in classifier.predict_batch(ecgs):
        for finding in prediction.findings.values():
            assert finding.present == (finding.probability >= finding.threshold)
        assert prediction.present == tuple(n for n, f in prediction.findings.items() if f.present)


def test_probabilities_are_corrected_for_the_prevalence_that_is_stated_and_for_no_other(classifier, ecgs, tiny_bundle):
    corrected = Classifier.load(tiny_bundle.path, threads=1, prevalence={"AF": 0.01, "SB": 0.3})
    correction = prevalence_corrections(tiny_bundle, {"AF": 0.01})["AF"]
    long = synthetic_ecg(("AF",), duration=25, seed=3).ecg
    for before, after in zip(
        classifier.predict_batch([*ecgs, long]), corrected.predict_batch([*ecgs, long]), strict=True
    ):
        was, now = before.findings["AF"], after.findings["AF"]
        assert now.probability == pytest.approx(correction.probabilities(was.probability), abs=1e-9)
        assert (now.threshold, now.prevalence) == (correction.threshold, 0.01)
        assert after.findings["ST"] == before.findings["ST"]
        assert after.to_dict()["findings"]["AF"]["prevalence"] == 0.01
        assert "prevalence" not in after.to_dict()["findings"]["ST"]
        assert now.uncalibrated == was.uncalibrated


def test_a_threshold_that_is_given_stays_when_probabilities_are_corrected(tiny_bundle):
    found = Classifier.load(tiny_bundle.path, threads=1, prevalence={"AF": 0.01}, thresholds={"AF": 0.25})
    assert found.labels[-1].threshold == 0.25
    assert found.labels[:-1] == tiny_bundle.manifest.labels[:-1]


def test_the_uncalibrated_probability_is_the_mean_sigmoid_of_the_logits(classifier):
    ecg = synthetic_ecg(("AF",), duration=25, seed=3).ecg
    logits = classifier.logits(classifier.preparation.windows(ecg)).astype(float)
    found = [finding.uncalibrated for finding in classifier.predict(ecg).findings.values()]
    np.testing.assert_allclose(found, (1 / (1 + np.exp(-logits))).mean(axis=0), atol=1e-6)


def test_a_record_longer_than_the_window_gets_the_mean_over_windows_that_cover_it(classifier):
    ecg = synthetic_ecg(("AF",), duration=25, seed=3).ecg
    windows = classifier.preparation.windows(ecg)
    assert len(windows) == 4  # 8 s each
    expected = classifier.probabilities(classifier.logits(windows)).mean(axis=0)
    np.testing.assert_allclose(probabilities(classifier.predict(ecg)), expected, atol=1e-6)


def test_many_windows_are_run_in_parts_with_the_same_result(classifier, monkeypatch):
    windows = np.random.default_rng(0).standard_normal((2 * WINDOWS_TOGETHER + 3, 12, 800)).astype(np.float32)
    logits = classifier.logits(windows)
    assert logits.shape == (len(windows), 6)
    for index in (0, WINDOWS_TOGETHER - 1, WINDOWS_TOGETHER, len(windows) - 1):
        np.testing.assert_allclose(classifier.logits(windows[index : index + 1])[0], logits[index], atol=1e-4)


def test_the_classifier_gives_the_logits_that_validation_gave(classifier, trained_run, code15):
    collection, validation = open_collection(code15), trained_run.validation
    compared = 0
    for record, expected in zip(validation["records"], validation["logits"], strict=True):
        ecg = collection.read(record)
        if ecg.duration <= 8:  # of longer ones, training sees the middle alone
            (logits,) = classifier.logits(classifier.preparation.windows(ecg))
            # The prepared store keeps whole microvolts.
            np.testing.assert_allclose(logits, expected, atol=0.02)
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("findings", [(), ("AF",), ("RBBB", "SB")])
def test_the_rate_of_a_recording_makes_no_difference(classifier, findings):
    drawn = [synthetic_ecg(findings, rate=rate, seed=8, noise=NO_NOISE).ecg for rate in (500, 400, 100)]
    fine, middle, coarse = map(probabilities, classifier.predict_batch(drawn))
    np.testing.assert_allclose(middle, fine, atol=0.02)
    np.testing.assert_allclose(coarse, fine, atol=0.02)


def test_the_order_of_the_leads_makes_no_difference_and_limb_leads_are_derived(classifier, ecgs):
    expected = probabilities(classifier.predict(ecgs[2]))
    np.testing.assert_allclose(probabilities(classifier.predict(ecgs[2].select(LEADS[::-1]))), expected, atol=1e-6)
    eight = ecgs[2].select(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    np.testing.assert_allclose(probabilities(classifier.predict(eight)), expected, atol=1e-3)


def test_a_chest_lead_that_is_missing_is_refused_by_name(classifier, ecgs):
    with pytest.raises(LeadError, match="V4"):
        classifier.predict(ecgs[0].select([lead for lead in LEADS if lead != "V4"]))


def test_a_prediction_as_plain_values_has_exactly_the_published_keys(classifier, ecgs, tiny_bundle):
    line = json.loads(json.dumps(classifier.predict(ecgs[1]).to_dict(), allow_nan=False))
    assert list(line) == ["source", "record", "findings", "warnings", "bundle", "disclaimer"]
    assert list(line["findings"]) == [finding.name for finding in CODE_FINDINGS]
    for name, finding in line["findings"].items():
        assert list(finding) == ["probability", "threshold", "present", "snomed"]
        assert finding["snomed"] == FINDINGS[name].snomed
        assert 0 <= finding["probability"] <= 1
        assert isinstance(finding["present"], bool)
    assert (line["source"], line["record"]) == ("synthetic", "seed-41")
    assert line["bundle"] == tiny_bundle.title == "tiny 7"
    assert line["disclaimer"] == DISCLAIMER


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_failures_come_out_in_their_place_and_the_others_go_on(classifier, ecgs, batch_size):
    broken = InMemory(None, Path("broken.hea"), "b")
    seven = InMemory(ecgs[1].select(LEADS[:7]), Path("seven.hea"))
    recordings = [InMemory(ecgs[0]), broken, seven, InMemory(ecgs[3]), broken]
    found = list(classifier.classify(recordings, batch_size=batch_size))
    assert [isinstance(item, Failure) for item in found] == [False, True, True, False, True]
    assert found[0][0] is ecgs[0]
    assert found[1].to_dict() == {"source": "broken.hea", "record": "b", "error": "broken.hea: the file is empty"}
    assert "V2" in found[2].error
    np.testing.assert_allclose(probabilities(found[3][1]), probabilities(classifier.predict(ecgs[3])), atol=1e-6)


def test_recordings_are_read_a_batch_at_a_time(classifier, ecgs):
    read = []

    def recordings():
        for index in range(10):
            read.append(index)
            yield InMemory(ecgs[0])

    results = classifier.classify(recordings(), batch_size=2)
    assert read == []
    next(results)
    assert len(read) == 2


def test_a_batch_of_none_is_refused(classifier):
    with pytest.raises(ValueError, match="batch_size is 0"):
        classifier.classify([], batch_size=0)


def test_what_is_doubtful_about_a_signal_stands_in_the_result(classifier, ecgs):
    signal = ecgs[0].signal.copy()
    signal[8] = 0
    signal[9, 100:120] = np.nan
    prediction = classifier.predict(ECG(signal, 500, notes=("from_paper: scanned",)))
    codes = [warning.split(":")[0] for warning in prediction.warnings]
    assert codes == ["from_paper", "missing_samples", "flat_lead"]
    assert "V3" in prediction.warnings[2]
    assert np.isfinite(probabilities(prediction)).all()
    assert prediction.to_dict()["warnings"] == list(prediction.warnings)
    assert classifier.predict(ecgs[0]).warnings == ()


def test_what_the_preparation_does_to_a_short_or_slow_recording_stands_in_the_result(classifier):
    short = classifier.predict(synthetic_ecg(rate=60, duration=4, seed=2).ecg)
    assert [warning.split(":")[0] for warning in short.warnings] == ["short_signal", "padded", "low_rate"]


WITHOUT_TORCH = """
import sys
import ecoscale
early = sorted({"numpy", "scipy", "pandas", "matplotlib", "sklearn", "wfdb", "torch", "onnxruntime"} & set(sys.modules))
assert not early, f"import ecoscale imports {early}"
ecg = ecoscale.read_ecg(sys.argv[1])
prediction = ecoscale.Classifier.load(sys.argv[2], threads=1).predict(ecg)
heavy = sorted({"torch", "lightning", "onnx", "onnxscript", "sklearn", "matplotlib.pyplot"} & set(sys.modules))
assert not heavy, f"classifying imports {heavy}"
print(prediction.findings["AF"].probability)
"""


def test_reading_and_classifying_never_imports_torch_and_importing_ecoscale_imports_next_to_nothing(
    classifier, tiny_bundle, tmp_path
):
    (name,) = write_wfdb(tmp_path, synthetic_collection(1, findings=("AF",), seed=1))
    path = tmp_path / f"{name}.hea"
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, path, tiny_bundle.path], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    expected = classifier.predict(read_ecg(path)).findings["AF"].probability
    assert float(finished.stdout) == pytest.approx(expected, abs=1e-6)
