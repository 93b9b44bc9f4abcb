"""Two runs of one shop that met its users and items in another order, and so code them otherwise."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.metrics import Relevant
from commerce.records import Requests
from configs.errors import InputError
from pipeline.alignment import align, take
from pipeline.asked import Evaluated

METRICS = {
    "filter_seen": False,
    "split": "time",
    "targets": {"purchase": 1.0},
    "window": {"from": "2026-01-01", "until": "2026-01-08"},
    "items": 3,
}
ASKED = [("ann", 10, {"tea": 1.0, "cup": 0.5}), ("ben", 10, {"pot": 1.0}), ("ann", 20, {"tea": 1.0})]
"""User, moment, relevant items with their gains."""


def run(root, asked, users=("ann", "ben"), items=("tea", "cup", "pot"), **metrics):
    (root / "ingest").mkdir(parents=True)
    for kind, ids in (("user", users), ("item", items)):
        table = pa.table({"code": pa.array(range(len(ids)), pa.int32()), "id": list(ids)})
        pq.write_table(table, root / "ingest" / f"{kind}_ids.parquet")
    size = len(asked)
    none = np.full(size, -1)
    relevant = Relevant(
        np.cumsum([0, *(len(chosen) for _, _, chosen in asked)]),
        np.array([items.index(item) for _, _, chosen in asked for item in chosen], np.int32),
        np.array([gain for _, _, chosen in asked for gain in chosen.values()], np.float32),
    )
    requests = Requests(
        request_id=np.arange(size),
        window=np.full(size, "test"),
        half=np.full(size, ""),
        user=np.array([users.index(user) for user, _, _ in asked], np.int32),
        time=np.array([time for _, time, _ in asked]),
        history_end=none,
        query=none,
        session=none,
        intent=none,
        offsets=relevant.offsets,
        items=relevant.items,
        gains=relevant.gains,
    )
    told = METRICS | {"items": len(items)} | metrics
    return Evaluated(root, told, {"evaluate": {"at": [10]}}, requests, relevant, None, root)


@pytest.fixture
def first(tmp_path):
    return run(tmp_path / "a", ASKED)


def test_requests_are_recognised_under_other_codes_and_in_another_order(first, tmp_path):
    turned = [ASKED[2], ASKED[1], ("ann", 10, {"cup": 0.5, "tea": 1.0})]
    second = run(tmp_path / "b", turned, users=("zoe", "ben", "ann"), items=("pot", "tea", "cup"))
    found = align(first, second)
    assert found.apart == []
    assert found.first.tolist() == [0, 1, 2]
    assert found.second.tolist() == [2, 1, 0]
    assert found.items.tolist() == [2, 0, 1]


def test_what_only_one_has_and_what_differs_is_counted(first, tmp_path):
    changed = [
        ("ann", 10, {"tea": 1.0, "pot": 0.5}),  # another item
        ASKED[1],
        ("ann", 20, {"tea": 0.5}),  # another gain
        ("ben", 30, {"tea": 1.0}),  # only here
    ]
    found = align(first, run(tmp_path / "b", changed))
    assert found.first.tolist() == found.second.tolist() == [1]
    assert found.left_out == (0, 1, 2)
    assert found.apart == [
        "0 requests only in the first and 1 only in the second",
        "2 requests with other relevant items or gains",
    ]


def test_two_requests_of_one_user_and_moment_stay_two(tmp_path):
    twice = [("ann", 10, {"tea": 1.0}), ("ann", 10, {"cup": 1.0}), ("ben", 0, {"tea": 1.0})]
    found = align(run(tmp_path / "a", twice), run(tmp_path / "b", twice))
    assert found.first.tolist() == found.second.tolist() == [0, 1, 2]
    assert found.apart == []


def test_items_that_the_first_does_not_have_get_codes_beyond_its_catalogue(first, tmp_path):
    found = align(first, run(tmp_path / "b", ASKED, items=("jam", "tea", "cup", "pot")))
    assert found.items.tolist() == [3, 0, 1, 2]
    assert found.apart == ["catalogue of 3 items against 4, 3 of them the same"]


@pytest.mark.parametrize(
    ("metrics", "phrase"),
    [
        ({"targets": {"cart": 0.5}}, "targets (purchase 1) against (cart 0.5)"),
        ({"split": "leave_last_out"}, "split time against leave_last_out"),
        ({"window": {"from": None, "until": None}}, "window 2026-01-01 to 2026-01-08 against of each user's own"),
    ],
)
def test_terms_that_differ_are_told_with_both_values(first, tmp_path, metrics, phrase):
    assert align(first, run(tmp_path / "b", ASKED, **metrics)).apart == [phrase]


def test_another_repeat_rule_is_refused_with_the_remedy(first, tmp_path):
    with pytest.raises(InputError, match=r"filter_seen off and .* filter_seen on.*evaluate.filter_seen=false"):
        align(first, run(tmp_path / "b", ASKED, filter_seen=True))


def test_taking_rows_in_any_order():
    relevant = Relevant(np.array([0, 2, 3]), np.array([4, 5, 6], np.int32), np.array([1, 2, 3], np.float32))
    taken = take(relevant, np.array([1, 0, 1]))
    assert taken.offsets.tolist() == [0, 1, 3, 4]
    assert taken.items.tolist() == [6, 4, 5, 6]
    assert taken.gains.tolist() == [3, 1, 2, 3]


def test_runs_without_a_common_request_share_none(first, tmp_path):
    found = align(first, run(tmp_path / "b", [("ben", 99, {"tea": 1.0})]))
    assert len(found.first) == 0
    assert replace(found, apart=[]).left_out == (3, 1, 0)
