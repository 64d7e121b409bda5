"""What the records of a folder have in common, and what is said where they have not, or where one is doubtful."""

import re

import numpy as np
import pytest

from ecoscale.datasets import open_collection
from ecoscale.datasets.surveying import survey
from ecoscale.errors import DatasetError
from owned import made_signal, write_own, write_table


@pytest.fixture
def own(tmp_path):
    """A folder of four records of two subjects."""
    return write_own(tmp_path, subjects=2)


def surveyed(folder):
    return survey(open_collection(folder, "folder"))


def agreed_rate(seen):
    return seen.agreed("rate", lambda outline: outline.rate, "{:g} Hz".format, "State one.")


def test_a_record_is_outlined_as_its_file_states_it(own):
    outline = surveyed(own).outlines["s00-0.csv"]
    assert (outline.channels, outline.units) == (("pulse", "move"), ("a.u.", "g"))
    assert (outline.rate, outline.n_samples, outline.seconds, outline.missing) == (20, 60, 3, False)
    assert outline.deviations == pytest.approx((72, 0.01), rel=0.2)


def test_what_all_records_have_is_what_they_agree_on(own):
    assert agreed_rate(surveyed(own)) == 20


def test_where_records_differ_each_value_is_named_with_a_file_and_the_remedy(own):
    write_table(own / "s01-1.csv", np.ones((2, 40)), rate=10)
    with pytest.raises(
        DatasetError,
        match=r"the records differ in rate: 20 Hz in 3 \(s00-0.csv\); 10 Hz in 1 \(s01-1.csv\). State one.",
    ):
        agreed_rate(surveyed(own))


def test_records_that_are_as_the_others_are_not_doubted(own):
    assert surveyed(own).doubts() == []


def test_a_channel_that_is_one_number_throughout_is_said(own):
    write_table(own / "s00-0.csv", np.vstack((np.ones(60), made_signal("calm", np.random.default_rng(0))[1])))
    assert surveyed(own).doubts() == ["channel pulse is one number throughout 1 of 4 records, s00-0.csv among them"]


def test_a_channel_that_is_one_number_in_every_record_can_tell_nothing(own):
    for path in own.glob("s*.csv"):
        write_table(path, np.vstack((made_signal("calm", np.random.default_rng(0))[0], np.ones(60))))
    assert surveyed(own).doubts() == ["channel move is one number throughout every record: it can tell nothing"]


def test_a_record_in_another_unit_is_doubted(own):
    write_table(own / "s00-1.csv", made_signal("fast", np.random.default_rng(0)) * [[1000], [1]])
    (doubt,) = surveyed(own).doubts()
    assert re.fullmatch(
        r"channel pulse varies 100 times as much, or as little, as usual \(standard deviation 7\d\.\d\) in 1 records, "
        r"s00-1.csv among them \(7.\d\de\+04\): another unit or gain\?",
        doubt,
    )


def test_missing_samples_are_said(own):
    signal = made_signal("calm", np.random.default_rng(0))
    signal[0, 10:20] = np.nan
    write_table(own / "s00-0.csv", signal)
    seen = surveyed(own)
    assert seen.outlines["s00-0.csv"].missing
    assert seen.doubts() == ["samples are missing in 1 records, s00-0.csv among them: they are interpolated"]


def test_a_file_that_cannot_be_read_is_left_out_and_said(own):
    (own / "s01-0.csv").write_text("nothing,of,use\n")
    seen = surveyed(own)
    assert (len(seen.outlines), list(seen.unreadable)) == (3, ["s01-0.csv"])
    (doubt,) = seen.doubts()
    assert doubt.startswith("1 of 4 records cannot be read and are left out; s01-0.csv: ")


def test_a_folder_of_which_no_file_can_be_read_is_refused(own):
    for path in own.glob("s*.csv"):
        path.write_text("nothing,of,use\n")
    with pytest.raises(DatasetError, match=r"none of 4 records can be read; first: .*s00-0.csv"):
        surveyed(own)
