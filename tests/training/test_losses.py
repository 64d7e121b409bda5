"""The loss: over what is known, of one family, with soft targets."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from ecoscale.training.losses import class_weights, masked_cross_entropy, masked_loss, single_label_weights
from ecoscale.training.recipe import Loss


def test_an_unknown_label_moves_nothing():
    logits = torch.tensor([[0.3, -2.0], [1.5, 0.7]], requires_grad=True)
    loss = masked_loss(logits, torch.tensor([[1, -1], [-1, 0]], dtype=torch.int8))
    loss.backward()
    known = binary_cross_entropy_with_logits(torch.tensor([0.3, 0.7]), torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(known.item())
    assert (logits.grad == 0).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("options", [None, Loss(), Loss(largest_class_weight=5.0)])
def test_unless_asked_otherwise_it_is_the_binary_cross_entropy(options):
    logits, labels = torch.randn(5, 6), torch.randint(0, 2, (5, 6))
    expected = binary_cross_entropy_with_logits(logits, labels.float())
    assert masked_loss(logits, labels.to(torch.int8), options).item() == expected.item()


@pytest.mark.parametrize("options", [None, Loss(gamma_absent=2.0)])
def test_a_batch_without_a_known_label_costs_nothing_and_moves_nothing(options):
    logits = torch.randn(3, 6, requires_grad=True)
    loss = masked_loss(logits, torch.full((3, 6), -1, dtype=torch.int8), options)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@settings(max_examples=60, deadline=None)
@given(logit=st.floats(-20, 20), target=st.floats(0, 1), gamma=st.floats(0.1, 4))
@example(logit=2.0, target=0.99999, gamma=2.0)
def test_equal_exponents_make_the_focal_loss(logit, target, gamma):
    x = torch.tensor([[logit]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logit))
    expected = -target * (1 - p) ** gamma * np.log(p) - (1 - target) * p**gamma * np.log1p(-p)
    options = Loss(gamma_present=gamma, gamma_absent=gamma)
    targets = torch.tensor([[target]], dtype=torch.float64)  # in float32 the rest of a target near 1 is another one
    assert masked_loss(x, targets, options).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_margin_forgives_absences_that_are_nearly_sure_and_spares_no_presence():
    options = Loss(margin=0.05)
    nearly_sure = torch.logit(torch.tensor([[0.04], [0.30]]))
    absent = torch.zeros(2, 1)
    assert masked_loss(nearly_sure[:1], absent[:1], options).item() == 0
    assert masked_loss(nearly_sure[1:], absent[1:], options).item() == pytest.approx(-np.log(1 - 0.25), rel=1e-5)
    assert masked_loss(nearly_sure[:1], torch.ones(1, 1), options).item() == pytest.approx(-np.log(0.04), rel=1e-5)


@pytest.mark.parametrize("options", [Loss(gamma_present=1, gamma_absent=4, margin=0.05), Loss(gamma_absent=2)])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_loss_and_gradient_stay_finite_however_sure_and_wrong(options, logit):
    logits = torch.full((2, 1), logit, requires_grad=True)
    loss = masked_loss(logits, torch.tensor([[0.0], [1.0]]), options)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_smoothing_moves_targets_towards_one_half():
    logits = torch.randn(4, 3)
    labels = torch.randint(0, 2, (4, 3))
    smoothed = masked_loss(logits, labels, Loss(label_smoothing=0.2))
    assert smoothed.item() == pytest.approx(masked_loss(logits, labels * 0.8 + 0.1).item())


@pytest.mark.parametrize("options", [Loss(), Loss(gamma_present=1.0)])
def test_class_weights_multiply_what_presences_cost(options):
    logits, weights = torch.randn(1, 2), torch.tensor([3.0, 1.0])
    for label, factor in ((1.0, 3.0), (0.0, 1.0)):
        column, target = logits[:, :1], torch.full((1, 1), label)
        plain = masked_loss(column, target, options)
        assert masked_loss(column, target, options, weights[:1]).item() == pytest.approx(factor * plain.item())


def test_class_weights_are_the_odds_of_absence_up_to_their_cap():
    labels = np.array([[1, 1, 0, -1]] + [[0, 1, 0, 0]] * 3 + [[0, 0, 0, 1]], dtype=np.int8)
    assert class_weights(labels, 3.5).tolist() == [3.5, 1.0, 1.0, 3.0]


def test_the_cross_entropy_of_classes_leaves_out_records_whose_class_is_unknown():
    logits = torch.randn(5, 3, requires_grad=True)
    labels = one_hot(torch.tensor([2, 0, 1, 0, 2]), 3).to(torch.int8)
    labels[3] = -1
    loss = masked_cross_entropy(logits, labels)
    loss.backward()
    known = [0, 1, 2, 4]
    assert loss.item() == pytest.approx(cross_entropy(logits[known], labels[known].argmax(dim=1)).item(), rel=1e-6)
    assert not logits.grad[3].any()
    assert logits.grad[known].any(dim=1).all()


def test_a_batch_in_which_no_class_is_known_costs_nothing_and_moves_nothing():
    logits = torch.randn(3, 4, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((3, 4), -1, dtype=torch.int8), Loss(label_smoothing=0.1))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_mixed_target_costs_the_same_share_of_either_class():
    logits = torch.randn(1, 3)
    one, other = (masked_cross_entropy(logits, one_hot(torch.tensor([place]), 3)).item() for place in (0, 2))
    mixed = masked_cross_entropy(logits, torch.tensor([[0.3, 0.0, 0.7]]))
    assert mixed.item() == pytest.approx(0.3 * one + 0.7 * other, rel=1e-5)


def test_smoothing_gives_every_class_an_equal_share_and_weights_count_each_class():
    logits, labels = torch.randn(4, 3), one_hot(torch.tensor([0, 1, 2, 0]), 3).to(torch.int8)
    weights = torch.tensor([0.5, 2.0, 3.0])
    smooth = 0.8 * labels.float() + 0.2 / 3
    expected = -(smooth * weights * logits.log_softmax(dim=1)).sum(dim=1).mean()
    found = masked_cross_entropy(logits, labels, Loss(label_smoothing=0.2), weights)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_classes_are_weighed_by_how_rare_they_are_and_the_loss_keeps_its_size():
    labels = np.eye(3, dtype=np.int8)[[0] * 60 + [1] * 30 + [2] * 2]
    labels = np.concatenate([labels, np.full((8, 3), -1, dtype=np.int8)])
    weights = single_label_weights(labels, largest=10.0).numpy()
    np.testing.assert_allclose(weights / weights[0], [1, 2, 10], rtol=1e-6)
    assert (weights * [60, 30, 2]).sum() / 92 == pytest.approx(1, rel=1e-6)
    balanced = single_label_weights(labels, largest=1e9).numpy()
    np.testing.assert_allclose(balanced, 92 / (3 * np.array([60, 30, 2])), rtol=1e-6)


def test_a_class_without_a_record_has_the_largest_weight():
    labels = np.eye(3, dtype=np.int8)[[0, 0, 1]]
    weights = single_label_weights(labels, largest=5.0).numpy()
    np.testing.assert_allclose(weights / weights[0], [1, 2, 5], rtol=1e-6)
