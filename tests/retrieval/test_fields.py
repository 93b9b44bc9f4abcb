import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import InputError
from retrieval.fields import FieldTable
from retrieval.filters import Allowed
from retrieval.index import ItemIndex
from retrieval.recall import lower_bound, recalls_of, true_last
from tests.retrieval.clusters import draw

SHOP = FieldTable(
    [
        {"brand": "Zenkai", "category": "Sports > yoga mat", "price": 20.0, "size": 10},
        {"brand": "Umbrio", "category": "Sports > socks", "price": 5, "size": "XL"},
        {"brand": "Zenkai", "category": "Sportswear", "price": None},
        {"category": "Home > lamp", "price": 20.01, "brand": ""},
    ]
)


@pytest.mark.parametrize(
    ("where", "passing"),
    [
        ({"brand": ["Zenkai"]}, [0, 2]),
        ({"brand": ["Umbrio", "Zenkai"]}, [0, 1, 2]),
        ({"category": ["Sports"]}, [0, 1]),  # a leading part of the path, not of the word
        ({"category": ["Sports > socks", "Home"]}, [1, 3]),
        ({"price": {"max": 20}}, [0, 1]),  # the ends count, an item without a price does not
        ({"price": {"min": 5, "max": "5"}}, [1]),
        ({"price": [5, "20.01"]}, [1, 3]),
        ({"size": ["10"]}, [0]),
        ({"brand": ["Zenkai"], "price": {"min": 0}}, [0]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_an_item_passes_when_it_does_for_every_field(where, passing):
    assert np.flatnonzero(SHOP.passing(where)).tolist() == passing


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"brnad": ["Zenkai"]}, r"no field 'brnad' \(did you mean 'brand'\?\); there are brand, category, price, size"),
        ({"brand": ["Zenkaii"]}, r"no item has brand 'Zenkaii' \(did you mean 'Zenkai'\?\)"),
        ({"category": ["Sprots"]}, r"no item has category 'Sprots' \(did you mean 'Sports'\?\)"),
        ({"brand": "Zenkai"}, "brand takes a list of values or a range"),
        ({"brand": []}, "brand takes a list of values"),
        ({"brand": {"max": 3}}, "brand holds words"),
        ({"price": {"most": 3}}, "a range of price has 'min', 'max' or both, got {'most': 3}"),
        ({"price": {"min": 3, "max": 2}}, "from 3 to 2 holds nothing"),
        ({"price": ["cheap"]}, "price holds numbers, got 'cheap'"),
        ({"price": {"max": float("nan")}}, "price holds numbers, got nan"),
        ({"price": {"max": 1}, "brand": ["Umbrio"]}, r"no item passes .*\(price alone 0, brand alone 1 of 4\)"),
    ],
)
def test_what_nothing_can_pass_is_refused_in_a_sentence(where, told):
    with pytest.raises(InputError, match=told):
        SHOP.passing(where)


def test_the_same_question_gets_the_same_array():
    assert SHOP.passing({"price": {"min": 1, "max": 9}}) is SHOP.passing({"price": {"max": 9, "min": 1}})


VECTORS, QUERIES, _ = draw(4000, 16, 60)


@pytest.fixture(scope="module", params=["ivf-flat", "ivf-pq", "hnsw"])
def approximate(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
        patch.setattr("retrieval.filtered.seconds_per_query", lambda searches, *_, **__: [0.5, 1.0])
        return ItemIndex.build(np.arange(4000), VECTORS, QUERIES, at_k=20, families=(request.param,), gpus=0)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("kind", ["any", "side"])
def test_the_promise_holds_behind_a_filter(approximate, share, kind):
    random = np.random.default_rng(4)
    side = VECTORS @ random.normal(size=16).astype(np.float32)
    only = random.random(4000) < share if kind == "any" else side > np.quantile(side, 1 - share)
    every = Allowed.everything(4000, len(QUERIES))
    allowed = Allowed(every.available_from, every.available_until, every.moment, every.excluded, only)
    items, scores = approximate.search(QUERIES, 20, allowed)
    assert only[items[items >= 0]].all()
    least = min(20, int(only.sum()))
    assert ((items >= 0).sum(axis=1) == least).all()
    last = true_last(approximate.catalogue, QUERIES, 20, only)
    assert lower_bound(recalls_of(scores, last, least)).mean >= 0.95 - 0.01


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_exact_search_behind_a_filter_is_search_of_what_passes(seed, share):
    random = np.random.default_rng(seed)
    vectors = random.integers(1, 4, (20, 3)).astype(np.float32)
    only = random.random(20) < share
    only[random.integers(20)] = True
    until = np.where(random.random(20) < 0.8, 2, 0)
    shown = Allowed(np.zeros(20, np.int64), until, np.array([1]), [np.array([3], np.int32)], only)
    found = ItemIndex.build(np.arange(20), vectors, gpus=0).search(np.ones((1, 3)), 20, shown)[0][0]
    passing = [item for item in np.flatnonzero(only & (until > 1)) if item != 3]
    assert found[found >= 0].tolist() == sorted(passing, key=lambda item: (-vectors[item].sum(), item))


def test_filters_that_know_too_few_items_are_refused():
    index = ItemIndex.build(np.array([1, 7]), np.eye(2), gpus=0)
    with pytest.raises(InputError, match="filters know items 0 to 4, but the index holds item 7"):
        index.search(np.ones((1, 2)), 1, Allowed.everything(5, 1))
