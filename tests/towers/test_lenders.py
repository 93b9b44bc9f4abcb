from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from towers.embed import embed_items
from towers.lenders import Lenders, evenly


def _lenders(nearest):
    return Lenders(torch.eye(3), torch.tensor([[4.0, 0, 0], [0, 2.0, 0], [0, 0, 9.0]]), nearest)


def test_one_lender_lends_what_it_has():
    lent = _lenders(1).lend(torch.tensor([[0.0, 5.0, 1.0], [7.0, 1.0, 0.0]]))
    assert lent.tolist() == [[0, 2, 0], [4, 0, 0]]


def test_the_nearer_lender_weighs_more_by_a_softmax_of_cosines():
    # Cosines .8 and .6, a temperature of .05: e^4 = 54.6 to one.
    lent = _lenders(2).lend(torch.tensor([[0.8, 0.6, 0.0]]))[0]
    assert lent.tolist() == pytest.approx([4 * 54.598 / 55.598, 2 / 55.598, 0], rel=1e-4)


def test_lenders_who_disagree_lend_little():
    opposed = Lenders(torch.tensor([[1.0, 0], [1.0, 0]]), torch.tensor([[0, 3.0], [0, -3.0]]), 2)
    assert opposed.lend(torch.tensor([[1.0, 0.0]])).norm() < 1e-6


def test_more_lenders_are_asked_for_than_there_are():
    assert _lenders(10).lend(torch.ones(1, 3)).tolist() == [pytest.approx([4 / 3, 2 / 3, 3])]


@pytest.mark.parametrize("asked", [0, 1, 1024, 1025])
def test_however_many_ask_each_gets_its_own(asked):
    content = torch.randn(asked, 3, generator=torch.Generator().manual_seed(0))
    lent = _lenders(2).lend(content)
    assert lent.shape == (asked, 3)
    for row in range(0, asked, 256):
        torch.testing.assert_close(lent[row], _lenders(2).lend(content[row : row + 1])[0])


@given(st.integers(1, 300), st.integers(2, 50))
def test_lenders_are_spread_over_the_catalogue(count, most):
    codes = torch.arange(count) * 3
    chosen = evenly(codes, most)
    assert len(chosen) == min(count, most)
    assert torch.equal(chosen, chosen.unique())
    assert torch.isin(chosen, codes).all()
    assert {int(chosen[0]), int(chosen[-1])} == {0, 3 * (count - 1)}
    gaps = chosen.diff()
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 3


def test_only_items_without_a_residual_borrow(small):
    module, *_ = small()
    lent = embed_items(module)
    module.settings["id_lent"] = 0
    own = embed_items(module)
    moved = np.abs(lent - own).max(axis=1) > 1e-4
    assert np.flatnonzero(moved).tolist() == [0, 1, 2, 3, 4]  # those with residual 0 in the small shop
    assert np.allclose(np.linalg.norm(lent, axis=1), 1, atol=1e-5)


def test_a_twin_without_a_residual_stands_where_its_twin_does(small):
    module, *_ = small(id_lent=1)
    items = module.facts.items
    rows = torch.arange(20)
    rows[2] = 11  # item 2 is described as item 11 is
    twins = items.rows(rows)
    residual = twins.residual.clone()
    residual[2] = 0
    module.attach(replace(module.facts, items=replace(twins, residual=residual)))
    vectors = torch.from_numpy(embed_items(module))
    torch.testing.assert_close(vectors[2], vectors[11])


def test_what_is_borrowed_is_no_longer_than_what_is_owned_may_be(small):
    module, *_ = small(id_cap=0.5)
    with torch.no_grad():
        module.item.residual.weight.mul_(100)
        module.item.residual.weight[0].zero_()
        inputs = module.facts.items
        content, _ = module.item.parts(inputs)
        inputs = replace(inputs, popularity=torch.zeros(20))
        vectors = module.item.eval().encode(inputs, module.lenders())
    # |own| <= |content| / 2 turns a vector by 30 degrees at most.
    cosine = (vectors * F.normalize(content, dim=1)).sum(dim=1)
    assert (cosine >= np.cos(np.pi / 6) - 1e-4).all()
    assert cosine.min() < 0.95


def test_training_lends_nothing(small):
    module, *_ = small(id_drop=0.0)
    codes = torch.arange(20)
    taught = module.train().encode_items(codes).detach().numpy()
    module.settings["id_lent"] = 0
    np.testing.assert_allclose(taught, embed_items(module), atol=1e-6)


def test_early_stopping_ranks_the_vectors_that_embed_writes(small):
    module, *_ = small()
    module.eval()
    with torch.no_grad():
        module.on_validation_epoch_start()
    np.testing.assert_allclose(module._ranked_items.numpy(), embed_items(module), atol=1e-6)


@pytest.mark.parametrize("residual", [torch.zeros(20), torch.arange(1, 21)])
def test_where_none_needs_or_none_has_nobody_lends(small, residual):
    module, *_ = small()
    module.attach(replace(module.facts, items=replace(module.facts.items, residual=residual.long())))
    assert module.lenders() is None
