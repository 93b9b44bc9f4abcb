import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranking.losses import LOSSES, lambda_rank_loss, listwise_softmax_loss


def test_equal_scores_cost_the_log_of_the_length():
    loss = listwise_softmax_loss(torch.zeros(1, 4), torch.tensor([[0.0, 1, 0, 0]]), torch.ones(1, 4, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(4))


def test_gains_share_the_wanted_probability():
    # softmax(0, log 3) = (1/4, 3/4), which is what gains of 1 and 3 ask for: the loss is their entropy.
    scores = torch.tensor([[0.0, math.log(3)]])
    loss = listwise_softmax_loss(scores, torch.tensor([[1.0, 3.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert float(loss) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_padding_costs_nothing_and_learns_nothing():
    scores = torch.tensor([[1.0, 2.0, 99.0]], requires_grad=True)
    kept = torch.tensor([[True, True, False]])
    loss = listwise_softmax_loss(scores, torch.tensor([[1.0, 0, 0]]), kept)
    short = listwise_softmax_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0]]), kept[:, :2])
    loss.backward()
    assert loss.item() == pytest.approx(short.item())
    assert scores.grad[0, 2] == 0
    assert torch.isfinite(scores.grad).all()


def test_the_mean_is_over_lists_whatever_their_length():
    long = torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1, 4, dtype=torch.bool)
    short = torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[True, True, False, False]])
    both = [torch.cat(parts) for parts in zip(long, short, strict=True)]
    assert float(listwise_softmax_loss(*both)) == pytest.approx((math.log(4) + math.log(2)) / 2)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=8), st.floats(-50, 50), st.randoms())
def test_neither_order_nor_a_common_shift_matters(values, shift, random):
    gains = [0.0] * len(values)
    gains[0] = 2.0
    order = list(range(len(values)))
    random.shuffle(order)
    kept = torch.ones(1, len(values), dtype=torch.bool)
    loss = listwise_softmax_loss(torch.tensor([values]), torch.tensor([gains]), kept)
    moved = torch.tensor([values])[:, order] + shift
    again = listwise_softmax_loss(moved, torch.tensor([gains])[:, order], kept)
    assert float(loss) == pytest.approx(float(again), abs=1e-3)
    assert float(loss) >= -1e-6


def test_lambdarank_weighs_a_swap_by_what_it_would_do_to_ndcg():
    # Equal scores, the relevant one second: a swap moves it from 1 / log2(3) to 1, and log(1 + e^0) is log 2.
    scores = torch.zeros(1, 2, requires_grad=True)
    loss = lambda_rank_loss(scores, torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
    swap = 1 - 1 / math.log2(3)
    assert loss.item() == pytest.approx(swap * math.log(2))
    loss.backward()
    assert scores.grad.tolist()[0] == pytest.approx([swap / 2, -swap / 2])  # the paper's lambda: sigma / (1 + e^0) swap


def test_lambdarank_at_three_candidates_is_the_sum_over_pairs_divided_by_the_ideal():
    scores, gains = [2.0, 0.0, 1.0], [0.0, 2.0, 1.0]  # places 1, 3, 2
    discount = [1.0, 0.5, 1 / math.log2(3)]
    ideal = 2 * 1.0 + 1 / math.log2(3)
    pairs = [(1, 0), (1, 2), (2, 0)]  # each first has the larger gain
    expected = sum(
        (gains[i] - gains[j]) * abs(discount[i] - discount[j]) / ideal * math.log(1 + math.exp(scores[j] - scores[i]))
        for i, j in pairs
    )
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert lambda_rank_loss(torch.tensor([scores]), torch.tensor([gains]), everything).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_padding_and_company_change_no_loss(loss):
    scores, gains = torch.tensor([[1.0, 0.5, -2.0]]), torch.tensor([[0.0, 1.0, 0.2]])
    alone = loss(scores, gains, torch.ones(1, 3, dtype=torch.bool))
    padded = torch.cat([scores, torch.tensor([[-float("inf")]])], dim=1).requires_grad_()
    kept = torch.tensor([[True, True, True, False]])
    together = loss(padded, torch.cat([gains, torch.tensor([[9.0]])], dim=1), kept)
    assert together.item() == pytest.approx(alone.item(), rel=1e-6)
    together.backward()
    assert padded.grad[0, 3] == 0
    assert torch.isfinite(padded.grad).all()
