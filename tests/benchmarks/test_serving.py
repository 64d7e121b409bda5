from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from path import recording_paths
from serving import as_request, memory_over, served, summary, under_load


def test_clients_count_what_is_answered_and_what_fails(recordings, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    requests = [as_request(path) for path in recording_paths(recordings / "ptbxl-native", 2)]
    with served(["--threads", "1", "--temporary", str(tmp_path)]) as (process, address):
        good = under_load(address, requests, 3, process, requests=30)
        bad = under_load(address, [requests[0].replace(b"/v1/predict", b"/v1/nosuch1")], 1, process, requests=4)
        memory = memory_over(address, requests, 2, process, 40)
    assert (len(good.latencies), good.failures) == (30, {})
    assert good.server_cpu > 0
    assert bad.failures == {"404": len(bad.latencies)}
    assert len(memory["mb"]) == 20
    assert min(memory["mb"]) > 50
    assert list(tmp_path.iterdir()) == []


def test_throughput_is_told_as_a_share_of_the_batch_rate_before_and_after():
    load = {"requests": 100, "records_per_s": 80.0, "p50_ms": 10.0, "p99_ms": 20.0, "failures": {"503": 2}}
    load |= {"cores_of_clients": 0.5}
    rate = {"records_per_s": 90.0, "cpu_ms": 1.0}
    turn = {"network": 400.0, "classify": rate, "classify after": {"records_per_s": 110.0}, "serve": load}
    found = summary([turn], clients=4, cores=2)
    assert found["share_of_classify"] == 0.8
    assert found["share_of_classify_on_the_cores_that_clients_leave"] == pytest.approx(0.8 / 0.75, rel=1e-3)
    assert (found["failures"], found["p99_over_p50"], found["share_of_network"]) == (2, 2, 0.2)
