"""The Ray engine, by real worker processes of one machine: the rows of this process, whatever ends in the middle."""

import io
import os
import re
import signal

import pytest
from pyarrow import parquet

from cluster.conftest import rows
from ecoscale.cluster.engine import Cluster, Pool, classify_on_ray, connected
from ecoscale.cluster.worker import SentBundle
from ecoscale.errors import ClusterError, ResultsError


@pytest.mark.usefixtures("ray_of_two")
def test_of_two_actors_one_is_killed_in_the_middle_and_nothing_is_lost_and_nothing_twice(
    begin, archive, undisturbed, tmp_path
):
    begun = begin([archive], tmp_path)
    killed = None
    numbers = []
    for outcome in classify_on_ray(begun.todo, begun.orders, Pool(2, 2)):
        assert outcome.error == ""
        numbers.append(outcome.number)
        if killed is None:
            killed = outcome.process
            os.kill(killed, signal.SIGKILL)
    assert sorted(numbers) == list(range(8))
    assert not begun.todo
    assert rows(tmp_path) == rows(undisturbed)
    assert rows(tmp_path, "failed") == rows(undisturbed, "failed")
    assert not [path for path in (tmp_path / "attempts").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("ray_of_two")
def test_from_a_bucket_to_a_bucket_by_a_pool_that_grows(begin, archive, undisturbed, bucket):
    source, out = bucket.put_folder("archive", archive), f"{bucket.url}/out"
    begun = begin([source], out)
    done = begun.here.classify(begun.todo[0])
    assert done.error == ""
    outcomes = list(classify_on_ray(begun.todo, begun.orders, Pool(1, 2)))
    assert sorted(outcome.number for outcome in outcomes) == list(range(1, 8))
    assert not begun.todo
    for table in ("findings", "failed"):
        keys = sorted(filter(re.compile(f"out/{table}/").match, bucket.keys()))
        found = [row for key in keys for row in parquet.read_table(io.BytesIO(bucket.get(key))).to_pylist()]
        expected = {(row["record"], row.get("AF_probability")) for row in rows(undisturbed, table)}
        assert {(row["record"], row.get("AF_probability")) for row in found} == expected
        assert len(found) == len(rows(undisturbed, table))


def test_a_pool_has_what_there_is_room_for_unless_told():
    own, theirs = Cluster(None, 8, is_own=True), Cluster(None, 8, is_own=False)
    assert own.pool(2) == Pool(4, 4)
    assert theirs.pool(2) == Pool(1, 4)
    assert theirs.pool(1, Pool(2, 64)) == Pool(2, 64)  # a cluster may grow
    with pytest.raises(ClusterError, match="room for 4; ask for fewer actors"):
        own.pool(2, Pool(5, 5))


@pytest.mark.parametrize("address", ["ray://head:10001"])
def test_a_client_address_is_refused_with_what_to_do(address, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ClusterError, match="ray job submit"), connected(address):
        pass


def test_a_machine_that_does_not_see_the_folder_says_so(begin, archive, tmp_path):
    begun = begin([archive], tmp_path / "out")
    (tmp_path / "out/run.json").unlink()
    with pytest.raises(ResultsError, match="a worker does not see the run in it; give --out a folder that all"):
        begun.orders.begin()


def test_a_bundle_that_was_sent_is_the_bundle(classifier):
    sent = SentBundle.of(classifier.bundle)
    assert sent.unpacked().manifest == classifier.bundle.manifest
    with pytest.raises(ResultsError, match="holds another bundle"):
        SentBundle(sent.checksum[:16] + "0" * 48, sent.files).unpacked()
