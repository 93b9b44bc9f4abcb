import numpy as np
import torch

from towers.masks import Equivalents, excluded, not_available


def test_what_is_no_negative():
    # Two users; rows 0 and 1 belong to user 0, row 2 to user 1. Item 7 was chosen by user 0 elsewhere; 5 and 6 are
    # variants of each other.
    pool = torch.tensor([3, 5, 6, 7])
    target = torch.tensor([3, 5, 3])
    pairs = torch.from_numpy(Equivalents.of(np.array([5]), np.array([6]), 10).pairs(target.numpy()))
    mask = excluded(pool, target, torch.tensor([0, 0, 1]), 2, torch.tensor([[0, 7], [0, 9]]), pairs)
    assert mask.tolist() == [
        [True, False, False, True],  # its target, the user's other choice
        [False, True, True, True],  # its target, the variant, the other choice
        [True, False, False, False],
    ]


def test_a_pool_of_several_ranks_need_not_be_in_order():
    pool, order = torch.tensor([3, 5, 6, 7]), torch.tensor([2, 0, 3, 1])
    told = torch.tensor([3, 9]), torch.tensor([0, 1]), 2, torch.tensor([[0, 7], [1, 2], [1, 6]]), torch.tensor([[0, 5]])
    mask = excluded(pool, *told)
    assert mask.tolist() == [[True, True, False, True], [False, False, True, False]]
    assert torch.equal(excluded(pool[order], *told), mask[:, order])
    assert excluded(pool[:0], *told).shape == (2, 0)


def test_an_item_counts_only_while_it_is_on_offer():
    since, until = torch.tensor([0, 10]), torch.tensor([20, 30])
    mask = not_available(torch.tensor([0, 1]), torch.tensor([5, 10, 20]), since, until)
    assert mask.tolist() == [[False, True], [False, False], [True, False]]  # the end is exclusive


def test_equivalence_goes_both_ways():
    pairs = Equivalents.of(np.array([1, 1]), np.array([2, 3]), 4)
    assert pairs.pairs(np.array([2, 0, 1])).tolist() == [[0, 1], [2, 2], [2, 3]]
