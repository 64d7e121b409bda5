"""Making a prepared store: what the preparation makes of each record, whatever interrupts it."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PTBXL, Code15, CodeTest, Folder, label_matrix
from ecoscale.datasets.layouts import write_code15, write_code_test
from ecoscale.datasets.preparing import prepare, prepare_store
from ecoscale.datasets.store import BLOCK, STEP, open_store
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import CHEST_LEADS, ECG, LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.preparation import Preparation

PREPARATION = Preparation(mean=0.01, scale=0.2)


@dataclass(frozen=True)
class OnShelf:
    """A recording in memory; an exception is raised instead."""

    shelf: object
    name: str

    @property
    def path(self):
        return Path(self.name)

    def read(self):
        self.shelf.reads.append(self.name)
        if isinstance(self.shelf.ecgs[self.name], BaseException):
            raise self.shelf.ecgs[self.name]
        return self.shelf.ecgs[self.name]


class Shelf:
    """Stands in for a collection: recordings in memory, counted as they are read."""

    name = "ptbxl"
    title = "Shelf"
    source = "https://example.org"
    licence = "CC0"
    notes = ("on a shelf",)
    options = MappingProxyType({})
    findings = ("AF", "SB")

    def __init__(self, directory, ecgs):
        self.directory = Path(directory)
        self.ecgs = ecgs
        self.reads = []
        names = list(ecgs)
        codes = [frozenset({"AFIB", "SR"} if row % 2 else set()) for row in range(len(names))]
        self.records = pd.DataFrame(
            {"patient": [f"p{name}" for name in names], "fold": 1, "codes": codes, "path": names},
            index=pd.Index(names, name="record", dtype=object),
        )

    def __len__(self):
        return len(self.records)

    def recording(self, record):
        return OnShelf(self, record)

    def recording_for(self, record, _):
        return self.recording(record)

    def labels(self, findings):
        return label_matrix(self.records["codes"], findings, "SCP")


def synthetic(duration=10, rate=100, seed=0):
    return synthetic_ecg(rate=rate, duration=duration, seed=seed).ecg


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path, {name: synthetic(seed=seed) for seed, name in enumerate("abc")})


@pytest.fixture
def root(tmp_path):
    return tmp_path / "stores"


def folders(root):
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


def digests(store):
    """SHA-256 of each file of a store by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(store.iterdir())}


class TestContent:
    @pytest.mark.parametrize("rate", [100, 500])
    def test_it_holds_what_the_preparation_makes_of_real_records(self, recordings, root, rate):
        collection = PTBXL(recordings / "ptbxl-native", rate)
        store = prepare_store(collection, PREPARATION, root)
        assert (len(store), store.signals.shape, store.signals.dtype) == (20, (20, 12, 1000), np.int16)
        for row, record in zip(store.signals, store.records.index, strict=True):
            ecg = collection.read(record)
            np.testing.assert_allclose(row * STEP, PREPARATION.conform(ecg), atol=STEP / 2 * 1.001)
            # What a network is trained on is what it is given for the same file.
            steps = PREPARATION.standardise(row * STEP)
            tolerance = STEP / 2 / PREPARATION.scale * 1.001
            np.testing.assert_allclose(steps, PREPARATION.windows(ecg)[0], atol=tolerance)
        assert store.records["fold"].equals(collection.records["fold"])
        assert store.records["patient"].equals(collection.records["patient"])
        assert set(store.records["warnings"]) == {""}
        assert store.manifest.unreadable == {}

    def test_a_short_record_is_padded_as_for_use(self, tmp_path, root):
        ecg = synthetic(duration=7.3)
        store = prepare_store(Shelf(tmp_path, {"a": ecg}), PREPARATION, root)
        tolerance = STEP / 2 / PREPARATION.scale * 1.001
        found = PREPARATION.standardise(store.signals[0] * STEP)
        np.testing.assert_allclose(found, PREPARATION.windows(ecg)[0], atol=tolerance)
        assert store.records["warnings"]["a"] == "padded: 7.30 s of signal in a window of 10 s; the rest is zeros"

    def test_a_long_record_gives_its_middle_and_says_so(self, tmp_path, root):
        ecg = synthetic(duration=30.01)
        store = prepare_store(Shelf(tmp_path, {"a": ecg}), PREPARATION, root)
        np.testing.assert_allclose(store.signals[0] * STEP, PREPARATION.conform(ecg)[:, 1000:2000], atol=STEP)
        assert store.records["warnings"]["a"] == "cropped: the middle 10 s of 30.01 s are in the store"

    def test_a_record_of_one_sample_is_stored(self, tmp_path, root):
        store = prepare_store(Shelf(tmp_path, {"a": ECG(np.ones((12, 1)), 100)}), PREPARATION, root)
        assert not store.signals.any()
        assert "short_signal" in store.records["warnings"]["a"]

    def test_eight_leads_are_stored_as_twelve_with_the_note(self, tmp_path, root):
        eight = synthetic().select(["I", "II", *CHEST_LEADS])
        store = prepare_store(Shelf(tmp_path, {"a": eight}), PREPARATION, root)
        assert store.signals.shape == (1, 12, 1000)
        np.testing.assert_allclose(store.signals[0, 2], store.signals[0, 1] - store.signals[0, 0], atol=1.5)

    def test_the_leads_asked_for_are_stored_in_their_order(self, shelf, root):
        order = ("V2", "II")
        store = prepare_store(shelf, Preparation(leads=order, highpass=None), root)
        expected = shelf.ecgs["b"].select(order).signal
        np.testing.assert_allclose(store.signals[1] * STEP, expected, atol=STEP / 2 * 1.001)

    def test_checks_and_notes_of_a_record_are_kept_with_it(self, tmp_path, root):
        signal = synthetic().signal.copy()
        signal[6] = 0
        signal[7, 10:20] = np.nan
        ecg = ECG(signal, 100, notes=["derived_leads: 'III', \"aVR\""])
        store = prepare_store(Shelf(tmp_path, {"a": ecg}), PREPARATION, root)
        warnings = store.records["warnings"]["a"].split("\n")
        assert warnings == list(ecg.check())
        assert [found.partition(":")[0] for found in warnings] == ["derived_leads", "missing_samples", "flat_lead"]

    def test_what_the_integers_cannot_hold_is_clipped_and_said(self, tmp_path, root):
        signal = synthetic().signal.copy()
        signal[8, 500] = 100
        store = prepare_store(Shelf(tmp_path, {"a": ECG(signal, 100)}), Preparation(highpass=None), root)
        assert store.signals[0, 8, 500] == 32767
        assert "clipped: above 32.8 mV in the prepared store" in store.records["warnings"]["a"]

    def test_signals_stay_on_disk_and_cannot_be_written(self, shelf, root):
        store = prepare_store(shelf, PREPARATION, root)
        assert isinstance(store.signals, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            store.signals[0] = 0

    def test_ids_stay_as_they_are_written(self, tmp_path, root):
        names = ["007", "1e5", "NA", "nan", "with,comma"]
        store = prepare_store(Shelf(tmp_path, dict.fromkeys(names, synthetic())), PREPARATION, root)
        assert open_store(store.path).records.index.tolist() == names
        assert open_store(store.path).records["patient"].tolist() == [f"p{name}" for name in names]

    def test_progress_wraps_the_loop_over_the_records(self, shelf, root):
        seen = []

        def progress(records, description, total):
            seen.append((description, total))
            for record in records:
                seen.append(record)
                yield record

        prepare_store(shelf, PREPARATION, root, progress=progress)
        assert seen == [("preparing Shelf", 3), "a", "b", "c"]

    def test_the_table_states_files_codes_and_a_column_of_labels_for_each_finding(self, shelf, root):
        table = pd.read_parquet(prepare_store(shelf, PREPARATION, root).path / "records.parquet")
        names = ["record", "row", "patient", "fold", "path", "codes", "warnings", "label_AF", "label_SB"]
        assert table.columns.tolist() == names
        assert [list(codes) for codes in table["codes"]] == [[], ["AFIB", "SR"], []]
        assert table["label_AF"].tolist() == [0, 1, 0]
        assert table["label_SB"].dtype == "Int8"

    def test_half_precision_keeps_millivolts_to_a_thousandth(self, recordings, root):
        collection = PTBXL(recordings / "ptbxl-native", 100)
        store = prepare(collection, PREPARATION, root / "half", dtype="float16")
        assert (store.signals.dtype, store.manifest.step_mv) == (np.float16, None)
        for signal, record in zip(store.read(range(len(store))), store.records.index, strict=True):
            np.testing.assert_allclose(signal, PREPARATION.conform(collection.read(record)), rtol=1e-3, atol=1e-5)


class TestUnreadable:
    def test_records_that_cannot_be_read_are_listed_with_the_reason_and_left_out(self, tmp_path, root):
        broken = FormatError("b.hea: it is cut off")
        limb = synthetic().select(LEADS[:6])
        shelf = Shelf(tmp_path, {"a": synthetic(seed=1), "b": broken, "c": synthetic(seed=2), "d": limb})
        store = prepare_store(shelf, PREPARATION, root)
        assert store.records.index.tolist() == ["a", "c"]
        assert store.records["patient"].tolist() == ["pa", "pc"]
        assert list(store.manifest.unreadable) == ["b", "d"]
        assert store.manifest.unreadable["b"] == "b.hea: it is cut off"
        assert "no lead V1, V2, V3, V4, V5, V6" in store.manifest.unreadable["d"]
        assert store.records["row"].tolist() == [0, 2]
        for signal, record in zip(store.read([0, 1]), "ac", strict=True):
            np.testing.assert_allclose(signal, PREPARATION.conform(shelf.ecgs[record]), atol=STEP)
        assert not store.signals[[1, 3]].any()
        assert sorted(path.name for path in store.path.iterdir()) == ["manifest.json", "records.parquet", "signals.npy"]

    def test_the_empty_exam_of_a_code15_is_one(self, tmp_path, root):
        write_code15(tmp_path, 6, n_parts=2, compression=None)
        collection = Code15(tmp_path)
        store = prepare_store(collection, Preparation(rate=400, window=4096), root)
        assert (len(store), store.signals.shape) == (5, (6, 12, 4096))
        ((exam, reason),) = store.manifest.unreadable.items()
        assert f"exam {exam} is all zeros" in reason
        assert set(store.records.index) == set(collection.records.index) - {exam}

    def test_where_no_record_can_be_read_it_is_refused_and_nothing_is_left(self, tmp_path, root):
        shelf = Shelf(tmp_path, {"a": FormatError("a.hea: gone"), "b": FormatError("b.hea: gone")})
        with pytest.raises(DatasetError, match=r"no record of Shelf could be read; first: a.hea: gone"):
            prepare_store(shelf, PREPARATION, root)
        assert folders(root) == []

    def test_an_empty_collection_is_refused(self, tmp_path, root):
        with pytest.raises(DatasetError, match="no record of Shelf could be read; first: it is empty"):
            prepare_store(Shelf(tmp_path, {}), PREPARATION, root)


class TestIdentity:
    def test_a_store_is_opened_again_and_not_built_again(self, shelf, root):
        first = prepare_store(shelf, PREPARATION, root)
        shelf.reads.clear()
        second = prepare_store(shelf, PREPARATION, root)
        assert shelf.reads == []
        assert second.path == first.path
        assert second.records.equals(first.records)

    @pytest.mark.parametrize(
        "change",
        [{"rate": 200}, {"window": 500}, {"leads": LEADS[::-1]}, {"highpass": 0.6}, {"highpass": None}],
        ids=str,
    )
    def test_another_preparation_gives_another_store(self, shelf, root, change):
        first = prepare_store(shelf, PREPARATION, root)
        second = prepare_store(shelf, Preparation(**(PREPARATION.model_dump() | change)), root)
        assert first.path != second.path
        assert folders(root) == sorted([first.path.name, second.path.name])

    def test_another_scale_mean_or_overlap_does_not(self, shelf, root):
        first = prepare_store(shelf, PREPARATION, root)
        assert prepare_store(shelf, Preparation(mean=0.3, scale=7, overlap=0.5), root).path == first.path

    def test_another_arithmetic_of_the_preparation_gives_another_store(self, shelf, root, monkeypatch):
        first = prepare_store(shelf, PREPARATION, root)
        monkeypatch.setattr("ecoscale.datasets.preparing.REVISION", "0.2.0")
        assert prepare_store(shelf, PREPARATION, root).path != first.path

    def test_other_records_give_another_store(self, shelf, root):
        first = prepare_store(shelf, PREPARATION, root)
        shelf.records = shelf.records.iloc[:2]
        assert prepare_store(shelf, PREPARATION, root).path != first.path

    def test_another_type_of_number_gives_another_store(self, shelf, root):
        assert (
            prepare_store(shelf, PREPARATION, root, dtype="float16").path
            != prepare_store(shelf, PREPARATION, root).path
        )

    def test_a_place_that_holds_another_store_is_refused_and_says_what_differs(self, shelf, root):
        prepare(shelf, PREPARATION, root / "mine")
        with pytest.raises(DatasetError, match=r"mine: holds another store \(preparation is .*'rate': 100.0"):
            prepare(shelf, Preparation(rate=200), root / "mine")

    def test_a_place_that_holds_something_else_is_refused_and_left_as_it_is(self, shelf, root):
        (root / "mine").mkdir(parents=True)
        (root / "mine" / "thesis.txt").write_text("years of work")
        with pytest.raises(DatasetError, match="something is here already, and it is no prepared store"):
            prepare(shelf, PREPARATION, root / "mine")
        assert folders(root / "mine") == ["thesis.txt"]

    def test_an_empty_folder_may_be_the_place(self, shelf, root):
        (root / "mine").mkdir(parents=True)
        assert len(prepare(shelf, PREPARATION, root / "mine")) == 3

    def test_the_two_rates_of_ptbxl_are_two_stores(self, recordings, root):
        folder = recordings / "ptbxl-native"
        paths = {prepare_store(PTBXL(folder, rate), PREPARATION, root).path for rate in (100, 500)}
        assert len(paths) == 2

    def test_a_folder_has_one_store_whichever_way_it_is_named(self, tmp_path, root, monkeypatch):
        ecgs = {"a": synthetic()}
        (tmp_path / "data").mkdir()
        absolute = prepare_store(Shelf(tmp_path / "data", ecgs), PREPARATION, root)
        monkeypatch.chdir(tmp_path)
        for name in ("data", "./data/", "data/../data"):
            again = Shelf(name, ecgs)
            assert prepare_store(again, PREPARATION, root).path == absolute.path
            assert again.reads == []

    def test_patients_and_folds_are_those_of_the_table_as_it_is_now(self, shelf, root):
        """PTB-XL's reduced table has no patients; the genuine one put in its place must not find the old ones."""
        prepare_store(shelf, PREPARATION, root)
        shelf.records = shelf.records.assign(patient=["x", "x", "y"], fold=[7, 7, 8])
        store = prepare_store(shelf, PREPARATION, root)
        assert store.records["patient"].tolist() == ["x", "x", "y"]
        assert store.records["fold"].tolist() == [7, 7, 8]


class TestInterruption:
    def test_what_was_done_before_an_interruption_is_not_done_again(self, tmp_path, root):
        ecg = synthetic(duration=1)
        shelf = Shelf(tmp_path, {f"r{number:03}": ecg for number in range(2 * BLOCK + 5)})
        undisturbed = prepare(shelf, PREPARATION, root / "undisturbed")
        shelf.ecgs[f"r{BLOCK + 3:03}"], shelf.reads = KeyboardInterrupt(), []
        with pytest.raises(KeyboardInterrupt):
            prepare(shelf, PREPARATION, root / "mine")
        assert folders(root) == ["mine.building", "undisturbed"]
        shelf.ecgs[f"r{BLOCK + 3:03}"], shelf.reads = ecg, []
        store = prepare(shelf, PREPARATION, root / "mine")
        assert shelf.reads == list(shelf.ecgs)[BLOCK:]
        assert folders(root) == ["mine", "undisturbed"]
        assert digests(store.path) == digests(undisturbed.path)

    def test_a_block_whose_bytes_were_lost_is_done_again(self, tmp_path, root):
        """A power failure may keep the note of a block and lose its signals."""
        shelf = Shelf(tmp_path, {f"r{number:03}": synthetic(duration=1) for number in range(BLOCK + 5)})
        undisturbed = prepare(shelf, PREPARATION, root / "undisturbed")
        shelf.ecgs[f"r{BLOCK:03}"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            prepare(shelf, PREPARATION, root / "mine")
        with (root / "mine.building" / "signals.npy").open("r+b") as file:
            file.seek(5000)
            file.write(bytes(4000))
        shelf.ecgs[f"r{BLOCK:03}"], shelf.reads = synthetic(duration=1), []
        assert digests(prepare(shelf, PREPARATION, root / "mine").path) == digests(undisturbed.path)
        assert len(shelf.reads) == len(shelf)

    def test_a_store_that_was_whole_but_for_its_name_only_gets_that(self, shelf, root):
        store = prepare(shelf, PREPARATION, root / "mine")
        whole = digests(store.path)
        store.path.rename(root / "mine.building")
        shelf.reads.clear()
        assert digests(prepare(shelf, PREPARATION, root / "mine").path) == whole
        assert shelf.reads == []
        assert folders(root) == ["mine"]

    def test_where_another_store_was_begun_it_is_refused_and_stays(self, shelf, root):
        whole = dict(shelf.ecgs)
        shelf.ecgs["c"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            prepare(shelf, PREPARATION, root / "mine")
        shelf.ecgs = whole
        with pytest.raises(DatasetError, match=r"mine.building: another store was begun here .*; delete it, or choose"):
            prepare(shelf, Preparation(rate=200), root / "mine")
        assert len(prepare(shelf, PREPARATION, root / "mine")) == 3

    def test_an_unfinished_store_is_never_opened(self, shelf, root):
        shelf.ecgs["c"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            prepare(shelf, PREPARATION, root / "mine")
        with pytest.raises(DatasetError, match="not a prepared store"):
            open_store(root / "mine.building")

    def test_a_full_disk_is_reported_and_what_was_done_is_kept(self, tmp_path, root):
        ecg = synthetic(duration=1)
        shelf = Shelf(tmp_path, {f"r{number:03}": ecg for number in range(BLOCK + 5)})
        shelf.ecgs[f"r{BLOCK:03}"] = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(DatasetError, match=rf"mine: the disk is full after {BLOCK} of {BLOCK + 5} records; free"):
            prepare(shelf, PREPARATION, root / "mine")
        shelf.ecgs[f"r{BLOCK:03}"], shelf.reads = ecg, []
        assert len(prepare(shelf, PREPARATION, root / "mine")) == BLOCK + 5
        assert len(shelf.reads) == 5

    def test_a_disk_that_is_too_small_is_found_out_before_the_first_record(self, shelf, root, monkeypatch):
        usage = shutil.disk_usage(root.parent)
        monkeypatch.setattr("shutil.disk_usage", lambda _path: usage._replace(free=50_000))
        with pytest.raises(DatasetError, match=r"the store takes 0.00 GB, and 0.00 GB are free there; make room"):
            prepare(shelf, PREPARATION, root / "mine")
        assert shelf.reads == []


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """A CODE-15% of 2,600 tracings: enough for several workers. Most are copies, since drawing them takes long."""
    import h5py

    folder = tmp_path_factory.mktemp("exams")
    write_code15(folder, 100, n_parts=2, seed=5)
    table = pd.read_csv(folder / "exams.csv")
    tables = []
    for part in (0, 1):
        name = f"exams_part{part}.hdf5"
        own = table[table["trace_file"] == name].set_index("exam_id", drop=False)
        with h5py.File(folder / name, "r") as file:
            ids = file["exam_id"][:-1]
            packed = [file["tracings"].id.read_direct_chunk((row, 0, 0))[1] for row in range(len(ids) + 1)]
        n_copies = 26
        with h5py.File(folder / name, "w") as file:
            numbers = np.concatenate([ids + copy * 10_000_000 for copy in range(n_copies)])
            file["exam_id"] = np.append(numbers, 0)
            tracings = file.create_dataset(
                "tracings", (len(numbers) + 1, 4096, 12), np.float32, chunks=(1, 4096, 12), compression="gzip"
            )
            for row in range(len(numbers)):
                tracings.id.write_direct_chunk((row, 0, 0), packed[row % len(ids)])
            tracings.id.write_direct_chunk((len(numbers), 0, 0), packed[-1])
        for copy in range(n_copies):
            rows = own.loc[ids].copy()
            rows["exam_id"] += copy * 10_000_000
            tables.append(rows)
    pd.concat(tables).sample(frac=1, random_state=0).to_csv(folder / "exams.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def undisturbed(exams, tmp_path_factory):
    return prepare(Code15(exams), PREPARATION, tmp_path_factory.mktemp("stores") / "undisturbed", workers=1)


WORKER = """
import sys
from ecoscale.datasets import Code15
from ecoscale.datasets.preparing import prepare
from ecoscale.preparation import Preparation

def told(records, _description, _total):
    for number, record in enumerate(records):
        if number % 128 == 0:
            print(number, flush=True)
        yield record

if __name__ == "__main__":
    prepare(Code15(sys.argv[1]), Preparation(mean=0.01, scale=0.2), sys.argv[2], workers=2, progress=told)
"""


def start(tmp_path, exams, store):
    """A process of its own that prepares with two workers and tells how far it is."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.Popen(
        [sys.executable, script, exams, store],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class TestManyWorkers:
    def test_they_give_the_same_bytes_as_one(self, exams, undisturbed, tmp_path):
        store = prepare(Code15(exams), PREPARATION, tmp_path / "store", workers=2)
        assert digests(store.path) == digests(undisturbed.path)
        empty = [row for row, reason in store.manifest.unreadable.items() if "all zeros" in reason]
        assert len(empty) == len(store.manifest.unreadable) == 26

    def test_killed_at_any_moment_and_run_again_they_give_the_same_bytes(self, exams, undisturbed, tmp_path):
        store = tmp_path / "store"
        for blocks in (1, 5, 14):
            process = start(tmp_path, exams, store)
            for _ in range(blocks):
                process.stdout.readline()
            process.kill()
            process.wait(timeout=60)
            process.stdout.close()
            process.stderr.close()
            assert not store.exists()
        assert digests(prepare(Code15(exams), PREPARATION, store, workers=2).path) == digests(undisturbed.path)
        assert folders(tmp_path) == ["store", "worker.py"]

    def test_workers_end_with_a_parent_that_is_killed(self, exams, tmp_path):
        import psutil

        process = start(tmp_path, exams, tmp_path / "store")
        process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.kill()
        process.wait(timeout=60)
        _, alive = psutil.wait_procs(workers, timeout=60)
        process.stdout.close()
        process.stderr.close()
        assert alive == []

    def test_a_worker_that_is_killed_is_reported_with_what_to_do(self, exams, undisturbed, tmp_path):
        import psutil

        process = start(tmp_path, exams, tmp_path / "store")
        process.stdout.readline()
        children = psutil.Process(process.pid).children()
        worker = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
        worker.kill()
        _, errors = process.communicate(timeout=60)
        assert "a worker process was ended from outside, most often for lack of memory" in errors
        store = prepare(Code15(exams), PREPARATION, tmp_path / "store", workers=1)
        assert digests(store.path) == digests(undisturbed.path)

    def test_a_second_process_waits_and_opens_what_the_first_made(self, exams, undisturbed, tmp_path):
        processes = [start(tmp_path, exams, tmp_path / "store") for _ in range(2)]
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
        assert digests(tmp_path / "store") == digests(undisturbed.path)
        assert folders(tmp_path) == ["store", "worker.py"]


def test_a_code_test_keeps_its_settled_lead_order_in_a_store(tmp_path):
    """Each exam alone would be given an order of its own."""
    write_code_test(tmp_path / "code-test", 40)
    collection = CodeTest(tmp_path / "code-test")
    store = prepare(collection, Preparation(rate=400, window=4096), tmp_path / "store")
    doubtful = {
        record for record in collection.records.index if "inconsistent" in "".join(collection.read(record).check())
    }
    assert {record for record, text in store.records["warnings"].items() if "inconsistent_leads" in text} == doubtful
    assert doubtful


def test_a_folder_is_another_store_when_its_settings_say_another_rate(tmp_path):
    np.save(tmp_path / "a.npy", synthetic().signal)
    (tmp_path / "labels.csv").write_text("record,AF,mine\na.npy,1,unknown\n")
    settings = "rate: {}\nunit: mV\nleads: [I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6]\n"
    stores = []
    for rate in (100, 200):
        (tmp_path / "dataset.yaml").write_text(settings.format(rate))
        stores.append(prepare_store(Folder(tmp_path), Preparation(window=500), tmp_path / "stores"))
    assert stores[0].path != stores[1].path
    assert stores[0].labels(["AF"]).tolist() == [[1]]
    assert pd.read_parquet(stores[0].path / "records.parquet")["label_AF"].tolist() == [1]
