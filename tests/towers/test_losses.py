import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from towers.losses import catalogue_loss, listwise_kl, log_sum_exp, mined_loss, pool_chance, pool_loss, taught_loss
from towers.pool import PoolPlan, popularity_chances

ITEMS, DIM = 50, 8


def test_the_only_item_is_chosen_for_sure():
    vector = F.normalize(torch.ones(1, 4), dim=1)
    loss = catalogue_loss(vector, vector, torch.tensor([0]), torch.ones(1), torch.tensor(20.0))
    assert loss == pytest.approx(0.0, abs=1e-6)


def test_two_equal_items_share_the_choice():
    user = F.normalize(torch.ones(1, 4), dim=1)
    loss = catalogue_loss(user, user.expand(2, 4), torch.tensor([1]), torch.ones(1), torch.tensor(20.0))
    assert loss == pytest.approx(math.log(2))


def test_an_excluded_item_is_no_negative():
    user = F.normalize(torch.ones(1, 4), dim=1)
    mask = torch.tensor([[True, True]])  # the target itself never is left out
    loss = catalogue_loss(user, user.expand(2, 4), torch.tensor([1]), torch.ones(1), torch.tensor(20.0), mask)
    assert loss == pytest.approx(0.0, abs=1e-5)


def test_the_catalogue_loss_is_cross_entropy_with_its_gradient():
    users, items, targets, weights = _shop(torch.float64, rows=7)
    scale = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    ours = _gradients(catalogue_loss(users, items, targets, weights, scale), users, items, scale)
    rows = F.cross_entropy(users @ items.T * scale, targets, reduction="none")
    theirs = _gradients((rows * weights).sum(), users, items, scale)
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_bf16_scores_keep_the_gradient_within_one_percent():
    users, items, targets, weights = _shop(torch.float32, rows=64)
    scale = torch.tensor(15.0)
    exact = _gradients(catalogue_loss(users, items, targets, weights, scale), users, items)
    with torch.autocast("cpu", torch.bfloat16):
        loss = catalogue_loss(users, items, targets, weights, scale)
    for one, two in zip(_gradients(loss, users, items), exact, strict=True):
        assert (one - two).norm() < 0.01 * two.norm()


def test_a_row_without_negatives_loses_nothing():
    users, items, targets, weights = _shop(torch.float32, rows=2)
    nobody = torch.ones(2, 3, dtype=torch.bool)
    loss = pool_loss(users, items[targets], items[:3], torch.zeros(3), nobody, weights, torch.tensor(9.0))
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    assert all(torch.isfinite(gradient).all() for gradient in _gradients(loss, users, items))


def test_rare_items_are_seldom_in_the_pool():
    chance = pool_chance(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), drawn=2, catalogue=4, uniform=1)
    # by hand: 1 - (1 - q)^2 * 3/4
    assert chance.tolist() == pytest.approx([0.25, 1 - 0.25 * 0.75, 1.0])


def test_a_share_of_one_in_ten_billion_is_not_rounded_away():
    chance = pool_chance(torch.tensor([1e-10], dtype=torch.float64), drawn=1000, catalogue=10**9, uniform=0)
    assert float(chance) == pytest.approx(1e-7, rel=1e-6)


@pytest.mark.parametrize(("uniform", "popular"), [(40, 0), (0, 150), (40, 40)])
def test_the_pools_mean_gradient_is_the_full_softmaxs(uniform, popular):
    """Many pools out of 50 items, popularity skewed a hundredfold: within 2% of the exact gradient."""
    torch.manual_seed(0)
    users, items, targets, weights = _shop(torch.float64, rows=6)
    scale = torch.tensor(4.0, dtype=torch.float64)
    exact = _gradients(catalogue_loss(users, items, targets, weights, scale), users, items)
    share = torch.logspace(0, -2, ITEMS, dtype=torch.float64)
    share = share / share.sum()
    chances = popularity_chances(share.numpy(), 0.5)
    drawn, draws = 40, 1500
    plan = PoolPlan(ITEMS, exact=False, most_targets=drawn, uniform=uniform, popular=popular, chances=chances)
    log_chance = pool_chance(share, drawn, ITEMS, uniform, popular, torch.from_numpy(chances)).log()
    random = np.random.default_rng(0)
    sums = [torch.zeros_like(one) for one in exact]
    for _ in range(draws):
        batch = random.choice(ITEMS, drawn, p=share.numpy())
        codes = torch.from_numpy(plan.draw(batch, random)[0])
        mask = codes == targets[:, None]
        loss = pool_loss(users, items[targets], items[codes], log_chance[codes], mask, weights, scale)
        for total, one in zip(sums, _gradients(loss, users, items), strict=True):
            total += one / draws
    for mean, one in zip(sums, exact, strict=True):
        assert (mean - one).norm() < 0.02 * one.norm()


def test_a_draw_by_popularity_is_part_of_the_chance():
    chance = pool_chance(torch.tensor([0.5]), 1, 4, 1, popular=2, chance=torch.tensor([0.2]))
    assert float(chance) == pytest.approx(1 - 0.5 * 0.75 * 0.8**2)


def test_masked_pairs_get_exactly_no_gradient():
    users, items, targets, weights = _shop(torch.float32, rows=3)
    pool = F.normalize(torch.randn(4, DIM, generator=torch.Generator().manual_seed(2)), dim=1).requires_grad_()
    mask = torch.tensor([[True, False, False, True], [True, False, True, True], [True, True, True, True]])
    scale = torch.tensor(20.0)
    loss = pool_loss(users, items[targets], pool, torch.zeros(4), mask, weights, scale)
    to_users, to_pool = _gradients(loss, users, pool)
    assert to_users[2].tolist() == [0.0] * DIM  # nothing is left to tell its item from
    assert to_pool[0].tolist() == to_pool[3].tolist() == [0.0] * DIM
    assert (to_pool[1] != 0).any()
    assert (to_pool[2] != 0).any()


def test_mined_negatives_are_a_softmax_of_their_own():
    users, items, targets, weights = _shop(torch.float64, rows=3)
    scale = torch.tensor(4.0, dtype=torch.float64)
    mined = items[torch.tensor([[1, 2], [3, 0], [0, 0]])]
    absent = torch.tensor([[False, False], [False, True], [True, True]])
    loss = mined_loss(users, items[targets], mined, absent, weights, scale)
    scores = torch.einsum("rd,rnd->rn", users, torch.cat([items[targets][:, None], mined], dim=1)) * scale
    by_hand = [
        weights[0] * F.cross_entropy(scores[0], torch.tensor(0)),
        weights[1] * F.cross_entropy(scores[1, :2], torch.tensor(0)),
    ]
    assert loss.item() == pytest.approx(sum(by_hand).item(), rel=1e-5)
    to_users, to_mined = _gradients(loss, users, mined)
    assert to_users[2].tolist() == [0.0] * DIM
    assert to_mined[1, 1].tolist() == [0.0] * DIM


_SCORES = st.lists(st.floats(-20, 20, width=32), min_size=5, max_size=5)


@given(teacher=_SCORES, student=_SCORES, length=st.integers(0, 5), apart=st.floats(-20, 20, width=32))
def test_the_divergence_is_never_below_zero_and_zero_for_scores_that_differ_by_a_constant(
    teacher, student, length, apart
):
    kept = torch.arange(5)[None] < length
    teacher, student = torch.tensor([teacher]), torch.tensor([student])
    assert listwise_kl(teacher, student, kept).item() >= -1e-5
    assert listwise_kl(teacher, teacher + apart, kept).item() == pytest.approx(0.0, abs=1e-4)
    probable = torch.softmax(teacher[:, :length], dim=1), torch.softmax(student[:, :length], dim=1)
    if (probable[0] - probable[1]).abs().sum() > 0.1:  # Pinsker: at least half the square of this
        assert listwise_kl(teacher, student, kept).item() > 0.004


def test_the_divergence_of_sure_from_undecided_is_the_log_of_two():
    kept = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    teacher = torch.tensor([[30.0, 0.0, 99.0], [0.0, 0.0, math.log(2)], [1.0, 2.0, 3.0]])
    found = listwise_kl(teacher, torch.zeros(3, 3), kept)
    # Two items: one for sure against even chances. Three: 1/4, 1/4, 1/2 against thirds. None: nothing to tell.
    by_hand = [math.log(2), 0.5 * math.log(0.25 * 3) + 0.5 * math.log(0.5 * 3), 0.0]
    assert found.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_a_lesson_pulls_a_user_towards_what_the_teacher_likes_more_than_the_towers_do():
    users = torch.tensor([[1.0, 0.0]], requires_grad=True)
    items = torch.eye(2)[None].clone().requires_grad_()
    teacher, absent = torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2, dtype=torch.bool)
    loss = taught_loss(users, items, teacher, absent, torch.tensor(1.0), temperature=2.0)
    to_users, to_items = _gradients(loss, users, items)
    # The gradient in each score is the towers' chance less the teacher's: with e against e that is 2 e / (1 + e) - 1.
    apart = 2 * math.e / (1 + math.e) - 1
    assert to_users[0].tolist() == pytest.approx([apart, -apart])
    assert to_items[0, :, 0].tolist() == pytest.approx([apart, -apart])
    assert loss.item() == pytest.approx(apart)  # (p - q) log(p / q) of two items with swapped chances


def test_a_lesson_is_as_exact_in_bf16():
    users, items, *_ = _shop(torch.float32, rows=4)
    lists, teacher = items[:12].reshape(4, 3, DIM), torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    shape = users, lists, teacher, torch.zeros(4, 3, dtype=torch.bool), torch.tensor(20.0)
    exact = taught_loss(*shape, temperature=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert taught_loss(*shape, temperature=1.0).item() == exact.item()


def test_items_past_the_end_of_a_lesson_get_no_gradient_and_no_lesson_is_no_loss():
    users, items, *_ = _shop(torch.float32, rows=2)
    lists = items[torch.tensor([[0, 1, 2], [3, 4, 5]])]
    absent = torch.tensor([[False, False, True], [True, True, True]])
    loss = taught_loss(users, lists, torch.randn(2, 3), absent, torch.tensor(9.0), temperature=1.0)
    to_users, to_lists = _gradients(loss, users, lists)
    assert to_lists[0, 2].tolist() == [0.0] * DIM
    assert to_users[1].tolist() == [0.0] * DIM
    assert torch.isfinite(to_lists).all()
    nobody = taught_loss(users[:0], lists[:0], torch.zeros(0, 3), absent[:0], torch.tensor(9.0), temperature=1.0)
    assert nobody.item() == 0.0


def test_a_pool_without_correction_would_favour_rare_items():
    users = torch.ones(1, 1)
    even = log_sum_exp(users, torch.zeros(2, 1), None, None)
    corrected = log_sum_exp(users, torch.zeros(2, 1), -torch.tensor([1.0, 0.25]).log(), None)
    assert even.exp() == pytest.approx(2.0)
    assert corrected.exp() == pytest.approx(1 + 4)  # the item that comes a quarter of the time stands for four


def _shop(kind, rows):
    generator = torch.Generator().manual_seed(1)
    users = F.normalize(torch.randn(rows, DIM, generator=generator, dtype=kind), dim=1).requires_grad_()
    items = F.normalize(torch.randn(ITEMS, DIM, generator=generator, dtype=kind), dim=1).requires_grad_()
    targets = torch.randint(ITEMS, (rows,), generator=generator)
    return users, items, targets, torch.rand(rows, generator=generator, dtype=kind)


def _gradients(loss, *leaves):
    return torch.autograd.grad(loss, leaves)
