"""The prepared store: what the preparation makes of each record, written once, and never opened half-written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecoscale.datasets import PTBXL, Code15
from ecoscale.datasets.layouts import write_code15
from ecoscale.datasets.store import STEP, open_store, prepare_store
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import CHEST_LEADS, ECG, LEADS
from ecoscale.errors import DatasetError, FormatError
from ecoscale.preparation import Preparation

PREPARATION = Preparation(mean=0.01, scale=0.2)


class Shelf:
    """Stands in for a collection: recordings in memory, counted as they are read; an exception is raised instead."""

    name = "shelf"
    title = "Shelf"

    def __init__(self, directory, ecgs):
        self.directory = Path(directory)
        self.ecgs = ecgs
        self.reads = []
        names = list(ecgs)
        self.records = pd.DataFrame(
            {"patient": [f"p{name}" for name in names], "fold": 1, "codes": [frozenset()] * len(names), "path": names},
            index=pd.Index(names, name="record"),
        )

    def __len__(self):
        return len(self.records)

    def read(self, record):
        self.reads.append(record)
        if isinstance(self.ecgs[record], BaseException):
            raise self.ecgs[record]
        return self.ecgs[record]


def synthetic(duration=10, rate=100, seed=0):
    return synthetic_ecg(rate=rate, duration=duration, seed=seed).ecg


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path, {name: synthetic(seed=seed) for seed, name in enumerate("abc")})


@pytest.fixture
def root(tmp_path):
    return tmp_path / "stores"


def folders(root):
    return sorted(path.name for path in root.iterdir())


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
        assert store.manifest["unreadable"] == {}

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

        def progress(records, description):
            seen.append((list(records), description))
            return records

        prepare_store(shelf, PREPARATION, root, progress=progress)
        assert seen == [(["a", "b", "c"], "preparing Shelf")]


class TestUnreadable:
    def test_records_that_cannot_be_read_are_listed_with_the_reason_and_left_out(self, tmp_path, root):
        broken = FormatError("b.hea: it is cut off")
        limb = synthetic().select(LEADS[:6])
        shelf = Shelf(tmp_path, {"a": synthetic(seed=1), "b": broken, "c": synthetic(seed=2), "d": limb})
        store = prepare_store(shelf, PREPARATION, root)
        assert store.records.index.tolist() == ["a", "c"]
        assert store.records["patient"].tolist() == ["pa", "pc"]
        assert list(store.manifest["unreadable"]) == ["b", "d"]
        assert store.manifest["unreadable"]["b"] == "b.hea: it is cut off"
        assert "no lead V1, V2, V3, V4, V5, V6" in store.manifest["unreadable"]["d"]
        for row, record in zip(store.signals, "ac", strict=True):
            np.testing.assert_allclose(row * STEP, PREPARATION.conform(shelf.ecgs[record]), atol=STEP)
        assert sorted(path.name for path in store.path.iterdir()) == ["manifest.json", "records.csv", "signals.npy"]

    def test_the_empty_exam_of_a_code15_is_one(self, tmp_path, root):
        write_code15(tmp_path, 6, n_parts=2, compression=None)
        collection = Code15(tmp_path)
        store = prepare_store(collection, Preparation(rate=400, window=4096), root)
        assert store.signals.shape == (5, 12, 4096)
        ((exam, reason),) = store.manifest["unreadable"].items()
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
        monkeypatch.setattr("ecoscale.datasets.store.REVISION", "0.2.0")
        assert prepare_store(shelf, PREPARATION, root).path != first.path

    def test_other_records_give_another_store(self, shelf, root):
        first = prepare_store(shelf, PREPARATION, root)
        shelf.records = shelf.records.iloc[:2]
        assert prepare_store(shelf, PREPARATION, root).path != first.path

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
    def test_an_interrupted_build_leaves_no_store_and_the_next_one_builds_it(self, shelf, root):
        whole = dict(shelf.ecgs)
        shelf.ecgs["c"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            prepare_store(shelf, PREPARATION, root)
        assert folders(root) == []
        shelf.ecgs, shelf.reads = whole, []
        assert len(prepare_store(shelf, PREPARATION, root)) == 3
        assert shelf.reads == ["a", "b", "c"]

    @pytest.mark.parametrize("n_files", [0, 1, 2, 3])
    def test_what_a_killed_build_left_is_never_opened_and_is_cleared_away(self, shelf, root, n_files):
        """Killed between any two steps: signals, then records, then the manifest, then the move."""
        store = prepare_store(shelf, PREPARATION, root)
        left = root / f"{store.path.name}.0123.building"
        store.path.rename(left)
        for name in ("signals.npy", "records.csv", "manifest.json")[n_files:]:
            (left / name).unlink()
        if n_files:
            np.save(left / "signals.npy", np.zeros((3, 12, 1000), np.int16))
        shelf.reads.clear()
        built = prepare_store(shelf, PREPARATION, root)
        assert shelf.reads == ["a", "b", "c"]
        assert built.signals.any()
        assert folders(root) == [store.path.name]

    def test_two_builds_at_once_give_one_whole_store(self, shelf, root):
        """The second begins while the first reads its last record, and ends before it."""
        stores = []

        def first(records, _description):
            for record in records:
                if record == "c":
                    stores.append(prepare_store(shelf, PREPARATION, root))
                yield record

        stores.append(prepare_store(shelf, PREPARATION, root, progress=first))
        assert stores[0].path == stores[1].path
        np.testing.assert_array_equal(stores[0].signals, stores[1].signals)
        assert stores[0].signals.any(axis=(1, 2)).all()
        assert folders(root) == [stores[0].path.name]

    def test_a_full_disk_is_not_taken_for_another_build(self, shelf, root):
        shelf.ecgs["b"] = OSError(28, "No space left on device")
        with pytest.raises(OSError, match="No space left"):
            prepare_store(shelf, PREPARATION, root)
        assert folders(root) == []


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def without_a_row(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def without_a_column(path):
    pd.read_csv(path).drop(columns="fold").to_csv(path, index=False)


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
                for name in ("signals.npy", "records.csv", "manifest.json")
                for damage in (Path.unlink, empty)
            ),
            ("signals.npy", cut),
            ("signals.npy", of_another_type),
            ("signals.npy", of_other_leads),
            ("signals.npy", without_a_signal),
            ("records.csv", without_a_row),
            ("records.csv", without_a_column),
            ("manifest.json", cut),
            ("manifest.json", with_a_hole),
            ("manifest.json", a_list),
        ],
        ids=lambda value: value if isinstance(value, str) else value.__name__,
    )
    def test_a_store_that_does_not_agree_with_itself_is_refused(self, shelf, root, name, damage):
        path = prepare_store(shelf, PREPARATION, root).path
        damage(path / name)
        for again in (lambda: open_store(path), lambda: prepare_store(shelf, PREPARATION, root)):
            with pytest.raises(DatasetError, match=rf"{path.name}: .*prepare again"):
                again()

    def test_deleting_it_as_the_message_says_mends_it(self, shelf, root):
        path = prepare_store(shelf, PREPARATION, root).path
        cut(path / "signals.npy")
        shutil.rmtree(path)
        assert len(prepare_store(shelf, PREPARATION, root)) == 3

    def test_a_folder_that_is_none_is_refused(self, tmp_path):
        with pytest.raises(DatasetError, match="not a whole prepared store"):
            open_store(tmp_path / "nothing")
