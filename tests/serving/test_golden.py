from collections import Counter

import pytest

from serving.golden import KINDS, golden_requests, same_up_to_ties
from serving.requests import Request

DAY = 86_400 * 1_000_000
IDS = [f"item {number}" for number in range(30)]


def test_all_kinds_come_in_turn():
    requests = golden_requests(60, IDS, full=50, end=1_000 * DAY, k=10, seed=0)
    assert Counter(len(request.events) for request in requests) == {0: 20, 1: 10, 50: 10, 5: 10, 6: 10}
    assert sum(request.query.isascii() and bool(request.query) for request in requests) == 10
    assert sum(not request.query.isascii() for request in requests) == 10
    assert len(KINDS) == 6


def test_events_lie_before_the_moment_and_mix_in_unknown_items():
    requests = golden_requests(12, IDS, full=50, end=1_000 * DAY, k=10, seed=0)
    for request in requests:
        assert all(event.time < request.time for event in request.events)
    unknown = [event.item_id not in IDS for event in requests[3].events]
    assert unknown == [True, False, True, False, True]


def test_equal_seeds_make_equal_requests_which_survive_json():
    one = golden_requests(12, IDS, full=5, end=1_000 * DAY, k=10, seed=3)
    assert one == golden_requests(12, IDS, full=5, end=1_000 * DAY, k=10, seed=3)
    assert one != golden_requests(12, IDS, full=5, end=1_000 * DAY, k=10, seed=4)
    import json

    assert [Request.from_json(json.loads(json.dumps(request.as_json()))) for request in one] == one


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (["a", "b", "c", "d"], None),
        (["a", "c", "b", "d"], None),  # b and c are tied
        (["b", "a", "c", "d"], 0),
        (["a", "b", "d", "c"], 2),
        (["a", "b", "c", "e"], None),  # e ties with d, the last recorded
        (["a", "b", "e", "d"], 2),
    ],
)
def test_only_ties_may_change_places(found, wrong):
    scores = {"a": 0.9, "b": 0.5001, "c": 0.5, "d": 0.1, "e": 0.1001}
    place = same_up_to_ties(["a", "b", "c", "d"], [0.9, 0.5001, 0.5, 0.1], found, [scores[item] for item in found])
    assert place == wrong
