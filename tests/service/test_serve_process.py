"""The service as a process: what SIGTERM leaves unanswered (nothing), slow clients, several workers, a kill."""

import http.client
import os
import signal
import socket
import threading

import pytest

HEAD = b"POST /v1/predict?filename=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def answer_of(connection):
    """Status and body of the answer to what was sent."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def multipart(files):
    """The head and body of a request that sends files."""
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), content)
        for _, (name, content) in files
    ]
    body = b"".join(parts) + b"--x--\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x"
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
    )


def get(process, path):
    """Status and body."""
    connection = http.client.HTTPConnection(*process.address, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_leaves_nothing_unanswered_and_no_file(process, af, tmp_path, workers):
    served = process("--workers", workers, "--drain", "0.2")
    request, unanswered, answered, going = multipart(af), [], [], threading.Event()

    def client():
        while True:
            try:
                connection = socket.create_connection(served.address, timeout=30)
            except OSError:  # it does not listen any more
                return
            try:
                connection.sendall(request)
                answered.append(answer_of(connection)[0])
            except OSError as error:
                unanswered.append(repr(error))
                return
            finally:
                connection.close()
            if len(answered) > 20:
                going.set()

    clients = [threading.Thread(target=client) for _ in range(6)]
    for each in clients:
        each.start()
    assert going.wait(60)
    served.end()
    for each in clients:
        each.join()
    assert set(answered) == {200}
    done = [line for line in served.log if line["event"] == "request"]
    # Whoever was cut off had connected and was not read: none whose request was taken.
    assert len(done) == len(answered)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_answer_under_way_is_finished_and_readiness_withdrawn(process, af):
    served = process("--drain", "30")
    request = multipart(af)
    begun = socket.create_connection(served.address, timeout=30)
    begun.sendall(request[:-10])
    assert get(served, "/readyz")[0] == 200
    served.process.send_signal(signal.SIGTERM)
    while get(served, "/readyz")[0] == 200:
        pass
    served.process.send_signal(signal.SIGTERM)  # a second one ends the waiting
    begun.sendall(request[-10:])
    assert answer_of(begun)[0] == 200
    begun.close()
    served.end()


def test_a_slow_body_is_408_and_a_full_house_429(process, tmp_path):
    served = process("--queue", 1, "--body-timeout", "0.5")
    slow = socket.create_connection(served.address, timeout=30)
    slow.sendall(HEAD % 10 + b"12345")
    # Its place is taken as soon as it is read, which a few tries may precede.
    while True:
        other = socket.create_connection(served.address, timeout=30)
        other.sendall(HEAD % 4 + b"junk")
        status, body = answer_of(other)
        other.close()
        if status != 422:
            break
    assert (status, b'"busy"' in body) == (429, True)
    status, body = answer_of(slow)
    assert (status, b'"slow_upload"' in body) == (408, True)
    slow.close()
    served.end()
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_client_that_goes_away_leaves_no_file(process, tmp_path):
    served = process("--max-upload", 8)
    gone = socket.create_connection(served.address, timeout=30)
    gone.sendall(HEAD % (4 << 20) + b"x" * (3 << 20))
    gone.close()
    while served.next_line()["event"] != "request":
        pass
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []
    served.end()


def test_what_a_killed_process_left_the_next_removes(process, tmp_path):
    served = process()
    connection = socket.create_connection(served.address, timeout=30)
    connection.sendall(HEAD % (4 << 20) + b"x" * (3 << 20))
    while not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]:
        pass
    served.end(signal.SIGKILL)
    connection.close()
    assert list((tmp_path / "uploads").rglob("upload")) or list((tmp_path / "uploads").rglob("a"))
    other = process()
    assert not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
    other.end()


def test_several_workers_count_together(process, af):
    served = process("--workers", 2)
    request = multipart(af)
    for _ in range(8):
        with socket.create_connection(served.address, timeout=30) as connection:
            connection.sendall(request)
            assert answer_of(connection)[0] == 200
    status, text = get(served, "/metrics")
    assert status == 200
    assert 'ecoscale_requests_total{method="POST",route="/v1/predict",status="200"} 8.0' in text
    served.end()
    assert len({line["process"] for line in served.log if "startup complete" in line["event"]}) == 2


def test_a_key_in_the_environment_is_asked_for(process):
    served = process(ECOSCALE_API_KEY="sesame")
    assert get(served, "/healthz")[0] == 200
    assert get(served, "/v1/bundles")[0] == 401
    served.end()
    assert "sesame" not in str(served.log)


def test_a_port_that_is_taken_is_one_message(tmp_path):
    import subprocess
    import sys

    from service.conftest import SOURCE

    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "ecoscale", "serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(SOURCE)}
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: 127.0.0.1:")
    assert "Traceback" not in done.stderr
