"""`ecoscale explain`: a record in, the leads and seconds that speak for its findings out."""

import json

import numpy as np
import pytest

from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder of two short records: 1dAVb-LBBB, normal."""
    folder = tmp_path_factory.mktemp("explain")
    made = {"both": ("1dAVb", "LBBB"), "normal": ()}
    write_wfdb(
        folder, [synthetic_ecg(found, seed=4, duration=5, rate=250, record=name) for name, found in made.items()]
    )
    return folder


def test_the_findings_that_are_present_are_explained(run, records):
    result = run("explain", records / "both.hea")
    assert result.exit_code == 0, result.stderr
    assert "LBBB (left bundle branch block): present, probability" in result.stdout
    assert "leads: " in result.stdout
    assert "AF (" not in result.stdout
    assert "Relevance by occlusion for six-findings" in result.stdout
    assert "not a diagnosis" in result.stdout


def test_without_one_the_most_probable_is(run, records):
    result = run("explain", records / "normal.hea")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("not present, probability") == 1


def test_json_holds_every_finding_that_was_asked_for(run, records, tmp_path):
    output = tmp_path / "new" / "e.json"
    result = run("explain", records / "normal.hea", "--finding", "AF", "-F", "SB", "--output", output)
    assert result.exit_code == 0, result.stderr
    one, other = json.loads(output.read_text())
    assert (one["finding"], other["finding"]) == ("AF", "SB")
    assert np.shape(one["values"]) == (12, 125)
    assert one["leads"][0] == "I"


def test_it_is_drawn_a_file_a_finding(run, records, tmp_path):
    result = run("explain", records / "normal.hea", "-F", "AF", "-F", "SB", "--output", tmp_path / "e.svg")
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"e-AF.svg", "e-SB.svg"}
    assert "Relevance for AF by occlusion" in (tmp_path / "e-AF.svg").read_text()


def test_gradients_tell_what_they_miss_and_are_drawn_too(run, records, tmp_path):
    output = tmp_path / "new" / "e.png"
    result = run("explain", records / "both.hea", "-F", "LBBB", "--method", "gradients", "--output", output)
    assert result.exit_code == 0, result.stderr
    assert "integrated gradients miss " in result.stdout
    assert "Relevance by gradients" in result.stdout
    assert output.read_bytes().startswith(b"\x89PNG")


def test_one_window_of_a_long_npy_is_explained_from_a_start(run, tmp_path):
    ecg = synthetic_ecg(["AF"], seed=1, duration=90, rate=250).ecg.select(["II", "V1", "V5"])
    np.save(tmp_path / "long.npy", ecg.signal)
    options = ("--rate", 250, "--unit", "mV", "--leads", "II,V1,V5", "--bundle", "six-findings-holter")
    result = run("explain", tmp_path / "long.npy", *options)
    assert result.exit_code == 2
    assert "90 s is too long to be explained as a whole" in result.stderr
    result = run("explain", tmp_path / "long.npy", *options, "--start", 60, "--output", tmp_path / "e.json")
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads((tmp_path / "e.json").read_text())
    assert found["start"] == 60
    assert all(60 <= span["start"] < span["stop"] <= 70 for span in found["spans"])


def test_what_is_unknown_is_refused_before_anything_is_read(run, tmp_path):
    result = run("explain", tmp_path / "none.hea", "--finding", "VF")
    assert result.exit_code == 2
    assert "it knows 1dAVb, RBBB, LBBB, SB, ST, AF" in result.stderr
    result = run("explain", tmp_path / "none.hea", "--output", tmp_path / "e.gif")
    assert result.exit_code == 2
    assert "use .png, .svg, .pdf, .json" in " ".join(result.stderr.replace("│", "").split())


def test_p_waves_are_put_in_where_they_may_be_missing(run, records):
    result = run("explain", records / "normal.hea", "--finding", "AF", "--method", "insertion")
    assert result.exit_code == 0, result.stderr
    assert "Relevance by insertion" in result.stdout
