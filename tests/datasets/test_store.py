"""An open store: quick at any size, read from many processes, and never taken for whole when it is not."""

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import Code15
from ecoscale.datasets.preparing import prepare, prepare_store
from ecoscale.datasets.store import STEP, is_store, open_store
from ecoscale.errors import DatasetError
from ecoscale.preparation import Preparation

PREPARATION = Preparation(window=400)


@pytest.fixture(scope="module")
def made(code15, tmp_path_factory):
    """A store of 120 synthetic exams. Read it, do not change it."""
    return prepare(Code15(code15), PREPARATION, tmp_path_factory.mktemp("stores") / "exams")


@pytest.fixture
def shelf(code15):
    return Code15(code15)


@pytest.fixture
def store(made, tmp_path):
    """A copy that may be changed."""
    return open_store(shutil.copytree(made.path, tmp_path / "exams"))


class TestReading:
    def test_it_reads_records_by_position_in_millivolts(self, made, shelf):
        positions = [5, 0, 77]
        signals = made.read(positions)
        assert (signals.dtype, signals.shape) == (np.float32, (3, 12, 400))
        for signal, record in zip(signals, made.records.index[positions], strict=True):
            whole = PREPARATION.conform(shelf.read(record))
            start = (whole.shape[1] - 400) // 2
            np.testing.assert_allclose(signal, whole[:, start : start + 400], atol=STEP / 2 * 1.001)

    def test_a_record_that_could_not_be_read_has_no_position(self, made):
        (empty,) = made.manifest.unreadable
        assert (len(made), len(made.records), len(made.signals)) == (119, 119, 120)
        assert empty not in made.records.index
        assert not made.signals[np.setdiff1d(np.arange(120), made.rows)].any()

    def test_labels_are_those_of_the_collection(self, made, shelf):
        findings = ["AF", "1dAVb"]
        where = shelf.records.index.get_indexer(made.records.index)
        np.testing.assert_array_equal(made.labels(findings), shelf.labels(findings)[where])

    def test_codes_come_back_as_they_were(self, made, shelf):
        assert made.codes.tolist() == shelf.records.loc[made.records.index, "codes"].tolist()

    def test_opening_reads_no_signal_and_no_table(self, store):
        """The table is damaged, and found out only when it is needed."""
        (store.path / "records.parquet").write_bytes(b"")
        again = open_store(store.path)
        assert len(again) == 119
        with pytest.raises(DatasetError, match="prepare again"):
            _ = again.records

    def test_another_process_is_sent_the_path_and_not_the_signals(self, made):
        sent = pickle.dumps(made)
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent).read([3]), made.read([3]))

    def test_a_store_of_a_collection_at_hand_keeps_its_present_table_in_another_process(self, shelf, tmp_path):
        prepare_store(shelf, PREPARATION, tmp_path)
        shelf.records["fold"] = 7
        store = pickle.loads(pickle.dumps(prepare_store(shelf, PREPARATION, tmp_path)))
        assert set(store.records["fold"]) == {7}

    def test_many_processes_read_at_once(self, made):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            found = pool.map(made.read, [[row] for row in range(20)])
        np.testing.assert_array_equal(np.concatenate(found), made.read(range(20)))

    def test_it_is_told_from_other_folders(self, made, code15):
        assert is_store(made.path)
        assert not is_store(code15)


class TestVerification:
    def test_a_whole_store_passes(self, made):
        made.verify()

    def test_one_changed_bit_is_found_and_its_rows_are_named(self, store):
        with (store.path / "signals.npy").open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
        with pytest.raises(DatasetError, match=r"rows 0 to 119 of signals.npy are not what was written"):
            open_store(store.path).verify()

    def test_a_changed_table_is_found(self, store):
        path = store.path / "records.parquet"
        pd.read_parquet(path).assign(fold=9).to_parquet(path)
        with pytest.raises(DatasetError, match=r"records.parquet is not what was written"):
            open_store(store.path).verify()


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def without_a_row(path):
    pd.read_parquet(path).iloc[:-1].to_parquet(path)


def without_a_column(path):
    pd.read_parquet(path).drop(columns="fold").to_parquet(path)


def of_another_type(path):
    np.save(path, np.load(path).astype(np.float32))


def of_other_leads(path):
    np.save(path, np.load(path)[:, :8])


def without_a_signal(path):
    np.save(path, np.load(path)[:2])


def empty(path):
    path.write_bytes(b"")


def with_a_hole(path):
    manifest = json.loads(path.read_text())
    del manifest["preparation"]
    path.write_text(json.dumps(manifest))


def a_list(path):
    path.write_text("[]")


class TestCorruption:
    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            *(
                (name, damage)
                for name in ("signals.npy", "records.parquet", "manifest.json")
                for damage in (Path.unlink, empty)
                if (name, damage) != ("manifest.json", Path.unlink)
            ),
            ("signals.npy", cut),
            ("signals.npy", of_another_type),
            ("signals.npy", of_other_leads),
            ("signals.npy", without_a_signal),
            ("records.parquet", without_a_row),
            ("records.parquet", without_a_column),
            ("manifest.json", cut),
            ("manifest.json", with_a_hole),
            ("manifest.json", a_list),
        ],
        ids=lambda value: value if isinstance(value, str) else value.__name__,
    )
    def test_a_store_that_does_not_agree_with_itself_is_refused(self, shelf, store, name, damage):
        path = store.path
        damage(path / name)
        for again in (open_store, lambda path: prepare(shelf, PREPARATION, path)):
            with pytest.raises(DatasetError, match=rf"{path.name}: .*prepare again"):
                len(again(path).records)

    def test_deleting_it_as_the_message_says_mends_it(self, shelf, store):
        path = store.path
        cut(path / "signals.npy")
        shutil.rmtree(path)
        assert len(prepare(shelf, PREPARATION, path)) == 119

    def test_a_folder_that_is_none_is_refused(self, tmp_path):
        with pytest.raises(DatasetError, match=r"not a prepared store, for it has no manifest.json"):
            open_store(tmp_path / "nothing")
