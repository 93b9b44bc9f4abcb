import pytest
import torch

from towers.masks import not_available
from towers.whole import item_blocks, top_items

# Two users, eight items of one number each: a user's score of an item is their product, so all is exact.
USERS = torch.tensor([[1.0], [-1.0]])
ITEMS = torch.tensor([[5.0], [-3.0], [8.0], [0.0], [7.0], [-9.0], [2.0], [1.0]])
HIDDEN = torch.tensor([[0, 2], [1, 5], [1, 1]])


def test_blocks_are_the_catalogue_in_order():
    assert item_blocks(10, 4) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert item_blocks(0) == []


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 8, 100])
def test_the_best_are_the_same_in_blocks_of_any_size(at_once):
    best = top_items(USERS, ITEMS, 3, HIDDEN, at_once=at_once)
    assert best.tolist() == [[4, 0, 6], [3, 7, 6]]  # 7, 5, 2 without the 8; 0, -1, -2 without the 9 and the 3
    # Items 4 to 7 come to the shop later.
    since, until = torch.tensor([0] * 4 + [10] * 4), torch.full((8,), 20)

    def shut(codes):
        return not_available(codes, torch.tensor([5, 15]), since, until)

    assert top_items(USERS, ITEMS, 2, HIDDEN, shut, at_once).tolist() == [[0, 3], [3, 7]]


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_all_items_where_there_are_fewer_than_asked_for(at_once):
    best = top_items(USERS[:1], ITEMS, 10, HIDDEN[:0], at_once=at_once)
    assert best.tolist() == [[2, 4, 0, 6, 7, 3, 1, 5]]


def test_of_equal_items_in_different_blocks_the_first_comes_first():
    assert top_items(USERS[:1], torch.ones(6, 1), 3, HIDDEN[:0], at_once=1).tolist() == [[0, 1, 2]]
