import numpy as np

from commerce.columns import NO_ITEM
from retrieval.filters import Allowed
from retrieval.index import ItemIndex
from retrieval.mining import mine

# Item i lies at angle i x 10 degrees; the user looks along 0, so item i scores cos(i x 10 degrees).
ANGLES = np.deg2rad(10.0 * np.arange(9))
ITEMS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
ALWAYS = (np.full(9, -(10**6)), np.full(9, 10**6))


def _mine(chosen, *, depth=9, keep=3, margin=0.05, excluded=(), since=ALWAYS[0], until=ALWAYS[1]):
    allowed = Allowed(since, until, np.array([0]), [np.array([chosen, *excluded], dtype=np.int32)])
    own = ITEMS[[chosen]] @ ITEMS[0]
    index = ItemIndex.build(np.arange(9), ITEMS, gpus=0)
    items, scores = mine(index, ITEMS[:1], own, allowed, depth=depth, keep=keep, margin=margin)
    return items[0].tolist(), scores[0]


def test_the_nearest_items_below_the_chosen_one_are_mined():
    items, scores = _mine(3, margin=0.0)
    assert items == [4, 5, 6]
    np.testing.assert_allclose(scores, np.cos(np.deg2rad([40, 50, 60])), rtol=1e-6)


def test_an_item_within_the_margin_may_be_a_choice_not_made_yet():
    assert np.cos(ANGLES[3]) - np.cos(ANGLES[4]) < 0.15 < np.cos(ANGLES[3]) - np.cos(ANGLES[5])
    assert _mine(3, margin=0.15)[0] == [5, 6, 7]


def test_what_the_user_chose_elsewhere_and_what_was_not_on_offer_is_no_negative():
    since, until = ALWAYS[0].copy(), ALWAYS[1].copy()
    since[5], until[6] = 1, 0  # one comes a moment later, the other has just gone
    assert _mine(3, margin=0.0, excluded=[4], since=since, until=until)[0] == [7, 8, NO_ITEM]


def test_a_target_that_is_not_found_yet_has_no_mined_negatives():
    items, scores = _mine(8, depth=4, margin=0.0)
    assert items == [NO_ITEM] * 3
    assert np.isneginf(scores).all()
