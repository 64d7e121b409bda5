"""Networks and readers in processes of their own."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ecoscale.complexity import measure_complexity
from ecoscale.models import create_model
from peers.environments import FOLDER, THEIRS, python_of
from peers.peer import PeerError, open_peers
from peers.worker import CORNER, RATE, READERS, WINDOW
from side_by_side import IMPORTS, PEERS, network_rows

HERE = Path(sys.executable)


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    path = tmp_path_factory.mktemp("peers") / "signals.npy"
    np.save(path, np.random.default_rng(0).standard_normal((32, 12, 256), dtype=np.float32))
    return path


def test_networks_take_turns_and_what_is_not_here_is_left_out_with_its_reason(signals):
    tasks = {
        "nano": (HERE, {"open": "ecoscale", "model": "ecoscalenet_nano"}),
        "not installed": (HERE, {"open": "tsai", "model": "InceptionTimePlus"}),
        "not made": (python_of("nowhere"), {"open": "ecoscale", "model": "ecoscalenet_nano"}),
    }
    rows = network_rows("256 samples", "nano", tasks, {"refused": "pip said no"}, signals, [1], {1: 100.0}, 2, 0)
    measured = {row["batch"]: row for row in rows if "skipped" not in row}
    assert set(measured) == {1, 32}
    cost = measure_complexity(create_model("ecoscalenet_nano", 12, 6), 12, 256)
    for batch, row in measured.items():
        assert (row["parameters"], row["macs"], row["weights"]) == (cost.parameters, cost.macs, "random")
        assert row["ratio"] == 1
        assert row["floor_ms"] == pytest.approx(cost.macs * batch / 1e8, rel=1e-3)
        assert row["records_per_s"] == pytest.approx(1e3 * batch / row["median_ms"], rel=1e-3)
        assert row["peak_mb"] > 50
    skipped = {row["name"]: row["skipped"] for row in rows if "skipped" in row}
    assert skipped["refused"] == "pip said no"
    assert skipped["not installed"] == "ModuleNotFoundError: No module named 'tsai'"
    assert "make bench-peers" in skipped["not made"]


def test_a_worker_that_dies_is_a_reason(signals):
    with open_peers({"nano": (HERE, {"open": "reader", "reader": "ecoscale"})}, signals) as (peers, reasons):
        assert not reasons
        with pytest.raises(PeerError, match="Error"):
            peers["nano"].ask("turn", batch=1, threads=1, seconds=0)  # an array is no list of paths


def test_by_hand_and_by_ecoscale_the_same_signal_comes_out(recordings):
    record = str(next((recordings / "ptbxl-native").rglob("*_hr.hea")))
    ours, by_hand = (READERS[name]()(record) for name in ("ecoscale", "by hand"))
    assert ours.shape == by_hand.shape == (12, WINDOW)
    middle = slice(int(RATE / CORNER), -int(RATE / CORNER))  # beyond, filters that start otherwise have settled
    assert np.abs(ours - by_hand)[:, middle].max() < 0.05
    assert np.quantile(np.abs(ours - by_hand)[:, middle], 0.99) < 0.01


def test_every_peer_has_pinned_requirements_and_an_import():
    assert {environment for environment, _ in PEERS.values()} - set(THEIRS) == {"ecoscale-train"}
    assert set(THEIRS) < set(IMPORTS)
    for name in THEIRS:
        lines = (FOLDER / "requirements" / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines)
        assert any(line.lower().replace("-", "_").startswith(f"{name}==") for line in lines)
        assert any(line.startswith("torch==") and line.endswith("2.13.0") for line in lines)
