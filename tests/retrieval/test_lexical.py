import numpy as np

from retrieval.filters import Allowed
from retrieval.lexical import LexicalSource, words
from retrieval.sources import Ask

TEXTS = ["Red running shoes, size 42", "红色跑步鞋 男", "running jacket", "", "blue shoes"]


def search(query, allowed=None, texts=TEXTS):
    ask = Ask([None], np.zeros((1, 0), np.float32), np.zeros(1, np.int64), [query])
    items, _ = LexicalSource(texts)(ask, 5, allowed or Allowed.everything(len(texts), 1))
    return items[0][items[0] >= 0].tolist()


def test_texts_become_words_in_both_languages():
    assert words("Red SHOES, size-42!") == ["red", "shoes", "size", "42"]
    assert words("Nike跑步鞋") == ["nike", "跑步", "鞋"]
    assert words(" ,. ") == []


def test_items_with_more_and_rarer_words_of_the_query_come_first():
    assert search("red shoes") == [0, 4]
    assert search("跑步 红色") == [1]


def test_nothing_is_found_without_terms_or_without_a_match():
    assert search("") == []
    assert search("umbrella") == []
    assert search("shoes", texts=["", ""]) == []


def test_filters_hold():
    allowed = Allowed(np.zeros(5, np.int64), np.ones(5, np.int64), np.zeros(1, np.int64), [np.array([0], np.int32)])
    assert search("shoes", allowed) == [4]
