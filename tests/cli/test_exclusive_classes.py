"""A bundle of classes that exclude each other in its user's hands: one answer and no thresholds, wherever shown."""

import csv
import json

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from cli.conftest import made_bundle
from ecoscale.bundle import Bundle
from ecoscale.datasets.layouts.holter import random_stretches, write_holter
from ecoscale.ecg import LEADS
from ecoscale.errors import BundleError
from ecoscale.explaining import explain_ecg
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import read_ecg
from ecoscale.inference import Classifier
from ecoscale.prevalence import estimate_prevalences
from ecoscale.streaming import Stream

NAMES = [finding.name for finding in CODE_FINDINGS]
SHARES = dict(zip(NAMES, (0.3, 0.2, 0.2, 0.1, 0.1, 0.1), strict=True))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "exclusive"
    return made_bundle(folder, name="exclusive", single_label=True, prevalences=SHARES)


@pytest.fixture(scope="module")
def classifier(bundle):
    return Classifier.load(bundle, threads=1)


@pytest.fixture(scope="module")
def ecg(ecgs):
    return read_ecg(ecgs / "good-AF.hea")


def probabilities(prediction):
    return np.array([finding.probability for finding in prediction.findings.values()])


def test_the_probabilities_of_the_windows_of_a_long_record_are_averaged(classifier, tmp_path):
    write_holter(tmp_path, random_stretches(0.01, 1), hours=0.01, rate=250, leads=LEADS, record="night")
    found = classifier.predict(night := read_ecg(tmp_path / "night.hea"))
    logits = classifier.logits(classifier.preparation.windows(night)).astype(np.float64)
    assert len(logits) > 2
    expected = softmax(logits / 2, axis=1).mean(axis=0)
    np.testing.assert_allclose(probabilities(found), expected, rtol=1e-6)
    assert found.present == (NAMES[int(expected.argmax())],)


def test_json_has_no_thresholds_and_one_class_that_is_present(run, ecgs, bundle):
    result = run("predict", ecgs, "--bundle", bundle, "--format", "json")
    assert result.exit_code == 0, result.stderr
    for line in result.stdout.splitlines():
        findings = json.loads(line)["findings"]
        assert {said["threshold"] for said in findings.values()} == {None}
        assert sum(said["probability"] for said in findings.values()) == pytest.approx(1, abs=1e-5)
        best = max(findings, key=lambda name: findings[name]["probability"])
        assert [name for name, said in findings.items() if said["present"]] == [best]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_have_the_columns_that_they_always_have(run, ecgs, bundle, tmp_path, suffix):
    output = tmp_path / f"results.{suffix}"
    result = run("predict", ecgs, "--bundle", bundle, "--output", output)
    assert result.exit_code == 0, result.stderr
    if suffix == "csv":
        rows = list(csv.DictReader(output.read_text().splitlines()))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(output).to_pylist()
    for row in rows:
        shares = [float(row[f"{name}_probability"]) for name in NAMES]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert [int(row[f"{name}_present"]) for name in NAMES] == [int(share == max(shares)) for share in shares]


def test_the_table_shows_the_class_and_its_probability(run, ecgs, bundle, classifier):
    result = run("predict", ecgs / "good-AF.hea", "--bundle", bundle)
    assert result.exit_code == 0, result.stderr
    found = classifier.predict(read_ecg(ecgs / "good-AF.hea"))
    (name,) = found.present
    shown = " ".join(result.stdout.split())
    assert f"{found.findings[name].title} {found.findings[name].probability:.3f}" in shown
    assert "shown: the most probable of 6 classes." in shown
    assert "threshold" not in result.stdout


def test_a_threshold_is_refused(run, ecgs, bundle):
    result = run("predict", ecgs, "--bundle", bundle, "--threshold", "AF=0.3")
    assert result.exit_code != 0
    with pytest.raises(
        BundleError, match="threshold of AF: the classes of exclusive 1 exclude each other, and the most"
    ):
        Classifier.load(bundle, thresholds={"AF": 0.3})


def test_prevalences_change_all_probabilities_by_their_ratios(bundle, classifier, ecg):
    there = Classifier.load(bundle, prevalence={"AF": 0.05, "SB": 0.6})
    before = np.array(list(SHARES.values()))
    left = before * 0.35 / (1 - SHARES["AF"] - SHARES["SB"])
    wanted = np.where(np.isin(NAMES, ["AF", "SB"]), np.where(np.array(NAMES) == "AF", 0.05, 0.6), left)
    weighed = probabilities(classifier.predict(ecg)) * wanted / before
    found = there.predict(ecg)
    np.testing.assert_allclose(probabilities(found), weighed / weighed.sum(), rtol=1e-9)
    assert found.present == (NAMES[int(weighed.argmax())],)
    assert [finding.prevalence for finding in found.findings.values()] == pytest.approx(wanted.tolist())
    same = Classifier.load(bundle, prevalence={"AF": SHARES["AF"]}).predict(ecg)
    np.testing.assert_allclose(probabilities(same), probabilities(classifier.predict(ecg)), rtol=1e-12)


@pytest.mark.parametrize(
    ("prevalence", "why"),
    [
        ({"AF": 0.7, "SB": 0.4}, "they sum to 1.1; .* exclude each other, so less than 1"),
        (dict.fromkeys(NAMES, 0.1), "they sum to 0.6; .* so 1 is expected"),
        ({"ISC": 0.1}, "knows no such finding"),
    ],
)
def test_prevalences_that_cannot_be_are_refused(bundle, prevalence, why):
    with pytest.raises(BundleError, match=why):
        Classifier.load(bundle, prevalence=prevalence)


def test_without_the_prevalences_of_all_classes_none_is_corrected(tmp_path):
    shares = {name: share for name, share in SHARES.items() if name != "ST"}
    folder = made_bundle(tmp_path / "some", single_label=True, prevalences=shares)
    with pytest.raises(BundleError, match=r"prevalence of ST: .* does not say how common it was"):
        Classifier.load(folder, prevalence={"AF": 0.2})


def test_prevalences_are_estimated_of_all_classes_together(bundle):
    random = np.random.default_rng(0)
    before, wanted = np.array(list(SHARES.values())), np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.4])
    own = random.choice(6, 20_000, p=wanted)
    # Normal densities around corners of a cube: what they say of a record is a softmax.
    logits = 2.0 * (random.normal(size=(len(own), 6)) + 1.5 * np.eye(6)[own]) * 0.75
    found = estimate_prevalences(Bundle.load(bundle), softmax(logits + np.log(before), axis=1))
    assert list(found) == NAMES
    assert sum(found.values()) == pytest.approx(1)
    np.testing.assert_allclose(list(found.values()), wanted, atol=0.02)


def test_a_bundle_with_a_threshold_or_two_temperatures_is_none(bundle):
    manifest = Bundle.load(bundle).manifest
    first, *rest = manifest.labels
    for changed, why in (
        (first.model_copy(update={"threshold": 0.5}), "classes that exclude each other have none"),
        (first.model_copy(update={"slope": 2.0}), "have one temperature for all"),
    ):
        content = manifest.model_dump() | {"labels": [changed.model_dump(), *(one.model_dump() for one in rest)]}
        with pytest.raises(ValueError, match=why):
            type(manifest).model_validate(content)
    with pytest.raises(ValueError, match="it needs one"):
        type(manifest).model_validate(manifest.model_dump() | {"single_label": False})


def test_the_reports_say_the_class(run, ecgs, bundle, classifier, tmp_path):
    result = run("predict", ecgs, "--bundle", bundle, "--report", tmp_path / "report.html")
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.count("most probable") == 3
    assert page.count("less probable") == 15
    assert "--threshold:" not in page
    assert "with a finding present" not in page
    result = run("predict", ecgs / "good-AF.hea", "--bundle", bundle, "--report", tmp_path / "report.pdf")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_timeline_is_of_the_most_probable_class_of_each_moment(run, bundle, tmp_path):
    record = write_holter(tmp_path, random_stretches(0.02, 1), hours=0.02, rate=250, leads=LEADS, record="night")
    files = [f"--{name}={tmp_path / file}" for name, file in (("summary", "s.json"), ("plot", "p.png"))]
    result = run("timeline", record, "--bundle", bundle, *files)
    assert result.exit_code == 0, result.stderr
    assert "present: the most probable class." in " ".join(result.stdout.split())
    shares = [said["share"] for said in json.loads((tmp_path / "s.json").read_text())["findings"].values()]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_a_live_signal_shows_one_class_a_window(classifier, ecg):
    stream = Stream(classifier, rate=ecg.rate)
    (window,) = stream.push(ecg.signal)
    assert window.present == classifier.predict(ecg).present == window.confirmed


def test_an_explanation_is_of_the_log_odds_against_the_other_classes(classifier, ecg, run, ecgs, bundle):
    name = classifier.predict(ecg).present[0]
    place = NAMES.index(name)
    short = ecg.select(LEADS)
    found = explain_ecg(classifier, short, name)

    def log_odds(signal):
        (logits,) = classifier.logits(signal[None]).astype(np.float64)
        return logits[place] - logsumexp(np.delete(logits, place))

    # The network weighs mean absolute values: what a lead says is told by taking it out, and a shift of all is nothing.
    (window,) = classifier.preparation.windows(ecg)
    whole, lost = log_odds(window), []
    for row in range(12):
        without = window.copy()
        without[row] = 0
        lost.append(whole - log_odds(without))
    assert max(found.lead_shares, key=found.lead_shares.__getitem__) == LEADS[int(np.argmax(lost))]
    result = run("explain", ecgs / "good-AF.hea", "--bundle", bundle)
    assert result.exit_code == 0, result.stderr
    assert f"{name} (" in result.stdout
    assert "most probable, probability" in " ".join(result.stdout.split())
    assert "threshold" not in result.stdout
