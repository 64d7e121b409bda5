"""Limits, the key, headers, logs and figures: what stands between the network and a recording."""

import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.conftest import form, left_behind


def figures(client):
    """Each sample of /metrics, by its name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(start):
    client = start(max_upload=1000)
    read = []

    def body():
        read.append(1)
        yield b"x" * 2000

    answer = client.post("/v1/predict", content=body(), headers={"content-length": "2000"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert answer.headers["connection"] == "close"
    assert read == [] or figures(client)["ecoscale_received_bytes_total",] == 0


def test_a_body_that_does_not_say_its_size_is_refused_where_it_becomes_too_large(start):
    client = start(max_upload=1000)
    answer = client.post("/v1/predict", content=iter([b"x" * 400] * 100))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_long_records_have_a_limit_of_their_own(start, af):
    client = start(max_upload=1000, max_long_upload=10**6)
    assert client.post("/v1/predict", files=af).status_code == 413
    assert client.post("/v1/ecg", files=af).status_code == 200


def test_more_files_than_allowed_are_refused(start, af):
    client = start(max_files=1)
    answer = client.post("/v1/predict", files=af)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_files")


def test_what_takes_too_long_is_given_up_and_its_files_are_removed_all_the_same(start, af):
    client = start(timeout=1e-5)
    answer = client.post("/v1/predict", files=af)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timed_out")
    assert int(answer.headers["retry-after"]) > 0
    # `start` looks whether anything is left when all has ended.


def test_a_large_file_goes_through_the_disk(start, ecgs, tmp_path):
    client = start()
    header = (ecgs / "patient-jones-AF.hea").read_text()
    samples = (ecgs / "patient-jones-AF.dat").read_bytes()
    (tmp_path / "long.hea").write_text(header.replace("patient-jones-AF", "long").replace("500 5000", "500 100000"))
    (tmp_path / "long.dat").write_bytes(samples * 20)
    found = client.post("/v1/predict", files=form(tmp_path / "long.hea", tmp_path / "long.dat")).json()
    assert "AF" in [name for name, finding in found["findings"].items() if finding["present"]]
    assert left_behind(client) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"Authorization": "Basic sesame"}, 401),
        ({"X-API-Key": "sesame"}, 200),
        ({"Authorization": "Bearer sesame"}, 200),
    ],
)
def test_with_a_key_only_those_who_have_it_are_answered(start, headers, status):
    client = start(api_key="sesame")
    answer = client.get("/v1/bundles", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "unauthorised"
    assert client.get("/metrics", headers=headers).status_code == status
    for path in ("/healthz", "/readyz", "/", "/page/index.html"):
        assert client.get(path).status_code == 200


def test_only_names_that_are_allowed_are_answered(start):
    client = start(allowed_hosts=("ecg.example",))
    assert client.get("/readyz", headers={"host": "ecg.example"}).status_code == 200
    refused = client.get("/readyz", headers={"host": "evil.example"})
    assert refused.status_code == 400


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/bundles", "/nosuch"])
def test_every_answer_has_the_headers_that_keep_browsers_in_bounds(client, path):
    headers = client.get(path, headers={"origin": "http://elsewhere.example"}).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    assert len(headers["x-request-id"]) == 16


def test_lines_of_the_log_say_nothing_of_whom(client, af, caplog, monkeypatch):
    from ecoscale.service.logs import JSONLines

    monkeypatch.setattr(logging.getLogger("ecoscale.service"), "propagate", True)
    with caplog.at_level(logging.INFO, "ecoscale.service"):
        for path in (
            "/v1/predict?record=patient-jones-AF&unit=jones",
            "/v1/predict/batch",
            "/jones",
            "/v1/examples/jones",
        ):
            client.post(path, files=af) if "predict" in path else client.get(path)
        client.post("/v1/predict?filename=jones.dcm", content=b"jones")
    lines = [JSONLines().format(record) for record in caplog.records if record.name == "ecoscale.service"]
    assert len(lines) == 5
    assert all("jones" not in line for line in lines)
    first = json.loads(lines[0])
    assert (first["event"], first["route"], first["method"]) == ("request", "/v1/predict", "POST")
    assert first["received"] > 100_000
    assert json.loads(lines[2])["route"] == "none"


def test_a_bug_is_a_500_without_its_message_and_a_line_without_it(client, af, caplog, monkeypatch):
    from ecoscale.service import about
    from ecoscale.service.logs import JSONLines

    def broken(_):
        raise ZeroDivisionError("of Mr Jones")

    monkeypatch.setattr(about, "about_bundle", broken)
    monkeypatch.setattr(logging.getLogger("ecoscale.service"), "propagate", True)
    with caplog.at_level(logging.INFO, "ecoscale.service"):
        answer = client.get("/v1/bundle")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    said = answer.text + "".join(JSONLines().format(record) for record in caplog.records)
    assert "ZeroDivisionError" in said
    assert "ZeroDivisionError" not in answer.text
    assert "Jones" not in said


def test_a_reader_that_fails_unforeseen_is_an_unreadable_file_and_counted(start, af, monkeypatch):
    from ecoscale.service import recordings

    def broken(*_, **__):
        raise ZeroDivisionError("secret")

    client = start()
    monkeypatch.setattr(recordings, "read_ecg", broken)
    answer = client.post("/v1/predict", files=af)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unreadable_file")
    assert "secret" not in answer.text
    assert figures(client)["ecoscale_faults_total", "reader"] == 1


def test_figures_count_what_was_done(start, af):
    client = start()
    for _ in range(3):
        assert client.post("/v1/predict", files=af).status_code == 200
    client.post("/v1/predict", content=b"junk")
    found = figures(client)
    assert found["ecoscale_requests_total", "POST", "/v1/predict", "200"] == 3
    assert found["ecoscale_requests_total", "POST", "/v1/predict", "422"] == 1
    assert found["ecoscale_refusals_total", "unreadable_file"] == 1
    assert found["ecoscale_batch_size_sum", "six-findings"] == 3
    assert found["ecoscale_request_seconds_count", "/v1/predict"] == 4
    assert found["ecoscale_requests_under_way",] == 0


def test_the_api_describes_itself_with_examples(client):
    described = client.get("/openapi.json").json()
    assert described["components"]["schemas"]["Samples"]["examples"]
    assert described["components"]["schemas"]["PredictionAnswer"]["examples"]
    names = {parameter["name"] for parameter in described["paths"]["/v1/predict"]["post"]["parameters"]}
    assert names == {"bundle", "record", "rate", "unit", "leads", "filename", "measure"}
    assert client.get("/docs").status_code == 404


def test_a_bundle_says_what_it_knows_and_how_good_it_was_found_to_be(client):
    found = client.get("/v1/bundle").json()
    assert [label["name"] for label in found["labels"]] == ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]
    assert 0.9 < found["labels"][0]["metrics"]["auroc"] < 1
    assert client.get(found["reliability"]).content.startswith(b"\x89PNG")


def test_examples_are_records_that_show_what_they_are_named_after(client):
    import io
    import zipfile

    offered = client.get("/v1/examples").json()["examples"]
    assert {example["name"] for example in offered} == {"normal", "AF", "LBBB", "RBBB", "1dAVb", "SB", "ST"}
    archive = zipfile.ZipFile(io.BytesIO(client.get("/v1/examples/AF").content))
    files = [("file", (name, archive.read(name))) for name in archive.namelist()]
    assert client.post("/v1/predict", files=files).json()["findings"]["AF"]["present"]
    assert client.get("/v1/examples/nosuch").status_code == 404
