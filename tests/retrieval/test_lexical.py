import subprocess
import sys

import numpy as np
import pytest

from retrieval.filters import Allowed
from retrieval.lexical import LexicalSource
from retrieval.sources import Ask

TEXTS = ["Red running shoes, size 42", "红色跑步鞋 男", "running jacket", "", "blue shoes"]
HEADPHONES = [
    *(f"Sony wireless noise cancelling headphones WH-{place}XB{place % 7}" for place in range(900, 1000)),
    "Sony headphones WH-1000XM4",
    "索尼ＷＨ－１０００ＸＭ５降噪耳机",
    "Apple wireless headphones case A2337-256",
    "Apple wireless headphones case A2337-512",
]


def search(query, allowed=None, texts=TEXTS, source=None):
    ask = Ask([None], np.zeros((1, 0), np.float32), np.zeros(1, np.int64), [query])
    source = source or LexicalSource.build(texts)
    items, _ = source(ask, 5, allowed or Allowed.everything(len(texts), 1))
    return items[0][items[0] >= 0].tolist()


def test_items_with_more_and_rarer_words_of_the_query_come_first():
    assert search("red shoes") == [0, 4]
    assert search("跑步 红色") == [1]


@pytest.mark.parametrize(
    ("query", "item"),
    [
        ("WH-1000XM4", 100),
        ("sony wireless noise cancelling headphones wh-1000xm4 black", 100),
        ("WH1000XM4", 100),
        ("wh 1000xm4", 100),
        ("ｗｈ‐１０００ｘｍ４", 100),
        ("wh-1000xm5 wireless noise cancelling headphones", 101),
        ("apple wireless headphones a2337-256", 102),
        ("A2337-512", 103),
    ],
)
def test_model_numbers_are_found_however_they_are_written_and_inside_longer_queries(query, item):
    assert search(query, texts=HEADPHONES)[0] == item


def test_nothing_is_found_without_terms_or_without_a_match():
    assert search("") == []
    assert search("umbrella") == []
    assert search("shoes", texts=["", ""]) == []


def test_filters_hold():
    allowed = Allowed(np.zeros(5, np.int64), np.ones(5, np.int64), np.zeros(1, np.int64), [np.array([0], np.int32)])
    assert search("shoes", allowed) == [4]


@pytest.mark.parametrize("texts", [TEXTS, HEADPHONES, ["", ""]])
def test_an_index_that_was_written_answers_as_the_one_in_memory(tmp_path, texts):
    source = LexicalSource.build(texts)
    source.save(tmp_path / "lexical")
    read = LexicalSource.load(tmp_path / "lexical")
    for query in ("red running shoes 跑步", "sony A2337-256", "", "umbrella"):
        for one, other in zip(source.match(query), read.match(query), strict=True):
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist()


def test_two_processes_write_the_same_bytes(tmp_path):
    # Python deals the order of a set of strings out anew in each process.
    write = (
        "import sys; from retrieval.lexical import LexicalSource; LexicalSource.build(sys.argv[2:]).save(sys.argv[1])"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-c", write, str(tmp_path / seed), *TEXTS]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."})
    first = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "2").iterdir()}
