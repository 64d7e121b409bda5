"""`ecoscale predict --measure`: measurements beside findings in every form of result, and in both reports."""

import csv
import io
import json

import pandas as pd
import pytest

from ecoscale.formats import read_ecg
from ecoscale.measurements import NUMBERS, measure_ecg


@pytest.fixture
def predict(run, bundle):
    return lambda *arguments: run("predict", *arguments, "--bundle", bundle, "--measure")


def test_json_has_them_before_the_warnings(predict, ecgs):
    found = [json.loads(line) for line in predict(ecgs, "--format", "json").stdout.splitlines()]
    normal = found[2]
    keys = ["source", "record", "findings", "measurements", "disagreements", "warnings", "bundle", "disclaimer"]
    assert list(normal) == keys
    assert normal["measurements"] == measure_ecg(read_ecg(ecgs / "good-normal.hea")).to_dict()
    assert found[0]["measurements"]["pr"] is None


def test_csv_and_parquet_have_a_column_for_each(predict, ecgs, tmp_path):
    rows = list(csv.DictReader(io.StringIO(predict(ecgs, tmp_path / "nothing.hea", "--format", "csv").stdout)))
    assert rows[0]["pr"] == ""  # atrial fibrillation
    assert rows[0]["measurement_notes"].startswith("no PR")
    expected = measure_ecg(read_ecg(ecgs / "good-normal.hea")).to_dict()
    for name in NUMBERS:
        assert float(rows[2][name]) == pytest.approx(expected[name])
    predict(ecgs, tmp_path / "nothing.hea", "-o", tmp_path / "all.parquet")
    table = pd.read_parquet(tmp_path / "all.parquet")
    assert table["qrs"].tolist()[:3] == pytest.approx([float(row["qrs"]) for row in rows[:3]])
    assert table["error"].notna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_resumed_run_goes_on_with_them_and_not_without(predict, run, bundle, ecgs, tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    first = predict(ecgs / "good-AF.hea", "-o", path)
    assert first.exit_code == 0
    result = predict(ecgs / "good-AF.hea", ecgs / "good-normal.hea", "-o", path, "--resume")
    assert (result.exit_code, "1 recordings were done before, 1 now" in result.stderr) == (0, True)
    result = run("predict", ecgs / "good-AF.hea", "-o", path, "--resume", "--bundle", bundle)
    assert result.exit_code == 2
    assert "measured is true, now false" in result.stderr


def test_the_table_tells_them_below(predict, ecgs):
    shown = predict(ecgs / "good-normal.hea").stdout
    assert "good-normal: Heart rate" in shown


def test_both_reports_show_them(predict, ecgs, tmp_path):
    predict(ecgs / "good-normal.hea", "--report", tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert "QTc (Fridericia)" in html
    predict(ecgs, "--report", tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
