"""The Ray engine, by real worker processes of one machine: the rows of this process, whatever ends in the middle."""

import os
import signal

import pytest

from cluster.conftest import rows
from ecoscale.cluster.engine import Pool, classify_on_ray

pytestmark = pytest.mark.usefixtures("ray_of_two")


def test_two_actors_give_the_rows_of_this_process(begin, archive, undisturbed, tmp_path):
    begun = begin([archive], tmp_path)
    outcomes = list(classify_on_ray(begun.todo, begun.orders, Pool(2, 2)))
    assert sorted(outcome.number for outcome in outcomes) == list(range(8))
    assert {outcome.error for outcome in outcomes} == {""}
    assert sum(outcome.failed for outcome in outcomes) == 1
    assert rows(tmp_path) == rows(undisturbed)
    assert rows(tmp_path, "failed") == rows(undisturbed, "failed")


def test_a_worker_that_is_killed_in_the_middle_loses_nothing_and_doubles_nothing(begin, archive, undisturbed, tmp_path):
    begun = begin([archive], tmp_path)
    killed = set()
    for outcome in classify_on_ray(begun.todo, begun.orders, Pool(1, 1)):
        if not killed:
            os.kill(outcome.process, signal.SIGKILL)
            killed.add(outcome.process)
    assert not begun.todo
    assert rows(tmp_path) == rows(undisturbed)
    assert rows(tmp_path, "failed") == rows(undisturbed, "failed")
    assert not list((tmp_path / "attempts").rglob("part-*"))
