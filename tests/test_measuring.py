"""Measuring a bundle on a collection: every record is accounted for, and what the bundle had seen is counted."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from cli.conftest import made_bundle
from ecoscale.bundle import Bundle
from ecoscale.datasets import UNKNOWN, in_part, open_collection
from ecoscale.errors import DatasetError
from ecoscale.findings import CODE_FINDINGS
from ecoscale.formats import read_ecg
from ecoscale.inference import Classifier
from ecoscale.measuring import check_comparable, choose_records, classify_records, compare, evaluate_classified

PARTS = {
    "train": [{"collection": "code15", "share": [0, 0.5]}, {"collection": "ptbxl", "folds": [1, 2]}],
    "validation": [{"collection": "code15", "folds": [0], "share": [0.5, 0.8]}],
}


@pytest.fixture(scope="module")
def collection(code15):
    return open_collection(code15)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / "first"
    return Bundle.load(made_bundle(folder, name="first", provenance={"recipe": {"data": PARTS}}))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Bundle.load(made_bundle(tmp_path_factory.mktemp("measured") / "second", name="second", seed=1))


@pytest.fixture(scope="module")
def classified(bundle, collection):
    return classify_records(bundle, collection, choose_records(collection))


def test_all_records_are_chosen_unless_folds_or_a_share_are_named(collection):
    assert choose_records(collection).all()
    assert choose_records(collection, folds=(0, 9)).all()
    share = choose_records(collection, share=(0.2, 0.6))
    np.testing.assert_array_equal(share, in_part(collection.records, None, (0.2, 0.6)))
    assert 0 < share.sum() < len(collection)


def test_choosing_none_is_refused_naming_the_folds_there_are(collection):
    with pytest.raises(
        DatasetError, match=r"no record of CODE-15% in folds 3, 4 and patients 0-0.5; its folds are 0 \("
    ):
        choose_records(collection, folds=(3, 4), share=(0, 0.5))


def test_every_chosen_record_is_classified_or_a_failure(classified, collection):
    failed = {failure.record or failure.error for failure in classified.failures}
    assert len(classified.failures) >= 1
    assert len(classified.records) + len(failed) == len(collection)
    assert all("all zeros" in failure.error for failure in classified.failures)


def test_rows_are_those_of_the_records_in_order(classified, collection, bundle):
    assert list(classified.records) == [record for record in collection.records.index if record in classified.records]
    classifier = Classifier(bundle)
    for row in (0, 7, len(classified.records) - 1):
        record = classified.records[row]
        assert classified.patients[row] == collection.records.loc[record, "patient"]
        found = classifier.predict(read_ecg(collection.path(record), record=record))
        expected = [finding.probability for finding in found.findings.values()]
        np.testing.assert_allclose(classified.probabilities[row], expected, rtol=1e-5)
        truth = [finding.name in collection.records.loc[record, "codes"] for finding in CODE_FINDINGS]
        np.testing.assert_array_equal(classified.labels[row], truth)


def test_what_was_seen_before_a_bundle_was_tuned_counts_as_trained_on(tmp_path, collection):
    seen = {"environment": {"pretrained": {"data": [{"collection": "code15", "share": [0.9, 1]}]}}}
    parts = {"recipe": {"data": {"train": [{"collection": "folder", "share": [0, 1]}]}}}
    tuned = Bundle.load(made_bundle(tmp_path / "tuned", provenance=parts | seen))
    classified = classify_records(tuned, collection, choose_records(collection, share=(0.8, 1)))
    assert classified.trained_on == choose_records(collection, share=(0.9, 1)).sum() > 0
    assert classified.exposure[0].startswith(f"{classified.trained_on} of {len(classified.records)} records")


def test_a_split_that_knows_none_of_the_records_is_of_another_folder(tmp_path, collection):
    split = tmp_path / "split.csv"
    split.write_text("record,patient,part\nward-1,anna,1\nward-2,ben,2\n")
    parts = {"train": [{"collection": "code15", "split": str(split), "part": "1"}], "validation": []}
    tuned = Bundle.load(made_bundle(tmp_path / "tuned", provenance={"recipe": {"data": parts}}))
    classified = classify_records(tuned, collection, choose_records(collection, share=(0.9, 1)))
    assert (classified.trained_on, classified.exposure) == (0, ())


def test_the_size_of_a_batch_changes_nothing(classified, bundle, collection):
    again = classify_records(bundle, collection, choose_records(collection), batch_size=7)
    assert again.records == classified.records
    np.testing.assert_allclose(again.probabilities, classified.probabilities, rtol=1e-5)


def test_records_that_the_bundle_had_seen_are_counted_by_its_recipe(classified, collection):
    table = collection.records.loc[list(classified.records)]
    assert classified.trained_on == in_part(table, None, (0, 0.5)).sum() > 0
    assert classified.chosen_on == in_part(table, [0], (0.5, 0.8)).sum() > 0
    trained, chosen = classified.exposure
    assert trained.startswith(f"{classified.trained_on} of {len(table)} records were trained on")
    assert f"chosen on {classified.chosen_on} of {len(table)} records" in chosen


def test_a_bundle_without_a_recipe_has_seen_nothing_that_is_known(other, collection):
    found = classify_records(other, collection, choose_records(collection, share=(0, 0.3)))
    assert (found.trained_on, found.chosen_on, found.exposure) == (0, 0, ())


def test_failures_are_among_the_remarks(classified, collection):
    n_failures = len(classified.failures)
    assert classified.remarks[-1].startswith(f"{n_failures} of {len(collection)} records could not be read")
    assert classified.failures[0].error in classified.remarks[-1]


def test_a_collection_of_which_nothing_can_be_read_is_refused(classified, bundle, collection):
    unreadable = ~collection.records.index.isin(classified.records)
    with pytest.raises(DatasetError, match=r"none of \d+ records could be read; .*all zeros"):
        classify_records(bundle, collection, unreadable)


def test_progress_sees_every_record(bundle, collection):
    chosen, seen = choose_records(collection, share=(0, 0.2)), []

    def counted(items):
        for item in items:
            seen.append(item)
            yield item

    classify_records(bundle, collection, chosen, progress=counted)
    assert len(seen) == chosen.sum()


def test_predictions_are_written_with_what_is_unknown_left_empty(classified, tmp_path):
    labels = classified.labels.copy()
    labels[0, 2] = UNKNOWN
    replace(classified, labels=labels).write_predictions(tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["record"] for row in rows] == list(classified.records)
    assert rows[0]["LBBB_label"] == ""
    assert rows[1]["LBBB_label"] == str(labels[1, 2])
    assert float(rows[0]["AF_probability"]) == pytest.approx(classified.probabilities[0, -1], abs=1e-6)


def test_the_evaluation_says_where_its_figures_come_from(classified):
    evaluation = evaluate_classified(classified, n_resamples=5, command="ecoscale evaluate")
    context = evaluation.context
    assert (context["bundle"], context["dataset"], context["folds"]) == ("first 1", "CODE-15%", "0")
    assert context["thresholds_chosen_here"] is True
    assert all(remark in context["remarks"] for remark in classified.remarks)
    assert (evaluation.n_records, evaluation.n_patients) == (len(classified.records), len(set(classified.patients)))
    assert "difference" not in context


def test_at_another_prevalence_probabilities_and_thresholds_are_those_of_the_classifier(collection, tiny_bundle):
    found = classify_records(tiny_bundle, collection, choose_records(collection, share=(0, 0.2)))
    stated = {"AF": 0.02, "LBBB": 0.5}
    there = found.at_prevalence(stated)
    classifier = Classifier(tiny_bundle, prevalence=stated)
    np.testing.assert_array_equal(there.thresholds, [label.threshold for label in classifier.labels])
    expected = classifier.predict(collection.read(found.records[0]))
    probabilities = [finding.probability for finding in expected.findings.values()]
    np.testing.assert_allclose(there.probabilities[0], probabilities, rtol=1e-4)
    np.testing.assert_array_equal(there.uncalibrated, found.uncalibrated)
    assert [str(correction) for correction in classifier.corrections.values()] == list(there.remarks[-2:])
    assert found.at_prevalence({}).remarks == found.remarks


def test_uncalibrated_probabilities_stand_beside_the_calibrated(classified):
    # This bundle has no calibration.
    np.testing.assert_allclose(classified.uncalibrated, classified.probabilities)


def test_a_bundle_does_not_differ_from_itself(classified):
    lines = compare(classified, classified, n_resamples=20).splitlines()
    assert lines[0] == f"first 1 minus first 1, {len(classified.records)} records, 95 % interval:"
    assert [line.split(": ")[1] for line in lines[1:]] == ["+0.0000 [+0.0000, +0.0000]"] * 2


def test_bundles_are_compared_on_the_records_that_both_could_read(classified, other, collection):
    part = classify_records(other, collection, choose_records(collection, share=(0.3, 1)))
    lines = compare(classified, part, n_resamples=20).splitlines()
    assert f", {len(part.records)} records, " in lines[0]
    turned = compare(part, classified, n_resamples=20).splitlines()
    for one, another in zip(lines[1:], turned[1:], strict=True):
        assert float(one.split()[2]) == -float(another.split()[2]) != 0


def test_different_findings_are_not_compared(bundle, classified, collection, tmp_path):
    fewer = Bundle.load(made_bundle(tmp_path / "fewer", name="fewer", findings=CODE_FINDINGS[:2]))
    with pytest.raises(DatasetError, match="fewer 1 1dAVb, RBBB; only bundles for the same findings"):
        check_comparable(bundle, fewer)
    with pytest.raises(DatasetError, match="only bundles for the same findings"):
        compare(classified, classify_records(fewer, collection, choose_records(collection, share=(0, 0.2))))
