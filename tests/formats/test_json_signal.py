import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import damaged, read_or_refused
from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError
from ecoscale.formats import find_recordings, read_ecg

SIGNAL = np.round(np.random.default_rng(8).normal(size=(12, 60)), 3)
STATED = {"signal": SIGNAL.tolist(), "rate": 500, "unit": "mV", "leads": list(LEADS)}


def written(folder, found):
    path = Path(folder, "ecg.json")
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "found",
    [
        STATED,
        STATED | {"signal": SIGNAL.T.tolist()},
        {"rate": 500, "unit": "uV", "signal": dict(zip(LEADS, (SIGNAL * 1000).tolist(), strict=True))},
    ],
    ids=["leads by samples", "samples by leads", "by name"],
)
def test_json_that_states_all_needs_nothing_else(tmp_path, found):
    ecg = read_ecg(written(tmp_path, found))
    np.testing.assert_allclose(ecg.signal, SIGNAL, rtol=1e-6)
    assert (ecg.rate, ecg.leads) == (500, LEADS)


def test_a_bare_array_takes_what_is_given(tmp_path):
    path = written(tmp_path, SIGNAL.tolist())
    np.testing.assert_allclose(read_ecg(path, rate=250, unit="mV", leads=LEADS).signal, SIGNAL, rtol=1e-6)
    for missing in ("rate", "unit", "leads"):
        given_too = {
            name: value for name, value in {"rate": 250, "unit": "mV", "leads": LEADS}.items() if name != missing
        }
        with pytest.raises(FormatError, match=f"does not state its {missing}"):
            read_ecg(path, **given_too)


def test_null_is_a_missing_sample(tmp_path):
    found = STATED | {"signal": [[None, *row[1:]] for row in SIGNAL.tolist()]}
    ecg = read_ecg(written(tmp_path, found))
    assert np.isnan(ecg.signal[:, 0]).all()
    assert np.isfinite(ecg.signal[:, 1:]).all()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"rate": 500}, "has no signal; expected an object of signal, rate, unit, leads"),
        (STATED | {"gain": 200}, "the JSON has gain"),
        ({key: STATED[key] for key in ("signal", "unit", "leads")}, "does not state its rate"),
        (STATED | {"rate": "500"}, "rate is '500'"),
        (STATED | {"unit": 5}, "unit is 5"),
        (STATED | {"unit": "mmHg"}, "unit is 'mmHg'"),
        (STATED | {"leads": "I II"}, "leads is 'I II'; expected a list"),
        (STATED | {"leads": ["I", "II"]}, "12 x 60 numbers for 2 leads"),
        (STATED | {"signal": SIGNAL[:, :12].tolist()}, "12 x 12 numbers for 12 leads"),
        (STATED | {"signal": 5}, "signal is no array of arrays"),
        (STATED | {"signal": [[1, 2], [3]]}, "rows of 1 and of 2 numbers"),
        (STATED | {"signal": [["1"]] * 12}, "signal holds str"),
        (STATED | {"signal": [[10**400]] * 12}, "OverflowError"),
        (STATED | {"signal": {lead: [1.0] for lead in LEADS}}, "signal names its leads and so does leads"),
    ],
)
def test_what_is_not_stated_or_not_right_is_refused_by_name(tmp_path, found, message):
    with pytest.raises(FormatError, match=rf"ecg.json: .*{message}"):
        read_ecg(written(tmp_path, found))


def test_what_the_file_states_is_not_contradicted(tmp_path):
    path = written(tmp_path, STATED)
    for contradiction in ({"rate": 250}, {"unit": "uV"}, {"leads": LEADS[::-1]}):
        with pytest.raises(FormatError, match="was given"):
            read_ecg(path, **contradiction)


def test_in_a_folder_json_that_states_a_signal_is_a_recording(tmp_path):
    path = written(tmp_path, STATED)
    (tmp_path / "settings.json").write_text('{"rate": 500}')
    (tmp_path / "bare.json").write_text("[[1, 2], [3, 4]]")
    assert [found.path for found in find_recordings([tmp_path])] == [path]


def test_nesting_without_end_is_refused(tmp_path):
    path = tmp_path / "ecg.json"
    path.write_text("[" * 200_000)
    with pytest.raises(FormatError, match="the JSON cannot be read"):
        read_ecg(path)


def test_a_small_file_takes_little_memory(tmp_path):
    path = written(tmp_path, STATED)
    tracemalloc.start()
    read_ecg(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


WHOLE = json.dumps(STATED | {"signal": SIGNAL[:, :4].tolist()}).encode()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    read_or_refused(damaged(data, WHOLE), "ecg.json")
