"""What words say of (query, product) pairs."""

import numpy as np
import pytest

from retrieval.word_match import WORD_FEATURES, word_features


def features(query, queries, texts):
    found = word_features(np.array(query, np.int32), queries, texts)
    return {name: found[:, place] for place, name in enumerate(WORD_FEATURES)}


def test_shares_of_words_and_of_numbers():
    found = features([0, 0, 0, 1], ["canon 550d lens", "lamp"], ["Canon 550D", "lens cap", "", "red lamp"])
    assert found["word_overlap"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 1])
    assert found["number_overlap"].tolist() == [1, 0, 0, 1]  # the last query has no number to miss
    assert found["title_share"].tolist() == pytest.approx([1, 1 / 2, 0, 1 / 2])


def test_bm25_prefers_the_rare_word_and_gives_nothing_without_a_common_one():
    texts = ["red lamp", "red chair", "red sofa", "blue vase"]
    found = features([0, 0, 0, 0], ["red lamp"], texts)["bm25"]
    assert found[0] > found[1] == found[2] > 0
    assert found[3] == 0


def test_a_pairs_score_does_not_hang_on_its_place():
    queries, texts = ["red lamp", "台灯"], ["red lamp", "led 台灯", "red chair"]
    one = word_features(np.array([0, 1, 0], np.int32), queries, texts)
    other = word_features(np.array([0, 0, 1], np.int32), queries, [texts[2], texts[0], texts[1]])
    assert np.array_equal(one, other[[1, 2, 0]])
    assert one[1, 0] > 0  # Chinese is parted into words


def test_queries_without_a_word_and_texts_without_one():
    found = word_features(np.array([0, 0], np.int32), ["!!!"], ["", "lamp"])
    assert found[:, :2].tolist() == [[0, 0], [0, 0]]
