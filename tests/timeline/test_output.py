"""The windows of a timeline as files."""

import json

import pandas as pd
import pytest

from ecoscale.bundle import Label
from ecoscale.errors import EcoscaleError
from ecoscale.excerpts import Window
from ecoscale.formats.long_records import LongRecord, parse_clock
from ecoscale.inference import FindingResult, Prediction
from ecoscale.timeline import Timeline
from ecoscale.timeline.output import window_writer

LABELS = (Label(name="AF", title="atrial fibrillation", snomed="164889003", threshold=0.5),)


@pytest.fixture
def timeline():
    record = LongRecord("r.hea", "r", 100, ("II",), 3000, parse_clock("10:00:00"), (), lambda *_: iter(()))
    return Timeline(record, "b 1", LABELS, 10, 10, 10)


@pytest.fixture
def windows():
    result = FindingResult("AF", "atrial fibrillation", "164889003", 0.75, 0.5)
    prediction = Prediction("r.hea", "r", {"AF": result}, ("saturated: II", "flat_lead: V1"), "b 1")
    return [Window(0, 10, prediction), Window(10, 20, None, "missing_samples: 80 % of the window")]


def written(path, timeline, windows):
    with window_writer(path, timeline) as write:
        for window in windows:
            write(window)
    return path


def test_csv_has_a_row_a_window_and_empty_cells_where_none_was_classified(tmp_path, timeline, windows):
    assert written(tmp_path / "new" / "w.csv", timeline, windows).read_text().splitlines() == [
        "start_s,stop_s,time,AF_probability,AF_present,warnings",
        "0,10,10:00:00,0.750000,1,saturated: II | flat_lead: V1",
        "10,20,10:00:10,,,missing_samples: 80 % of the window",
    ]


def test_json_lines_have_the_findings_as_predict_writes_them(tmp_path, timeline, windows):
    first, second = map(json.loads, written(tmp_path / "w.jsonl", timeline, windows).read_text().splitlines())
    assert first["findings"] == windows[0].prediction.to_dict()["findings"]
    assert (first["start_s"], first["time"], first["bundle"]) == (0, "10:00:00", "b 1")
    assert (second["findings"], second["warnings"]) == (None, ["missing_samples: 80 % of the window"])


def test_parquet_has_typed_columns(tmp_path, timeline, windows):
    found = pd.read_parquet(written(tmp_path / "w.parquet", timeline, windows * 1500))
    assert len(found) == 3000
    assert list(found.columns) == ["start_s", "stop_s", "time", "AF_probability", "AF_present", "warnings"]
    assert found.AF_probability[0] == 0.75
    assert bool(found.AF_present[0])
    assert pd.isna(found.AF_probability[1])
    assert list(found.warnings[0]) == ["saturated: II", "flat_lead: V1"]


def test_another_suffix_is_refused(tmp_path, timeline):
    with pytest.raises(EcoscaleError, match=r"cannot write to .xlsx; use .csv, .jsonl or .parquet"):
        written(tmp_path / "w.xlsx", timeline, [])
