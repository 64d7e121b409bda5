import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import NO_NOISE, Heart, synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import MissingExtraError
from ecoscale.formats import read_ecg
from ecoscale.measurements import Measurements, measure_ecg

HEARTS = {
    "normal": Heart(72, 0.16, 0.09),
    "slow": Heart(45, 0.19, 0.1),
    "1dAVb": Heart(66, 0.28, 0.09),
    "RBBB": Heart(70, 0.17, 0.15, "RBBB"),
}


@pytest.mark.parametrize("rate", [500, 250, 100])
@pytest.mark.parametrize("heart", HEARTS.values(), ids=HEARTS)
def test_known_intervals_are_found_at_every_rate(heart, rate):
    found = measure_ecg(synthetic_ecg(heart=heart, rate=rate, seed=4).ecg)
    assert found.heart_rate == pytest.approx(heart.rate, abs=1)
    # docs/measurements.md: PR is some 8 ms short, QT some 18 ms, because tangents meet the level inside a smooth wave.
    assert found.pr == pytest.approx(1000 * heart.pr_interval - 8, abs=8)
    assert found.qrs == pytest.approx(1000 * heart.qrs_duration, abs=6)
    assert found.qt == pytest.approx(1000 * heart.qt_interval - 18, abs=20)
    assert found.qtc == pytest.approx(found.qt / (60 / found.heart_rate) ** (1 / 3))
    assert not found.notes


def test_left_bundle_branch_block_has_a_wide_qrs():
    found = measure_ecg(synthetic_ecg(heart=Heart(75, 0.17, 0.15, "LBBB"), seed=4).ecg)
    assert 120 <= found.qrs <= 180


@pytest.mark.parametrize("degrees", [-150, -60, -30, 5, 45, 85, 120])
def test_the_axis_is_that_of_the_hexaxial_system(degrees):
    beats = synthetic_ecg(heart=HEARTS["normal"], noise=NO_NOISE, seed=4).ecg.select(["V5"]).signal[0]
    angle = np.radians(degrees)
    signal = np.stack([np.cos(angle) * beats, np.sqrt(3) / 2 * np.sin(angle) * beats])
    assert measure_ecg(ECG(signal, 500, ("I", "aVF"))).axis == pytest.approx(degrees, abs=0.5)


def test_the_axis_of_opposite_polarity_is_opposite():
    ecg = synthetic_ecg(heart=HEARTS["normal"], noise=NO_NOISE).ecg
    one, other = measure_ecg(ecg).axis, measure_ecg(replace(ecg, signal=-ecg.signal)).axis
    assert abs(one - other) == pytest.approx(180, abs=4)


@pytest.mark.parametrize("seed", range(5))
def test_atrial_fibrillation_has_no_pr_and_says_why(seed):
    made = synthetic_ecg(["AF"], seed=seed)
    found = measure_ecg(made.ecg)
    assert found.pr is None
    assert any(note.startswith("no PR: ") for note in found.notes)
    assert found.heart_rate == pytest.approx(made.heart.rate, rel=0.03)
    assert found.rr_variation > 0.1


def test_one_lead_is_measured_without_an_axis():
    found = measure_ecg(synthetic_ecg(heart=HEARTS["normal"], seed=4).ecg.select(["II"]))
    assert 60 <= found.qrs <= 92  # one lead does not show all of QRS
    assert found.axis is None
    assert "no axis: it takes leads I and aVF, or I and II" in found.notes


def test_leads_that_are_off_are_left_out_and_named():
    ecg = synthetic_ecg(heart=HEARTS["normal"], seed=4).ecg
    signal = ecg.signal.copy()
    signal[[6, 7]] = 0
    found = measure_ecg(replace(ecg, signal=signal))
    assert found.pr == pytest.approx(152, abs=8)
    assert "without V1, V2, which are flat" in found.notes


def test_an_extra_beat_takes_no_part_in_the_intervals():
    ecg = synthetic_ecg(heart=Heart(60, 0.16, 0.09, rr_variation=0.0), noise=NO_NOISE, seed=4).ecg
    signal = ecg.signal.copy()
    times = np.arange(ecg.n_samples) / ecg.rate
    made = synthetic_ecg(heart=Heart(60, 0.16, 0.09, rr_variation=0.0), noise=NO_NOISE, seed=4)
    wide = 1.5 * np.exp(-(((times - made.r_peaks[3] - 0.55) / 0.05) ** 2))
    signal += (wide * np.where(np.arange(12) % 2, 1, -1)[:, None]).astype(np.float32)
    found = measure_ecg(replace(ecg, signal=signal))
    assert found.qrs == pytest.approx(90, abs=6)
    assert any("beats have another shape" in note for note in found.notes)


@pytest.mark.parametrize(
    ("signal", "why"),
    [
        (np.zeros((12, 5000)), "no lead spans"),
        (np.full((12, 5000), np.nan), "no lead spans"),
        (np.random.default_rng(0).normal(size=(12, 900)), "too short"),
        (np.random.default_rng(0).normal(size=(12, 5000)), "nothing is measured"),
    ],
    ids=["flat", "missing", "short", "noise"],
)
def test_what_holds_no_beats_is_not_measured_and_the_note_says_why(signal, why):
    found = measure_ecg(ECG(signal, 500, LEADS))
    assert (found.heart_rate, found.qrs, found.pr, found.axis) == (None,) * 4
    assert any(why in note for note in found.notes)


def test_of_a_long_recording_the_first_minute_is_measured_and_that_is_said():
    found = measure_ecg(synthetic_ecg(heart=HEARTS["normal"], duration=100, rate=100, seed=4).ecg)
    assert found.notes == ("measured on the first 60 s of 100 s",)
    assert found.n_beats == pytest.approx(72, abs=2)


def test_of_two_intervals_that_have_nothing_in_common_both_count():
    times = np.arange(1500) / 250
    row = sum(1.5 * np.exp(-0.5 * ((times - beat) / 0.015) ** 2) for beat in (0.6, 0.9, 4.6))
    found = measure_ecg(ECG(np.stack([row, row]), 250, ("I", "II")))
    assert found.heart_rate == pytest.approx(
        30, abs=0.5
    )  # three beats in four seconds: two intervals of 2 s in the mean


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    roughness=st.floats(0, 3),
    spikes=st.lists(st.tuples(st.integers(0, 1499), st.floats(-20, 20)), max_size=12),
    gap=st.integers(0, 1500),
)
def test_no_signal_breaks_it(seed, roughness, spikes, gap):
    signal = roughness * np.random.default_rng(seed).normal(size=(2, 1500))
    for at, height in spikes:
        signal[:, at : at + 10] += height
    signal[:, gap : gap + 50] = np.nan
    found = measure_ecg(ECG(signal, 250, ("I", "II")))
    json.dumps(found.to_dict(), allow_nan=False)


def test_plain_values_name_the_formula_and_round():
    said = Measurements(heart_rate=71.96, qt=400.04, qtc=425.17, rr_variation=0.03333, notes=("no PR",)).to_dict()
    assert said == {
        "heart_rate": 72.0,
        "pr": None,
        "qrs": None,
        "qt": 400.0,
        "qtc": 425.2,
        "axis": None,
        "rr_variation": 0.033,
        "n_beats": 0,
        "notes": ["no PR"],
        "qtc_formula": "Fridericia",
    }


def test_a_real_recording_is_measured(recordings):
    found = measure_ecg(read_ecg(recordings / "ptbxl-native" / "records500" / "00000" / "00001_hr"))
    # Its annotation: sinus rhythm, normal ECG.
    assert 60 <= found.heart_rate <= 100
    assert 110 <= found.pr <= 200
    assert 70 <= found.qrs <= 110


def test_without_neurokit2_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[measure\]"):
        measure_ecg(synthetic_ecg().ecg)
