"""A synthetic Holter: what is written reads back, and its episodes are where the table says."""

import csv

import numpy as np
import pytest

from ecoscale.datasets.layouts import Stretch, random_stretches, write_holter
from ecoscale.errors import SignalError
from ecoscale.formats import read_ecg
from ecoscale.formats.long_records import open_long_record


def test_it_is_a_wfdb_record_whose_checksums_hold(tmp_path):
    stretches = [Stretch(20, 70.5), Stretch(100, 110, off=True)]
    header = write_holter(tmp_path, stretches, hours=0.05, rate=128, leads=("II", "V5"), clock="22:00:00", seed=1)
    ecg = read_ecg(header, fewer_leads=True)
    assert (ecg.leads, ecg.rate, ecg.n_samples, ecg.notes) == (("II", "V5"), 128, 180 * 128, ())
    assert (ecg.signal[:, 100 * 128 : 110 * 128] == 0).all()
    assert 0.3 < np.ptp(ecg.signal[0, : 20 * 128]) < 5
    assert open_long_record(header).clock(3600) == "23:00:00"
    rows = list(csv.DictReader(header.with_suffix(".csv").read_text().splitlines()))
    assert [(row["finding"], float(row["start_s"]), float(row["stop_s"])) for row in rows] == [
        ("AF", 20, 70.5),
        ("off", 100, 110),
    ]


@pytest.mark.parametrize("hours", [0.05, 1, 24, 168])
@pytest.mark.parametrize("seed", range(5))
def test_drawn_stretches_are_in_order_within_the_record(hours, seed):
    stretches = random_stretches(hours, seed)
    ends = [0, *(end for stretch in stretches for end in (stretch.start, stretch.stop)), 3600 * hours]
    assert ends == sorted(ends)
    assert sum(stretch.off for stretch in stretches) == 1
    assert len(stretches) == 1 + max(1, round(hours / 3))


def test_stretches_that_overlap_or_leave_the_record_are_refused(tmp_path):
    for stretches in ([Stretch(5, 20), Stretch(10, 30)], [Stretch(30, 40)]):
        with pytest.raises(SignalError, match="not in order within 36 s"):
            write_holter(tmp_path, stretches, hours=0.01)
