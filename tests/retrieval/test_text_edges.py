import numpy as np
import pytest

from commerce.edges import Edges
from retrieval.lexical import LexicalSource
from retrieval.text_edges import edges_by_text

TEXTS = ["red running shoes", "red shoes", "running socks", "blue lamp", "red running shoes wide", ""]
MET = np.array([True, True, True, True, False, False])
# Item 0 goes with 2 (weight 4) and 3 (weight 1); item 1 goes with 2 (weight 2).
OTHERS, WEIGHTS = np.array([2, 3, 2], np.int32), np.array([4.0, 1.0, 2.0], np.float32)
COMPLEMENTS = Edges(np.array([0, 2, 3, 3, 3, 3, 3]), OTHERS, WEIGHTS)


def test_only_new_items_have_edges_and_these_lead_to_what_is_known():
    found = edges_by_text(LexicalSource.build(TEXTS), TEXTS, MET, COMPLEMENTS, 10)
    assert set(found["substitute"].item.tolist()) == {4}  # item 5 has no text
    assert found["substitute"].other.tolist() == [0, 1, 2]
    weights = found["substitute"].weight
    assert (np.diff(weights) < 0).all()
    assert 0 < weights[-1] < weights[0] < 1


def test_what_goes_with_a_new_item_is_what_goes_with_its_likes():
    lexical = LexicalSource.build(TEXTS)
    found = edges_by_text(lexical, TEXTS, MET, COMPLEMENTS, 10)
    like = dict(zip(found["substitute"].other.tolist(), found["substitute"].weight.tolist(), strict=True))
    got = dict(zip(found["complement"].other.tolist(), found["complement"].weight.tolist(), strict=True))
    assert got == pytest.approx({2: 4 * like[0] + 2 * like[1], 3: like[0]})


def test_neighbours_are_bounded_and_two_new_items_do_not_vouch_for_each_other():
    texts = [*TEXTS, "red running shoes wide"]
    met = np.array([*MET, False])
    found = edges_by_text(
        LexicalSource.build(texts), texts, met, Edges(np.append(COMPLEMENTS.offsets, 3), OTHERS, WEIGHTS), 1
    )
    assert found["substitute"].item.tolist() == [4, 6]
    assert found["substitute"].other.tolist() == [0, 0]
    assert found["complement"].other.tolist() == [2, 2]
