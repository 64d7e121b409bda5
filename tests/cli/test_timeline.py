"""`ecoscale timeline`: a long record in, episodes, windows and a picture out."""

import csv
import json
from datetime import date, time

import numpy as np
import pytest

from ecoscale.datasets.layouts import Stretch, write_holter
from ecoscale.formats import read_ecg


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    """Three minutes at 250 Hz, AF from 60 to 120 s and the electrodes off from 150 to 170 s."""
    folder = tmp_path_factory.mktemp("holter")
    return write_holter(folder, [Stretch(60, 120), Stretch(150, 170, off=True)], hours=0.05, rate=250, seed=1)


def test_episodes_are_printed_with_the_time_of_day_and_what_was_not_classified(run, holter):
    result = run("timeline", holter)
    assert result.exit_code == 0, result.stderr
    shown = result.stdout
    assert "0:03:00 of 12 leads at 250 Hz, from 2024-03-01 08:00:00; 35 windows of 10 s every 5 s" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("AF       2024")]
    assert line.split()[2] in ("08:00:52.5", "08:00:57.5", "08:01:02.5")
    assert "not classified: " in shown
    assert "flat_lead: " in shown
    assert "not a diagnosis" in shown


def test_windows_summary_and_picture_are_written(run, holter, tmp_path):
    files = {name: tmp_path / name for name in ("w.csv", "s.json", "p.svg")}
    result = run(
        "timeline",
        holter,
        "--output",
        files["w.csv"],
        "--summary",
        files["s.json"],
        "--plot",
        files["p.svg"],
        "--hop",
        10,
    )
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(files["w.csv"].read_text().splitlines()))
    assert [float(row["start_s"]) for row in rows] == list(range(0, 180, 10))
    assert {row["AF_present"] for row in rows} == {"0", "1", ""}
    summary = json.loads(files["s.json"].read_text())
    (episode,) = summary["findings"]["AF"]["episodes"]
    assert (episode["start_s"], episode["stop_s"]) == pytest.approx((60, 120), abs=10)
    assert "<svg" in files["p.svg"].read_text()


def test_thresholds_and_the_rule_of_episodes_are_the_users(run, holter, tmp_path):
    def episodes(*options):
        assert run("timeline", holter, "--summary", tmp_path / "s.json", *options).exit_code == 0
        return json.loads((tmp_path / "s.json").read_text())["findings"]["AF"]["episodes"]

    assert len(episodes()) == 1
    assert episodes("--shortest", 90) == []
    assert len(episodes("--threshold", "AF=0", "--merge", 0)) == 2
    assert len(episodes("--threshold", "AF=0", "--merge", 60)) == 1


def test_a_npy_needs_what_it_does_not_state(run, tmp_path):
    signal = np.zeros((12, 3000), np.float32)
    np.save(tmp_path / "a.npy", signal)
    assert "does not state its rate, unit, leads" in run("timeline", tmp_path / "a.npy").stderr
    leads = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    result = run("timeline", tmp_path / "a.npy", "--rate", 100, "--unit", "mV", "--leads", leads)
    assert result.exit_code == 0
    assert "not classified: 5 of 5 windows" in result.stdout


def test_a_bundle_of_other_leads_is_answered_by_what_to_do(run, tmp_path):
    header = write_holter(tmp_path, hours=0.01, rate=250, leads=("II", "V1", "V5"))
    result = run("timeline", header)
    assert result.exit_code == 2
    assert "no lead I, III" in result.stderr
    assert "ecoscale finetune six-findings RECORDS --leads II,V1,V5 makes one" in result.stderr


def test_a_suffix_that_is_not_known_is_refused_before_anything_is_read(run, holter, tmp_path):
    result = run("timeline", holter, "--output", tmp_path / "w.xlsx")
    assert result.exit_code == 2
    assert "use .csv, .jsonl or .parquet" in result.stderr
    result = run("timeline", holter, "--plot", tmp_path / "p.gif", "--output", tmp_path / "w.csv")
    assert result.exit_code == 2
    assert not (tmp_path / "w.csv").exists()


def test_a_holter_is_made_by_synth(run, tmp_path):
    result = run("synth", tmp_path, "--layout", "holter", "--hours", 0.1, "--rate", 250, "--leads", "II,V1,V5")
    assert result.exit_code == 0, result.stderr
    assert "0.1 h with 1 episode of AF, listed in" in result.stdout
    assert (tmp_path / "holter.dat").stat().st_size == 2 * 3 * 250 * 360
    result = run("synth", tmp_path / "b", "--hours", 1)
    assert result.exit_code == 2
    assert "--hours" in result.stderr


def test_an_edf_is_read_with_the_clock_of_its_header(run, holter, tmp_path):
    edfio = pytest.importorskip("edfio")
    ecg = read_ecg(holter)
    signals = [
        edfio.EdfSignal(row, ecg.rate, label=f"ECG {lead}", physical_dimension="mV", physical_range=(-8, 8))
        for lead, row in zip(ecg.leads, ecg.fill_gaps().signal.astype(float), strict=True)
    ]
    about = {"recording": edfio.Recording(startdate=date(2024, 3, 1)), "starttime": time(8)}
    edfio.Edf(signals, data_record_duration=1, **about).write(tmp_path / "holter.edf")
    shown = run("timeline", tmp_path / "holter.edf").stdout
    assert "0:03:00 of 12 leads at 250 Hz, from 2024-03-01 08:00:00; 35 windows" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("AF       2024")]
    assert line.split()[2] in ("08:00:52.5", "08:00:57.5", "08:01:02.5")
