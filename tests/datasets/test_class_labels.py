"""Labels of classes that exclude each other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ecoscale.datasets import ABSENT, PRESENT, UNKNOWN, class_labels


def test_where_one_class_is_present_the_others_are_absent_whether_stated_or_not():
    labels = np.array([[1, 0, 0], [-1, 1, -1], [0, 0, 1]], dtype=np.int8)
    found = class_labels(labels)
    assert found.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert not len(found.several)
    assert not len(found.none)


def test_several_classes_and_none_contradict_them_and_an_open_one_is_unknown():
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, -1, 0], [-1, -1, -1]], dtype=np.int8)
    found = class_labels(labels)
    assert (found.labels == UNKNOWN).all()
    assert found.several.tolist() == [0]
    assert found.none.tolist() == [1]


@given(arrays(np.int8, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.sampled_from([1, 0, -1])))
def test_every_row_is_of_one_class_or_unknown_and_a_second_time_changes_nothing(labels):
    found = class_labels(labels)
    one_hot = ((found.labels == PRESENT).sum(axis=1) == 1) & ((found.labels != UNKNOWN).all(axis=1))
    assert (one_hot | (found.labels == UNKNOWN).all(axis=1)).all()
    assert ((labels == PRESENT) | (found.labels != PRESENT))[one_hot].all()
    again = class_labels(found.labels)
    np.testing.assert_array_equal(again.labels, found.labels)
    assert ABSENT in found.labels or not one_hot.any() or labels.shape[1] == 1
