"""Records whose reading ends the process are found by a process apart, and cost their part nothing else."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.conftest import rows
from ecoscale.cluster.careful import without_those_that_end
from ecoscale.cluster.part import MOST_ATTEMPTS
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG
from ecoscale.errors import FormatError
from ecoscale.preparation import Preparation


@dataclass(frozen=True)
class Made:
    """A record whose reading sends a signal to the process that reads it; 0 for none."""

    record: str
    deadly: int = 0
    path: Path = Path("made")

    def read(self) -> ECG:
        if self.deadly:
            os.kill(os.getpid(), self.deadly)
        return synthetic_ecg(seed=1, record=self.record).ecg


def test_those_that_end_a_process_are_named_with_how_and_the_others_stay():
    records = [Made("a"), Made("b", signal.SIGKILL), Made("c"), Made("d", signal.SIGSEGV)]
    spared = without_those_that_end(records, Preparation())
    assert [spared[0], spared[2]] == [records[0], records[2]]
    for place, how in ((1, "SIGKILL"), (3, "SIGSEGV")):
        assert (spared[place].path, spared[place].record) == (Path("made"), records[place].record)
        with pytest.raises(FormatError, match=rf"made: reading it ended the process that did \({how}\)"):
            spared[place].read()


def test_a_part_that_was_begun_before_gives_the_rows_that_it_gives_at_once(begin, archive, undisturbed, tmp_path):
    begun = begin([archive], tmp_path)
    part = begun.todo[0]
    begun.run.folder.write(part.attempts, b"1")
    assert begun.here.classify(part).error == ""
    assert rows(tmp_path) == rows(undisturbed)[: len(rows(tmp_path))]
    assert begun.run.folder.read(part.attempts) is None


def test_a_part_that_ends_its_processes_again_and_again_is_left_and_begun_anew_when_resumed(begin, archive, tmp_path):
    begun = begin([archive], tmp_path)
    part = begun.todo[0]
    begun.run.folder.write(part.attempts, str(MOST_ATTEMPTS).encode())
    assert f"{MOST_ATTEMPTS} processes that had begun it were ended from outside" in begun.here.classify(part).error
    assert part in begun.todo
    resumed = begin([archive], tmp_path, resume=True)
    assert resumed.here.classify(part).error == ""
    assert part not in resumed.todo
