"""Recordings read ahead of the network: in order, few at a time, and nothing left behind."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError
from ecoscale.formats import find_recordings
from ecoscale.inference import Classifier, Failure
from ecoscale.preparation import Preparation
from ecoscale.reading import READ_AT_ONCE, read_prepared


@dataclass
class Numbered:
    """A recording that notes when it is read, and may fail."""

    number: int
    ecg: ECG
    read_by: list = field(default_factory=list)
    error: Exception | None = None
    path = Path("memory")

    @property
    def record(self):
        return str(self.number)

    def read(self):
        self.read_by.append((self.number, threading.current_thread()))
        if self.error is not None:
            raise self.error
        return self.ecg


@pytest.fixture(scope="module")
def ecg():
    return synthetic_ecg(("AF",), seed=1).ecg


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 records of other lengths and rates, one of them broken."""
    made = tmp_path_factory.mktemp("many")
    for number in range(60):
        rate = (100, 250, 500)[number % 3]
        write_wfdb(made, [synthetic_ecg(seed=number, rate=rate, duration=4 + number % 9, record=f"r{number:02}")])
    (made / "r30.hea").write_text("junk\n")
    return made


def results(classifier, folder, **options):
    """What is said of each recording, to the last bit."""
    return [
        result if isinstance(result, Failure) else (result[1], result[0].signal.tobytes())
        for result in classifier.classify(find_recordings([folder]), **options)
    ]


@pytest.fixture(scope="module")
def classifier(tiny_bundle):
    return Classifier.load(tiny_bundle.path, threads=1)


@pytest.mark.parametrize("batch_size", [3, 32])
def test_results_are_equal_to_the_bit_whatever_the_number_of_workers(classifier, folder, batch_size):
    expected = results(classifier, folder, batch_size=batch_size, workers=0)
    assert len(expected) == 60
    assert [isinstance(each, Failure) for each in expected].index(True) == 30
    for workers in (1, 2, 5, None):
        assert results(classifier, folder, batch_size=batch_size, workers=workers) == expected


def test_a_few_recordings_are_read_in_the_thread_that_asks(ecg):
    noted = []
    few = [Numbered(number, ecg, noted) for number in range(READ_AT_ONCE)]
    assert len(list(read_prepared(few, Preparation(), 32, workers=3))) == READ_AT_ONCE
    assert {thread for _, thread in noted} == {threading.current_thread()}


def workers_now():
    """Threads that read; another test's interrupted run may have left some."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ecoscale-worker")}


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 4), (2, 8), (3, 32)])
def test_readers_are_a_bounded_number_of_recordings_ahead(ecg, workers, batch_size):
    asked, before = 0, workers_now()

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield Numbered(asked, ecg)

    prepared = read_prepared(endless(), Preparation(), batch_size, workers)
    at_once = min(READ_AT_ONCE, batch_size)
    for taken in range(1, 101):
        assert next(prepared).signal is ecg
        assert asked - taken <= batch_size + (2 * workers + 2) * at_once
    prepared.close()
    assert workers_now() <= before


def test_a_defect_in_a_reader_is_raised_and_ends_the_others(ecg):
    recordings = [Numbered(number, ecg) for number in range(40)]
    recordings[30].error = ZeroDivisionError("a defect")
    before = workers_now()
    found = read_prepared(recordings, Preparation(), 8, workers=2)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        list(found)
    assert workers_now() <= before


def test_a_recording_that_cannot_be_read_keeps_its_place(ecg):
    recordings = [Numbered(number, ecg) for number in range(40)]
    recordings[30].error = FormatError("memory: broken")
    found = list(read_prepared(recordings, Preparation(), 8, workers=2))
    assert [number for number, each in enumerate(found) if isinstance(each, Failure)] == [30]
    assert found[30] == Failure("memory", "30", "memory: broken")


def test_a_recording_that_cannot_be_prepared_keeps_its_place_among_those_read_with_it(ecg):
    recordings = [Numbered(number, ecg) for number in range(READ_AT_ONCE)]
    recordings[2].error = FormatError("memory: broken")
    recordings[5].ecg = ecg.select(["I", "II", "V1"])
    recordings[6].ecg = ecg.select(LEADS[:6] + LEADS[6:][::-1])
    found = list(read_prepared(recordings, Preparation(), 32, workers=0))
    assert [number for number, each in enumerate(found) if isinstance(each, Failure)] == [2, 5]
    assert "V2" in found[5].error
    assert found[6].signal is recordings[6].ecg
    np.testing.assert_array_equal(found[6].windows, found[7].windows)


def test_fewer_than_no_workers_are_refused(classifier):
    with pytest.raises(ValueError, match="workers is -1"):
        classifier.classify([], workers=-1)


def test_what_is_read_is_what_the_preparation_makes(ecg):
    (found,) = read_prepared([Numbered(0, ecg)], Preparation(), 1, workers=0)
    np.testing.assert_array_equal(found.windows, Preparation().windows(ecg))
    assert found.warnings == ecg.check()
