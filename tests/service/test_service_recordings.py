"""What is answered of a recording is what the library says of it, under the name that the client gave it."""

import json
import sys

import numpy as np
import pytest

from ecoscale import Classifier, read_ecg
from ecoscale.datasets.layouts.holter import random_stretches, write_holter
from ecoscale.ecg import LEADS
from service.conftest import form, left_behind


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load(threads=1)


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    """A record of 3 minutes at 250 Hz."""
    folder = tmp_path_factory.mktemp("holter")
    write_holter(folder, random_stretches(0.05, 1), hours=0.05, rate=250, leads=LEADS, record="night")
    return folder


def test_a_prediction_is_that_of_the_classifier(client, classifier, ecgs, af):
    answer = client.post("/v1/predict", files=af)
    expected = classifier.predict(read_ecg(ecgs / "patient-jones-AF.hea"))
    assert answer.status_code == 200
    found = answer.json()
    assert found["source"] == "patient-jones-AF.hea"
    assert found.pop("warnings_in_words") == []
    assert found.pop("titles") == {name: finding.title for name, finding in expected.findings.items()}
    assert found == expected.to_dict() | {"source": "patient-jones-AF.hea"}
    assert "AF" in expected.present
    assert left_behind(client) == []


def test_a_file_may_be_the_body_itself(client, classifier):
    from pydicom.data import get_testdata_file

    path = get_testdata_file("waveform_ecg.dcm", download=False)
    with open(path, "rb") as stream:  # noqa: PTH123
        answer = client.post("/v1/predict?filename=cart.dcm", content=stream.read())
    expected = classifier.predict(read_ecg(path)).to_dict()
    assert answer.json()["findings"] == expected["findings"]
    assert answer.json()["source"] == "cart.dcm"


def test_what_a_file_does_not_state_the_query_does(client, classifier, ecgs, tmp_path):
    ecg = read_ecg(ecgs / "patient-jones-AF.hea")
    np.save(tmp_path / "bare.npy", ecg.signal * 1000)
    query = {"rate": 500, "unit": "uV", "leads": ",".join(ecg.leads)}
    answer = client.post("/v1/predict", params=query, files=form(tmp_path / "bare.npy"))
    for name, expected in classifier.predict(ecg).findings.items():
        assert answer.json()["findings"][name]["probability"] == pytest.approx(expected.probability, abs=1e-4)


def test_samples_may_be_sent_as_json(client, classifier, ecgs):
    ecg = read_ecg(ecgs / "patient-jones-AF.hea")
    signal = [[None if number == 7 else value for number, value in enumerate(row)] for row in ecg.signal.tolist()]
    content = {"signal": signal, "rate": 500, "unit": "mV", "leads": list(ecg.leads)}
    found = client.post("/v1/predict", json=content).json()
    assert found["warnings"][0].startswith("missing_samples")
    assert found["findings"]["AF"]["present"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": 0}, "rate: Input should be greater than 0"),
        ({"signal": [[1, 2], [3]]}, "signal: its rows have 1 to 2 samples"),
        ({"signal": [[1, "x"]]}, "signal.0.1: Input should be a valid number"),
        ({"leads": ["I", "V9"]}, "V9"),
        ({"unit": "bananas"}, "'bananas', which is not a unit of voltage"),
        ({"rates": 500}, "rates: Extra inputs are not permitted"),
    ],
)
def test_samples_that_are_not_as_they_should_be_are_refused_by_field(client, change, said):
    content = {"signal": [[1, 2], [3, 4]], "rate": 500, "unit": "mV", "leads": ["I", "II"]} | change
    answer = client.post("/v1/predict", json=content)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_several_files_are_classified_together_and_one_that_is_broken_says_so(client, ecgs, af, classifier):
    files = [*af, ("file", ("broken.dcm", b"junk")), *form(*sorted(ecgs.glob("*normal.*")))]
    results = client.post("/v1/predict/batch", files=files).json()["results"]
    assert [result["source"] for result in results] == [
        "patient-jones-AF.hea",
        "broken.dcm",
        "patient-jones-normal.hea",
    ]
    assert results[1]["error"].startswith("broken.dcm: not a format that is known")
    assert results[0] == client.post("/v1/predict", files=af).json()


def test_files_of_several_recordings_are_not_guessed_among(client, ecgs, af):
    files = [*af, *form(*sorted(ecgs.glob("*normal.*")))]
    answer = client.post("/v1/predict", files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "several_recordings")
    assert "record=" in answer.json()["error"]["message"]
    chosen = client.post("/v1/predict?record=patient-jones-normal", files=files)
    assert chosen.json()["record"] == "patient-jones-normal"


def test_another_bundle_is_asked_by_name(client, af):
    assert client.get("/v1/bundles").json() == {"bundles": ["six-findings", "six-findings-small"]}
    found = client.post("/v1/predict?bundle=six-findings-small", files=af).json()
    assert found["bundle"].startswith("six-findings-small ")
    unknown = client.post("/v1/predict?bundle=nosuch", files=af)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_bundle")


def test_an_error_names_the_clients_file_and_no_path_of_the_server(client, ecgs):
    answer = client.post("/v1/predict", files=form(ecgs / "patient-jones-AF.hea"))
    message = answer.json()["error"]["message"]
    assert answer.status_code == 422
    assert message.startswith("patient-jones-AF.hea: the signal file patient-jones-AF.dat")
    assert str(client.uploads) not in message
    assert left_behind(client) == []


def test_the_signal_is_in_whole_microvolts(client, ecgs, af):
    found = client.post("/v1/ecg?start=2&seconds=0.5", files=af).json()
    ecg = read_ecg(ecgs / "patient-jones-AF.hea")
    assert (found["leads"], found["rate"], found["unit"]) == (list(LEADS), 500, "uV")
    assert (found["start"], found["seconds"], found["duration"]) == (2, 0.5, 10)
    assert np.array_equal(found["signal"], np.rint(ecg.signal[:, 1000:1250].astype(float) * 1000))


def test_a_missing_sample_is_null(client):
    content = {"signal": [[0.001, None], [0.5, -0.25]], "rate": 2, "unit": "mV", "leads": ["I", "II"]}
    found = client.post("/v1/ecg", json=content).json()
    assert found["signal"][:2] == [[1, None], [500, -250]]


def test_any_stretch_of_a_long_record_can_be_drawn(client, holter):
    files = form(holter / "night.hea", holter / "night.dat")
    found = client.post("/v1/ecg?start=118&seconds=4", files=files).json()
    whole = read_ecg(holter / "night.hea")
    assert np.array_equal(found["signal"], np.rint(whole.signal[:, 118 * 250 : 122 * 250].astype(float) * 1000))
    late = client.post("/v1/ecg?start=500", files=files)
    assert (late.status_code, late.json()["error"]["code"]) == (422, "invalid_parameter")


def test_a_timeline_is_that_of_the_library(client, classifier, holter):
    from ecoscale.formats.long_records import open_long_record
    from ecoscale.timeline import timeline

    files = form(holter / "night.hea", holter / "night.dat")
    found = client.post("/v1/timeline?hop=10", files=files).json()
    expected = timeline(classifier, open_long_record(holter / "night.hea"), hop=10)
    assert found["findings"] == json.loads(json.dumps(expected.summary()["findings"]))
    assert [window["start_s"] for window in found["windows"]] == list(range(0, 180, 10))
    assert found["windows"][3]["probabilities"]["AF"] == pytest.approx(expected.probabilities[3, -1], abs=1e-6)


def test_reports_are_downloads(client, af):
    page = client.post("/v1/report?format=html", files=af)
    assert page.headers["content-disposition"] == 'attachment; filename="ecg-report.html"'
    assert "<svg" in page.text
    assert str(client.uploads) not in page.text
    predicted = client.post("/v1/predict?measure=true", files=af).json()
    assert client.post("/v1/report?format=json", files=af).json() == predicted
    assert left_behind(client) == []


def test_measurements_without_neurokit2_are_said_to_be_not_installed(client, af, monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    answer = client.post("/v1/predict?measure=true", files=af)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_installed")
    assert "pip install 'ecoscale[measure]'" in answer.json()["error"]["message"]
    report = client.post("/v1/report?format=json", files=af)
    assert report.status_code == 200
    assert "measurements" not in report.json()
    assert left_behind(client) == []


def test_an_unknown_finding_is_refused_before_anything_is_read(client, af):
    answer = client.post("/v1/explain?finding=VF", files=af)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_finding")


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"", "application/octet-stream", "no_file"),
        (b"--x\r\n", "multipart/form-data; boundary=x", "bad_request"),
        (
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            "bad_request",
        ),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "no_file"),
        (b"{", "application/json", "invalid_samples"),
    ],
)
def test_a_body_that_holds_no_file_says_what_is_expected(client, content, kind, code):
    answer = client.post("/v1/predict", content=content, headers={"content-type": kind})
    assert answer.json()["error"]["code"] == code
    assert 400 <= answer.status_code < 500
    assert left_behind(client) == []


@pytest.mark.parametrize("name", ["..", "/", "a/..", "x" * 300, "\x07"])
def test_a_name_that_is_none_is_refused(client, name):
    answer = client.post("/v1/predict", params={"filename": name}, content=b"1 2 3")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_a_path_for_a_name_is_its_last_part(client):
    answer = client.post("/v1/predict", params={"filename": r"C:\ward\..\..\etc/ecg.xyz"}, content=b"\x01\x02")
    assert answer.json()["error"]["message"].startswith("ecg.xyz: not a format that is known")
