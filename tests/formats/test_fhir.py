import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import damaged, read_or_refused
from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import find_recordings, read_ecg

STEPS = np.random.default_rng(7).integers(-400, 400, (12, 300))
# MDC_ECG_ELEC_POTL_I and so on, as ISO/IEEE 11073-10101 numbers them.
CODES = (131329, 131330, 131389, 131390, 131391, 131392, 131331, 131332, 131333, 131334, 131335, 131336)
SYSTEM = "urn:iso:std:iso:11073:10101"


def coding(code, display=None, system=SYSTEM):
    return {"coding": [{"system": system, "code": str(code)} | ({"display": display} if display else {})]}


def sampled(steps, **fields):
    stated = {
        "origin": {"value": 0, "unit": "uV"},
        "period": 2,
        "factor": 5,
        "dimensions": 1,
        "data": " ".join(map(str, steps)),
    } | fields
    return {name: value for name, value in stated.items() if value is not None}


def observation(codes=None, steps=STEPS, **fields):
    codes = [coding(code) for code in CODES] if codes is None else codes
    parts = [{"code": code, "valueSampledData": sampled(row, **fields)} for code, row in zip(codes, steps, strict=True)]
    return {"resourceType": "Observation", "id": "ekg", "status": "final", "code": coding(131328), "component": parts}


def written(folder, resource):
    path = Path(folder, "ecg.json")
    path.write_text(json.dumps(resource), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "codes",
    [
        [coding(code) for code in CODES],
        [coding(code, system="urn:oid:2.16.840.1.113883.6.24") for code in CODES],
        [coding(code - 256) for code in CODES],
        [coding(code, f"MDC_ECG_ELEC_POTL_{lead.upper()}") for code, lead in zip(CODES, LEADS, strict=True)],
        [coding("x", f"Lead {lead}", "http://example.org") for lead in LEADS],
        [{"text": lead} for lead in LEADS],
    ],
    ids=["codes", "codes by oid", "codes of leads", "codes with names", "names", "texts"],
)
def test_a_lead_is_known_by_its_code_or_its_name(tmp_path, codes):
    ecg = read_ecg(written(tmp_path, observation(codes)))
    np.testing.assert_allclose(ecg.signal, STEPS * 0.005, rtol=1e-6)
    assert (ecg.rate, ecg.leads, ecg.notes) == (500, LEADS, ())


@pytest.mark.parametrize(
    ("interval", "rate"),
    [
        ({"period": 4}, 250),
        ({"period": None, "interval": 2, "intervalUnit": "ms"}, 500),
        ({"period": None, "interval": 0.004, "intervalUnit": "s"}, 250),
    ],
)
def test_the_interval_is_read_in_r4_and_in_r5(tmp_path, interval, rate):
    assert read_ecg(written(tmp_path, observation(**interval))).rate == rate


def test_a_sample_is_the_origin_plus_the_factor_times_the_data(tmp_path):
    ecg = read_ecg(written(tmp_path, observation(origin={"value": 0.5, "code": "mV"}, factor=0.01)))
    np.testing.assert_allclose(ecg.signal, 0.5 + STEPS * 0.01, rtol=1e-5)


def test_errors_and_values_beyond_the_limits_are_missing_and_the_latter_noted(tmp_path):
    found = observation()
    data = found["component"][6]["valueSampledData"]["data"].split()
    found["component"][6]["valueSampledData"]["data"] = " ".join(["E", "U", "L", *data[3:]])
    ecg = read_ecg(written(tmp_path, found))
    assert np.isnan(ecg.signal[6, :3]).all()
    assert np.isfinite(np.delete(ecg.signal, 6, axis=0)).all()
    assert ecg.notes == ("out_of_range: 131331 has 2 samples beyond its limits (U, L)",)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda found: {
            "resourceType": "Bundle",
            "entry": [{"resource": {"resourceType": "Patient"}}, {"resource": found}],
        },
        lambda found: {"resourceType": "DiagnosticReport", "contained": [found]},
    ],
)
def test_an_observation_within_another_resource_is_found(tmp_path, wrapped):
    ecg = read_ecg(written(tmp_path, wrapped(observation())))
    np.testing.assert_allclose(ecg.signal, STEPS * 0.005, rtol=1e-6)


def test_of_several_observations_one_is_read_by_its_id(tmp_path):
    found = [observation(), observation(steps=STEPS[:, ::-1]) | {"id": "second"}]
    path = written(tmp_path, {"resourceType": "Bundle", "entry": [{"resource": each} for each in found]})
    with pytest.raises(FormatError, match="holds Observations ekg, second with SampledData; one is read at a time"):
        read_ecg(path)
    ecg = read_ecg(path, record="second")
    np.testing.assert_allclose(ecg.signal, STEPS[:, ::-1] * 0.005, rtol=1e-6)
    assert ecg.record == "second"


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ({"resourceType": "Patient"}, "a FHIR resource without valueSampledData"),
        (observation(origin={"value": 2048}), "the unit of origin is not stated and is not guessed"),
        (observation(origin={"value": 0, "unit": "mmHg"}), "the unit of origin is 'mmHg'"),
        (observation(period=None), "the interval of its samples is not stated and is not guessed"),
        (observation(period=0), "expected a positive time"),
        (observation(period=True), "period is True"),
        (observation(period=None, interval=2, intervalUnit="d"), "is in 'd'"),
        (observation(dimensions=2), "dimensions is 2"),
        (observation(codeMap="http://example.org"), "has codeMap"),
        (observation(offsets="0 1"), "has offsets"),
        (observation(factor="five"), "factor is 'five'"),
        (observation(data="1 2 three"), "data is not all numbers"),
        (observation(data=""), "data is empty"),
        (observation(steps=[*STEPS[:11], STEPS[11, :5]]), "leads of 5 and of 300 samples"),
        (observation([coding(131329, "MDC_ECG_ELEC_POTL_II"), *map(coding, CODES[1:])]), "coded as lead I and called"),
        ({"resourceType": "Observation", "component": "no list"}, "cannot be read"),
    ],
)
def test_what_is_not_stated_or_not_right_is_refused_by_name(tmp_path, resource, message):
    with pytest.raises(FormatError, match=rf"ecg.json: .*{message}"):
        read_ecg(written(tmp_path, resource))


def test_a_lead_twice_or_not_at_all_is_named(tmp_path):
    with pytest.raises(LeadError, match="both name lead I"):
        read_ecg(written(tmp_path, observation(list(map(coding, [*CODES[:11], 131329])))))
    with pytest.raises(LeadError, match="lead V6 missing"):
        read_ecg(written(tmp_path, observation(list(map(coding, CODES[:11])), STEPS[:11])))


def test_in_a_folder_those_with_samples_are_recordings(tmp_path):
    path = written(tmp_path, observation())
    (tmp_path / "pressure.json").write_text(
        json.dumps({"resourceType": "Observation", "valueQuantity": {"value": 120}})
    )
    assert [found.path for found in find_recordings([tmp_path])] == [path]


WHOLE = json.dumps(observation(steps=STEPS[:, :4])).encode()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    read_or_refused(damaged(data, WHOLE), "ecg.json")
