"""Losses of graded pairs, worked out on paper."""

import math

import pytest
import torch

from learning.graded_losses import distillation_loss, grade_loss, graded_softmax_loss, in_batch_softmax_loss

QUERY = torch.tensor([0, 0, 1, 1])
ONES = torch.ones(4)


def test_a_querys_products_share_its_softmax_by_their_gains():
    grades = torch.tensor([2.0, 1.0, 1.0, 0.0])  # gains 3 and 1; 1 and 0
    shares = torch.tensor([0.75, 0.25, 1.0, 1e-20]).log()
    assert graded_softmax_loss(shares, grades, ONES, QUERY).item() == pytest.approx(0.0, abs=1e-5)
    flat = graded_softmax_loss(torch.zeros(4), grades, ONES, QUERY).item()
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert flat == pytest.approx((kl + math.log(2)) / 2, rel=1e-5)


def test_a_query_of_one_product_or_without_gains_costs_nothing_and_has_no_gradient():
    scores = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = graded_softmax_loss(scores, torch.tensor([2.0, 0.0, 0.0]), torch.ones(3), torch.tensor([0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert scores.grad.tolist() == [0.0, 0.0, 0.0]


def test_a_sure_grade_counts_for_more():
    grades, scores = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0])
    weights = torch.tensor([3.0, 1.0])
    loss = graded_softmax_loss(scores, grades, weights, torch.tensor([0, 0]))
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)


def test_other_queries_texts_are_irrelevant_unless_they_came_with_this_one_too():
    # Query 0 came with texts 0 and 1, query 1 with text 1 alone; both grades gain 1.
    owner, text = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    loss = in_batch_softmax_loss(torch.zeros(2, 3), torch.ones(3), torch.ones(3), owner, text)
    assert loss.item() == pytest.approx(math.log(3))
    scores = torch.tensor([[5.0, 5.0, -50.0], [-50.0, 50.0, -50.0]])
    assert in_batch_softmax_loss(scores, torch.ones(3), torch.ones(3), owner, text).item() == pytest.approx(
        math.log(2) / 2, rel=1e-4
    )


def test_a_batch_without_gains_costs_nothing():
    place = torch.tensor([0, 1])
    scores = torch.zeros(2, 2, requires_grad=True)
    loss = in_batch_softmax_loss(scores, torch.zeros(2), torch.ones(2), place, place)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(scores.grad).all()


def test_a_grade_by_itself_stands_on_a_scale_from_the_lowest_to_the_highest():
    grades = torch.tensor([1.0, 3.0, 5.0])
    loss = grade_loss(torch.zeros(3), grades, torch.ones(3), highest=5.0, lowest=1.0)
    assert loss.item() == pytest.approx(math.log(2))
    right = torch.tensor([-20.0, 0.0, 20.0])
    assert grade_loss(right, grades, torch.tensor([1.0, 0.0, 1.0]), 5.0, 1.0).item() < 1e-6


def test_a_pupil_that_orders_as_its_teacher_loses_nothing():
    taught = torch.tensor([0.1, 0.4, 0.2, 0.9, 0.3])
    query = torch.tensor([7, 7, 7, 2, 2])
    assert distillation_loss(taught / 0.05 + query, taught, query, 0.05).item() == pytest.approx(0.0, abs=1e-5)


def test_distillation_is_the_mean_divergence_over_queries():
    scores, taught = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.2, 0.1, 0.5])
    wanted, given = torch.softmax(taught[:2] / 0.1, 0), torch.softmax(scores[:2], 0)
    first = (wanted * (wanted / given).log()).sum()  # the other query has one product: nothing to order
    found = distillation_loss(scores, taught, torch.tensor([0, 0, 1]), 0.1)
    assert found.item() == pytest.approx(first.item() / 2, rel=1e-5)
