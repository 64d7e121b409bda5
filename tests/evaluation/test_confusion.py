from __future__ import annotations

import math

import numpy as np

from ecoscale.evaluation import confusion_table

#          SB ST AF
LABELS = [[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0], [-1, 0, 0], [0, -1, 1]]
CALLED = [[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
TABLE = confusion_table(LABELS, CALLED, 0.5, ["SB", "ST", "AF"])


def test_a_row_counts_what_was_predicted_on_the_records_with_its_finding():
    assert TABLE.names == ("SB", "ST", "AF", "none")
    assert TABLE.counts[0] == (2, 1, 1, 0)
    assert TABLE.counts[2] == (1, 0, 1, 2)


def test_findings_that_a_record_really_has_together_are_no_mistakes():
    assert TABLE.counts[0][2] == 1
    assert TABLE.wrong[0] == (0, 1, 0, 0)


def test_the_column_of_none_holds_the_records_where_the_finding_was_missed_and_nothing_said():
    # Record 2, and record 6, whose only prediction is of a finding that nobody knows.
    assert TABLE.wrong[2][3] == 2


def test_the_row_of_none_holds_records_known_to_have_no_finding():
    # Records 3 and 4; record 5 might have SB.
    assert TABLE.counts[3] == (0, 1, 0, 1)
    assert TABLE.records[3] == (2, 2, 2, 2)
    assert TABLE.shares[3] == (0, 0.5, 0, 0.5)


def test_a_prediction_whose_label_is_unknown_is_not_looked_at():
    assert TABLE.counts[2][1] == 0
    assert TABLE.records[2] == (3, 2, 3, 3)


def test_a_finding_that_no_record_has_gets_an_empty_row():
    assert TABLE.counts[1] == (0, 0, 0, 0)
    assert all(math.isnan(share) for share in TABLE.shares[1])


def test_the_diagonal_is_the_sensitivity(sample):
    table = confusion_table(sample.labels, sample.probabilities, 0.4, sample.names)
    positive = sample.labels == 1
    sensitivity = (positive & (sample.probabilities >= 0.4)).sum(axis=0) / positive.sum(axis=0)
    np.testing.assert_allclose(np.diag(table.shares)[:-1], sensitivity)
