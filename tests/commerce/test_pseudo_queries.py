import re

from commerce.pseudo_queries import pseudo_queries

TITLES = ["Jadeway organic LEATHER tripod, amber (12 cm)", "!!! ***", "", "lamp", "红色台灯落地灯", "iPad 保护壳"]


def test_a_query_is_a_stretch_of_its_products_title():
    places, queries = pseudo_queries(TITLES, 100, seed=0)
    assert sorted(places) == [0, 3, 4, 5]  # what has no letter or digit makes no query
    for place, query in zip(places, queries, strict=True):
        assert query == query.lower()
        assert re.sub(r"\s", "", query) in re.sub(r"\s", "", TITLES[place].lower())
    assert queries[list(places).index(3)] == "lamp"
    assert " " not in queries[list(places).index(4)]  # Chinese is not parted by blanks


def test_queries_are_two_to_four_words_and_drawn_by_seed():
    long = [f"one two three four five {number}" for number in range(200)]
    places, queries = pseudo_queries(long, 50, seed=0)
    assert len(set(places)) == 50
    assert {len(query.split()) for query in queries} == {2, 3, 4}
    again = pseudo_queries(long, 50, seed=0)
    assert list(again[0]) == list(places)
    assert again[1] == queries
    assert pseudo_queries(long, 50, seed=1)[1] != queries
