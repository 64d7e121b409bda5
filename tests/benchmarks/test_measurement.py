import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurement import (
    Timing,
    describe_machine,
    matmul_rates,
    measure_together,
    read_results,
    run_process,
    write_results,
)

SECONDS = st.floats(1e-6, 1e3)


def test_every_candidate_has_its_turn_in_every_round():
    calls = []
    times = measure_together({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, seconds=0)
    assert "".join(calls) == "aabbaabb"  # the first call of a turn does not count
    assert [len(turn) for turn in times["a"].rounds] == [1, 1]


def test_a_turn_lasts_as_long_as_it_is_told():
    (turn,) = measure_together({"a": lambda: sum(range(100))}, rounds=1, seconds=0.01)["a"].rounds
    assert 0.01 <= sum(turn) < 0.01 + 2 * max(turn)


def test_the_progress_is_told_of_every_turn():
    told = []
    measure_together({"a": int, "b": int}, rounds=2, seconds=0, progress=told.append)
    assert told == ["a", "b", "a", "b"]


def test_no_round_is_refused():
    with pytest.raises(ValueError, match="rounds is 0"):
        measure_together({"a": int}, rounds=0)


def test_a_ratio_is_taken_within_rounds():
    # The machine slowed down to a tenth in the second round; both were slowed.
    fast, slow = Timing(((1.0, 1.0, 9.0), (10.0,))), Timing(((2.0,), (20.0, 20.0)))
    assert fast.ratio_to(slow) == 2
    assert slow.ratio_range(fast) == (0.5, 0.5)


def test_a_ratio_is_of_the_rounds_that_both_took_part_in():
    assert Timing(((1.0,), (5.0,))).ratio_to(Timing(((3.0,),))) == 3


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=7))
def test_quartiles_enclose_the_median_and_a_ratio_its_range(pairs):
    ours, theirs = (Timing(tuple((seconds,) for seconds in column)) for column in zip(*pairs, strict=True))
    low, high = ours.iqr_ms
    assert low <= ours.median_ms <= high
    assert ours.ratio_range(theirs)[0] <= ours.ratio_to(theirs) <= ours.ratio_range(theirs)[1]
    assert ours.ratio_to(ours) == 1


def test_a_process_is_charged_for_its_own_memory_only():
    held = np.ones(20_000_000)  # 160 MB in this process
    small = run_process([sys.executable, "-S", "-c", "pass"])
    large = run_process([sys.executable, "-S", "-c", "b'x' * 100_000_000"])
    assert held.nbytes / 1e6 > 100 > small.peak_mb
    assert 95 < large.peak_mb - small.peak_mb < 110
    assert small.seconds > 0


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"exit status 3; no such record"):
        run_process([sys.executable, "-c", "import sys; print('no such record', file=sys.stderr); sys.exit(3)"])


def test_every_library_multiplies_matrices():
    rates = matmul_rates(1, seconds=0, sizes=(64,))
    assert set(rates) == {"numpy", "onnxruntime", "torch"}
    assert min(rates.values()) > 0


def test_the_machine_is_described_in_plain_values():
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cores"] >= 1
    assert machine["memory_gb"] > 0
    assert "numpy" in machine["versions"]


def test_results_are_read_as_they_were_written(tmp_path):
    rows = [{"name": "a"} | Timing(((0.001, 0.003),)).to_dict()]
    path = tmp_path / "results" / "some.json"
    written = write_results(path, command="make bench", rows=rows, matmul_gmacs={1: 98.765432}, notes=["noted"])
    assert read_results(path) == written
    assert written["matmul_gmacs"] == {"1": 98.77}
    assert written["rows"] == [{"name": "a", "median_ms": 2.0, "iqr_ms": [1.5, 2.5], "calls": 2}]
