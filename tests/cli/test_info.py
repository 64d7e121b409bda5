"""`ecoscale info`: what a recording holds and what is doubtful about it, for people and for programs."""

import json

import numpy as np

from ecoscale.ecg import LEADS
from ecoscale.formats import read_ecg


def test_text_shows_leads_duration_rate_and_the_checks(run, ecgs):
    result = run("info", ecgs / "good-AF")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [str(ecgs / "good-AF.hea"), "good-AF"]
    assert " ".join(lines[1]) == "12 leads, 10 s at 500 Hz"
    assert [line[0] for line in lines[3:15]] == list(LEADS)
    assert {line[0] for line in lines[3:15] if line[-1] == "%"} == {"III", "aVR", "aVL", "aVF"}
    assert lines[15] == ["no", "warnings"]


def test_json_has_the_same_for_every_recording_of_a_folder(run, ecgs):
    result = run("info", ecgs, "--json")
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["record"] for each in found] == ["good-AF", "good-LBBB", "good-normal"]
    for each in found:
        assert (each["rate_hz"], each["samples"], each["duration_s"]) == (500, 5000, 10)
        assert list(each["leads"]) == list(LEADS)
        assert all(span["lowest_mv"] < span["highest_mv"] for span in each["leads"].values())
        assert max(each["limb_lead_residual"].values()) < 0.02
        assert each["warnings"] == []


def test_doubts_are_shown(run, tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((12, 5000), np.float32))
    options = ("--rate", 500, "--unit", "mV", "--leads", ",".join(LEADS))
    assert "flat_lead: " in run("info", tmp_path / "flat.npy", *options).stdout
    (warnings,) = [json.loads(run("info", tmp_path / "flat.npy", *options, "--json").stdout)["warnings"]]
    assert any(warning.startswith("flat_lead: ") for warning in warnings)


def test_a_file_that_cannot_be_read_is_said_once_and_the_others_go_on(run, ecgs, tmp_path):
    broken = tmp_path / "broken.hea"
    broken.write_text("junk")
    result = run("info", broken, ecgs / "good-AF")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{broken}: the first line of the WFDB header is 'junk'")
    assert "12 leads, 10 s at 500 Hz" in result.stdout
    result = run("info", broken, ecgs / "good-AF", "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (list(first), second["record"]) == (["source", "record", "error"], "good-AF")


def test_nothing_found_is_a_failure(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("info", tmp_path / "emp*")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no recordings found in" in result.stderr


def test_real_recordings(run, recordings):
    result = run("info", recordings / "code15" / "exams_part0.hdf5", "--json")
    assert result.exit_code == 0
    assert {json.loads(line)["rate_hz"] for line in result.stdout.splitlines()} == {400}


def test_a_dialect_says_how_tables_are_read(run, ecgs, tmp_path):
    ecg = read_ecg(ecgs / "good-AF.hea")
    rows = [";".join(f"{value:.3f}".replace(".", ",") for value in sample) for sample in ecg.signal.T]
    (tmp_path / "ecg.txt").write_text("cart 7\n" + "\n".join(rows) + "\n")
    (tmp_path / "labels.csv").write_text("record,AF\n1,0\n")
    dialect = tmp_path / "cart.yaml"
    dialect.write_text(
        f"rate: {ecg.rate}\nunit: mV\nleads: [{', '.join(ecg.leads)}]\n"
        "skip_rows: 1\ndecimal: ','\ndelimiter: semicolon\n"
    )
    result = run("info", tmp_path, "--dialect", dialect, "--json")
    assert result.exit_code == 0
    facts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["source"], each["samples"]) for each in facts] == [(str(tmp_path / "ecg.txt"), ecg.n_samples)]
