"""Whatever is sent: never a 500, never a traceback, never a fault of a reader, never a file left behind."""

import io
import logging
import zipfile

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoscale.ecg import LEADS
from service.conftest import left_behind
from service.test_limits import figures

logging.getLogger("ecoscale.service").addHandler(logging.NullHandler())


@pytest.fixture(scope="module")
def whole_files(ecgs, tmp_path_factory):
    """A file of every format that is read, by name, each with the query that it needs."""
    from pydicom.data import get_testdata_file

    from ecoscale import read_ecg
    from ecoscale.datasets.layouts import write_code15

    folder = tmp_path_factory.mktemp("whole")
    ecg = read_ecg(ecgs / "patient-jones-AF.hea")
    write_code15(folder, 2, seed=3, compression=None)
    np.save(folder / "bare.npy", ecg.signal)
    np.savetxt(folder / "table.csv", ecg.signal[:, :500].T, delimiter=",", header=",".join(LEADS), comments="")
    with zipfile.ZipFile(folder / "record.zip", "w") as archive:
        for path in ecgs.glob("*-AF.*"):
            archive.write(path, path.name)
    stated = f"rate=500&unit=mV&leads={','.join(LEADS)}"
    with open(get_testdata_file("waveform_ecg.dcm", download=False), "rb") as stream:  # noqa: PTH123
        dicom = stream.read()
    return {
        "cart.dcm": (dicom, ""),
        "part.hdf5": (next(folder.glob("*.hdf5")).read_bytes(), "record=0"),
        "bare.npy": ((folder / "bare.npy").read_bytes(), stated),
        "table.csv": ((folder / "table.csv").read_bytes(), "rate=500&unit=mV"),
        "record.zip": ((folder / "record.zip").read_bytes(), ""),
    }


damage = st.tuples(
    st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8)
)


def damaged(content, how):
    """The content with its end cut off and some bytes flipped."""
    kept, flips = how
    cut = bytearray(content[: max(1, int(kept * len(content)))])
    for where, bits in flips:
        cut[int(where * min(len(cut), 4096))] ^= bits
    return bytes(cut)


def unharmed(client, answer):
    """Whether an answer is one that was meant."""
    assert answer.status_code in (200, 400, 413, 422, 501), answer.text[:300]
    assert "Traceback" not in answer.text
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"code", "message"}
    assert left_behind(client) == []


@pytest.mark.parametrize("path", ["predict", "predict/batch", "ecg", "timeline"])
@given(name=st.sampled_from(["cart.dcm", "part.hdf5", "bare.npy", "table.csv", "record.zip"]), how=damage)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_in_words(client, whole_files, path, name, how):
    content, query = whole_files[name]
    answer = client.post(f"/v1/{path}?{query}", files=[("file", (name, damaged(content, how)))])
    unharmed(client, answer)
    assert ("ecoscale_faults_total", "reader") not in figures(client), answer.text


@given(header=damage, samples=damage)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_record_of_two_files_is_refused_in_words(client, af, header, samples):
    files = [
        (field, (name, damaged(content, how)))
        for (field, (name, content)), how in zip(af, (header, samples), strict=True)
    ]
    unharmed(client, client.post("/v1/predict", files=files))


@given(body=damage, boundary=st.sampled_from(["x", "", "y", "x" * 300, "é"]))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_form_is_refused_in_words(client, body, boundary):
    content = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nI,II\r\n1,2\r\n--x--\r\n'
    kind = f"multipart/form-data; boundary={boundary}".encode()
    unharmed(client, client.post("/v1/predict", content=damaged(content, body), headers={b"content-type": kind}))


def test_a_zip_that_would_fill_the_disk_is_not_unpacked(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.dat", bytes(200 << 20))
        archive.writestr("big.hea", "big 1 500 1000\nbig.dat 16 200/mV 16 0 0 0 0 I\n")
    unharmed(client, client.post("/v1/predict", files=[("file", ("big.zip", packed.getvalue()))]))


def sent(client, case):
    """The answer to a case of schemathesis, by the client of the application that runs already."""
    stated = case.as_transport_kwargs(base_url="http://testserver")
    fields = ("method", "url", "headers", "files", "data", "json", "params", "cookies")
    request = requests.Request(**{name: stated[name] for name in fields if name in stated}).prepare()
    return client.request(request.method, request.url, headers=dict(request.headers), content=request.body)


def test_whatever_the_description_of_the_api_allows_is_answered_as_it_says(client):
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    seen = set()
    for operation in schema.get_all_operations():
        operation = operation.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
        )
        def each(case):
            answer = sent(client, case)
            seen.add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 501, answer.text[:300]
            assert "Traceback" not in answer.text
            assert str(answer.status_code) in case.operation.definition.raw["responses"], answer.text[:300]

        each()
    assert {200, 422} <= seen
    assert left_behind(client) == []
    assert "ecoscale_faults_total" not in {key[0] for key in figures(client)}
