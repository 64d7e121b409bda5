"""`ecoscale predict`: a result for every recording, in three forms, and an exit status that says it."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from ecoscale.bundle import Bundle
from ecoscale.cli._output import Format
from ecoscale.cli._results import write_results
from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.synthetic import EVEN_PREVALENCE
from ecoscale.findings import CODE_FINDINGS, DISCLAIMER
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.inference import Classifier
from ecoscale.prevalence import estimate_prevalences, prevalence_corrections

TEXTS = [Format.TABLE, Format.JSON, Format.CSV]
"""The formats that a terminal can show."""

SIX = [finding.name for finding in CODE_FINDINGS]


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.hea"
    path.write_text("junk\n")
    return path


@pytest.fixture
def objects(run, bundle):
    """Exit status and the objects that `predict --format json` prints."""

    def predicted(*arguments):
        result = run("predict", *arguments, "--bundle", bundle, "--format", "json")
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    return predicted


def test_json_is_one_object_a_line_with_the_keys_of_the_contract(objects, ecgs):
    status, found = objects(ecgs)
    assert status == 0
    assert [each["record"] for each in found] == ["good-AF", "good-LBBB", "good-normal"]
    for each in found:
        assert list(each) == ["source", "record", "findings", "warnings", "bundle", "disclaimer"]
        assert each["source"] == str(ecgs / f"{each['record']}.hea")
        assert list(each["findings"]) == SIX
        for finding in CODE_FINDINGS:
            said = each["findings"][finding.name]
            assert list(said) == ["probability", "threshold", "present", "snomed"]
            assert said["present"] is (said["probability"] >= said["threshold"])
            assert said["snomed"] == finding.snomed
        assert (each["warnings"], each["bundle"], each["disclaimer"]) == ([], "cheap 1", DISCLAIMER)


def test_its_probabilities_are_those_of_the_classifier(objects, ecgs, bundle):
    _, (found, *_) = objects(ecgs)
    expected = Classifier.load(bundle).predict(read_ecg(ecgs / "good-AF.hea"))
    for name, finding in expected.findings.items():
        assert found["findings"][name]["probability"] == pytest.approx(finding.probability, abs=1e-6)


def test_a_file_that_cannot_be_read_is_an_object_with_its_error_and_the_others_go_on(objects, ecgs, broken):
    status, found = objects(broken, ecgs / "nothing.hea", ecgs / "good-AF.hea")
    assert status == 1
    assert [list(each) for each in found[:2]] == [["source", "record", "error"]] * 2
    assert [each["source"] for each in found[:2]] == [str(broken), str(ecgs / "nothing.hea")]
    assert "the first line of the WFDB header is 'junk'" in found[0]["error"]
    assert "no such file" in found[1]["error"]
    assert found[2]["record"] == "good-AF"
    assert "error" not in found[2]


def test_how_many_failed_is_said_on_standard_error(run, ecgs, broken, bundle):
    result = run("predict", ecgs, broken, "--bundle", bundle, "--format", "json")
    assert (result.exit_code, result.stderr) == (1, "1 of 4 recordings could not be classified\n")


def test_files_folders_and_patterns_may_be_mixed_and_each_recording_comes_once(objects, ecgs):
    status, found = objects(ecgs / "good-normal", ecgs / "good-A*.hea", ecgs)
    assert status == 0
    assert [each["record"] for each in found] == ["good-normal", "good-AF", "good-LBBB"]


def test_a_folder_without_recordings_is_a_failure_not_silence(objects, run, tmp_path, bundle):
    folder = tmp_path / "empty-folder"
    folder.mkdir()
    status, (found,) = objects(folder)
    assert status == 1
    assert "not a recording" in found["error"]
    result = run("predict", tmp_path / "empty*", "--bundle", bundle)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"no recordings found in {tmp_path / 'empty*'}\n"


def test_npy_and_csv_are_read_as_the_user_states(objects, ecgs, tmp_path):
    ecg = read_ecg(ecgs / "good-AF.hea")
    np.save(tmp_path / "a.npy", ecg.signal * 1000)
    np.savetxt(tmp_path / "b.csv", 1000 * ecg.signal.T, delimiter=",", header=",".join(ecg.leads), comments="")
    options = ("--rate", ecg.rate, "--unit", "uV", "--leads", ",".join(ecg.leads))
    _, (expected,) = objects(ecgs / "good-AF.hea")
    status, found = objects(tmp_path, *options)
    assert status == 0
    assert [each["source"] for each in found] == [str(tmp_path / "a.npy"), str(tmp_path / "b.csv")]
    for each in found:
        for name in SIX:
            probability = expected["findings"][name]["probability"]
            assert each["findings"][name]["probability"] == pytest.approx(probability, abs=1e-4)


def test_npy_without_a_rate_asks_for_it(objects, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((12, 5000)))
    status, (found,) = objects(tmp_path / "a.npy")
    assert status == 1
    assert "rate" in found["error"]


def test_csv_has_the_same_columns_in_every_row(run, ecgs, broken, bundle):
    result = run("predict", ecgs, broken, "--bundle", bundle, "--format", "csv")
    assert result.exit_code == 1
    header, *rows = csv.reader(io.StringIO(result.stdout))
    findings = [f"{name}_{what}" for name in SIX for what in ("probability", "present")]
    assert header == ["source", "record", *findings, "warnings", "error", "bundle"]
    assert {len(row) for row in rows} == {len(header)}
    good, *_, bad = (dict(zip(header, row, strict=True)) for row in rows)
    assert (good["record"], good["error"], good["bundle"]) == ("good-AF", "", "cheap 1")
    assert [good[f"{name}_present"] == "1" for name in SIX] == [
        float(good[f"{name}_probability"]) >= 0.5 for name in SIX
    ]
    assert bad["source"] == str(broken)
    assert "junk" in bad["error"]
    assert all(bad[name] == "" for name in (*findings, "warnings", "bundle"))


def test_the_table_shows_each_recording_and_below_it_errors_bundle_and_disclaimer(run, ecgs, broken, bundle):
    result = run("predict", ecgs, broken, "--bundle", bundle)
    assert result.exit_code == 1
    head, *rows = (line.split() for line in result.stdout.splitlines()[:5])
    assert head == ["recording", *SIX, "shows"]
    assert [row[0] for row in rows] == ["good-AF", "good-LBBB", "good-normal", str(broken)]
    for row in rows[:3]:
        above = [name for name, probability in zip(SIX, row[1:7], strict=True) if float(probability) >= 0.5]
        assert " ".join(row[7:]) == ", ".join(above)
    assert rows[3][1:] == ["-"] * 6 + ["not", "classified"]
    assert "the first line of the WFDB header is 'junk'" in result.stdout
    assert "Probabilities by cheap 1" in result.stdout
    assert DISCLAIMER in result.stdout


def test_a_long_table_has_one_heading_and_ends_in_counts(run, exams, bundle):
    result = run("predict", exams, "--bundle", bundle)
    assert result.stdout.count("recording  ") == 1
    assert "\n40 recordings: 1dAVb in " in result.stdout
    assert "1 not classified" in result.stdout
    n_padded = sum("padding_removed" in line for line in result.stdout.splitlines())
    assert n_padded == 10
    assert "more such; --format json or csv has all of them" in result.stdout


def test_what_a_file_is_called_is_shown_as_it_is(run, tmp_path, bundle):
    odd = tmp_path / "[red]x.hea"
    odd.write_text("junk")
    table = run("predict", odd, "--bundle", bundle).stdout
    assert table.count(str(odd)) == 2


def test_a_name_that_is_not_unicode_breaks_nothing(run, tmp_path, bundle):
    odd = tmp_path / "caf\udce9.hea"
    try:
        odd.write_text("junk")
    except OSError:
        return  # the file system takes no such name
    for form in TEXTS:
        result = run("predict", tmp_path, "--bundle", bundle, "--format", form)
        assert result.exit_code == 1
        assert "caf\\udce9.hea" in result.stdout


@pytest.mark.parametrize("form", TEXTS)
def test_output_goes_to_a_file_as_it_would_to_the_terminal(run, ecgs, tmp_path, bundle, form):
    path = tmp_path / "made" / "findings"
    shown = run("predict", ecgs, "--bundle", bundle, "--format", form).stdout
    result = run("predict", ecgs, "--bundle", bundle, "--format", form, "--output", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert path.read_text() == shown


def test_the_report_draws_what_could_be_read_and_lists_what_could_not(run, ecgs, broken, tmp_path, bundle):
    report = tmp_path / "made" / "report.html"
    result = run("predict", ecgs / "good-AF", broken, "--bundle", bundle, "--format", "json", "--report", report)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert f"report: {report}" in result.stderr
    page = report.read_text()
    assert page.count("<svg") == 1
    assert "good-AF" in page
    assert str(broken) in page
    assert "the first line of the WFDB header is" in page


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_a_folder_in_place_of_a_file_is_refused_before_anything_is_classified(run, ecgs, tmp_path, bundle, option):
    result = run("predict", ecgs, "--bundle", bundle, option, tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is a directory" in " ".join(result.stderr.replace("│", " ").split())


def test_a_place_that_cannot_be_written_is_one_message(run, ecgs, tmp_path, bundle):
    (tmp_path / "file").touch()
    result = run("predict", ecgs, "--bundle", bundle, "--output", tmp_path / "file" / "findings")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {tmp_path / 'file'}")
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_bundle_is_named(run, ecgs):
    result = run("predict", ecgs, "--bundle", "nosuch")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: nosuch: no such bundle")


def test_a_damaged_bundle_is_refused(run, ecgs, tmp_path, bundle):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"other")
    result = run("predict", ecgs, "--bundle", copy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "model.onnx: checksum is" in result.stderr


@pytest.mark.parametrize("form", [Format.JSON, Format.CSV])
def test_a_result_is_written_before_the_next_is_asked_for(ecgs, bundle, tmp_path, form):
    path, lines = tmp_path / "findings", []

    def one_by_one():
        for result in Classifier.load(bundle).classify(find_recordings([ecgs])):
            yield result
            lines.append(len(path.read_text().splitlines()))

    outcome = write_results(one_by_one(), form, path, None, SIX)
    header = int(form is Format.CSV)
    assert lines == [header + 1, header + 2, header + 3]
    assert (outcome.recordings, outcome.failed) == (3, 0)


def test_real_recordings_of_ptbxl(objects, recordings):
    status, found = objects(recordings / "ptbxl-native")
    assert status == 0
    assert len(found) == len(list((recordings / "ptbxl-native").rglob("*.hea")))
    assert all(list(each["findings"]) == SIX for each in found)


def test_real_exams_of_code15_are_named_by_their_exam_id(objects, recordings):
    status, found = objects(recordings / "code15")
    assert status == 0
    assert len(found) == 10
    (padded,) = [each for each in found if each["record"] == "438277"]
    assert padded["source"].endswith("exams_part0.hdf5")
    assert any(warning.startswith("padding_removed") for warning in padded["warnings"])


def test_the_real_dicom_of_pydicom(objects):
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    status, (found,) = objects(path)
    assert status == 0
    assert found["source"] == str(path)


def test_a_threshold_of_the_users_decides_instead_of_the_bundles(objects, ecgs):
    _, before = objects(ecgs)
    status, after = objects(ecgs, "--threshold", "SB=0", "--threshold", "AF=1")
    assert status == 0
    for old, new in zip(before, after, strict=True):
        assert new["findings"]["SB"] == old["findings"]["SB"] | {"threshold": 0.0, "present": True}
        assert not new["findings"]["AF"]["present"]
        assert new["findings"]["ST"] == old["findings"]["ST"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("SB", "NAME=VALUE"), ("SB=low", "expected a number"), ("VT=0.5", "no such finding"), ("SB=2", "from 0 to 1")],
)
def test_a_threshold_that_cannot_be_is_refused(run, bundle, ecgs, wrong, message):
    result = run("predict", ecgs, "--bundle", bundle, "--threshold", wrong)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_prevalence_that_is_stated_corrects_the_probabilities_and_is_told(run, tiny_bundle, ecgs):
    before, after = (
        run("predict", ecgs, "--bundle", tiny_bundle.path, "--format", "json", *options)
        for options in ((), ("--prevalence", "AF=0.02"))
    )
    assert (before.stderr, after.exit_code) == ("", 0)
    assert after.stderr.startswith("AF: probabilities corrected from a prevalence of 0.")
    assert "to 0.02; threshold" in after.stderr
    correction = prevalence_corrections(tiny_bundle, {"AF": 0.02})["AF"]
    for old, new in zip(before.stdout.splitlines(), after.stdout.splitlines(), strict=True):
        was, now = (json.loads(line)["findings"] for line in (old, new))
        # JSON has six decimals.
        assert now["AF"]["probability"] == pytest.approx(correction.probabilities(was["AF"]["probability"]), abs=1e-5)
        assert now["AF"]["prevalence"] == 0.02
        assert now["SB"] == was["SB"]


def test_a_prevalence_is_estimated_from_the_recordings_unless_it_is_stated(run, tiny_bundle, tmp_path):
    write_code15(tmp_path, 120, seed=9, prevalence=EVEN_PREVALENCE, compression=None)
    options = ("--bundle", tiny_bundle.path, "--format", "json")
    before = run("predict", tmp_path, *options)
    result = run("predict", tmp_path, *options, "--prevalence", "estimate", "--prevalence", "SB=0.1")
    read = [line for line in map(json.loads, before.stdout.splitlines()) if "error" not in line]
    probabilities = [[finding["probability"] for finding in line["findings"].values()] for line in read]
    expected = estimate_prevalences(tiny_bundle, probabilities) | {"SB": 0.1}
    (first, *_) = [line for line in map(json.loads, result.stdout.splitlines()) if "error" not in line]
    found = {name: finding["prevalence"] for name, finding in first["findings"].items()}
    assert found == pytest.approx(expected, abs=1e-4)
    assert len(result.stderr.splitlines()) >= 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("AF", "NAME=SHARE or estimate"),
        ("AF=rare", "expected a number"),
        ("VT=0.1", "no such finding"),
        ("AF=1", "between 0 and 1"),
        ("AF=0.1", "does not say how common it was"),
    ],
)
def test_a_prevalence_that_cannot_be_is_refused(run, bundle, ecgs, wrong, message):
    result = run("predict", ecgs, "--bundle", bundle, "--prevalence", wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_a_prevalence_is_not_estimated_from_a_handful(run, tiny_bundle, ecgs):
    result = run("predict", ecgs, "--bundle", tiny_bundle.path, "--prevalence", "estimate")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be estimated from 3 records" in result.stderr


def test_of_many_findings_the_table_says_which_an_ecg_shows(run, ecgs):
    result = run("predict", ecgs, "--bundle", "statements")
    assert result.exit_code == 0
    titles = {label.name: label.title for label in Bundle.load("statements").manifest.labels}
    shown = " ".join(result.stdout.split())
    assert shown.startswith("recording shows ")
    assert "those of its 75 findings that are at or above their threshold" in shown
    for line in run("predict", ecgs, "--bundle", "statements", "--format", "json").stdout.splitlines():
        for name, finding in json.loads(line)["findings"].items():
            assert (f"{titles[name]} {finding['probability']:.3f}" in shown) == finding["present"]


def test_a_day_among_the_records_is_not_read_into_memory_but_refused(run, ecgs, bundle, tmp_path):
    header = (ecgs / "good-AF.hea").read_text().replace("500 5000", f"500 {24 * 3600 * 500}", 1)
    (tmp_path / "day.hea").write_text(header.replace("good-AF.dat", "day.dat"))
    with (tmp_path / "day.dat").open("wb") as file:
        file.truncate(24 * 3600 * 500 * 12 * 2)  # it takes no room: no byte is written
    result = run("predict", tmp_path, ecgs, "--bundle", bundle, "--format", "json")
    assert result.exit_code == 1
    (refused,) = [json.loads(line) for line in result.stdout.splitlines() if "error" in json.loads(line)]
    assert refused["error"].startswith(f"{tmp_path / 'day.hea'}: 24.0 h long; expected at most 1 h")
    assert "ecoscale timeline" in refused["error"]
