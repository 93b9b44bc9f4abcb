"""Lists for a shop of four users and six items; users 0 to 2 are asked, and user 0 had items 0 and 1."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from commerce.given_rankings import Given
from commerce.histories import Histories
from commerce.records import Requests
from configs.errors import InputError
from pipeline.given_lists import lay_lists
from pipeline.systems import Terms, check_lists

USERS, ITEMS = ["ann", "ben", "eve", "zoe"], ["i0", "i1", "i2", "i3", "i4", "i5"]
KNOWN = np.arange(10)
"""Request ids of all windows."""


def terms(users=(0, 1, 2), ids=(7, 8, 9), seen_by=(), until=(99,) * 6):
    none = np.full(len(users), -1)
    requests = Requests(
        request_id=np.array(ids),
        window=np.full(len(users), "test"),
        half=np.full(len(users), ""),
        user=np.array(users, np.int32),
        time=50 + np.arange(len(users)),
        history_end=np.full(len(users), 2),
        query=none,
        session=none,
        intent=none,
        offsets=np.arange(len(users) + 1),
        items=np.zeros(len(users), np.int32),
        gains=np.ones(len(users), np.float32),
    )
    histories = Histories(
        offsets=np.array([0, 2, 2, 2, 2]),
        item=np.array([0, 1], np.int32),
        action=np.full(2, 5, np.uint8),
        time=np.array([1, 2]),
        query=np.full(2, -1, np.int32),
        session=np.full(2, -1),
    )
    return Terms(requests, histories, np.zeros(6, np.int64), np.array(until), tuple(seen_by), depth=3)


def lay(rows, key="user", on=None, **more):
    """Lay rows of (user, request or query id; item; score)."""
    ids, items, scores = zip(*rows, strict=True)
    made = Given(pa.array(items), np.array(scores, float), **{key: pa.array(ids)}, **more)
    (listed, _), notes = lay_lists(made, on or terms(), USERS, ITEMS, KNOWN)
    return listed.tolist(), notes


EVERYBODY = [("ann", "i0", 1), ("ben", "i1", 1), ("eve", "i2", 1)]
SHORT = "short: 3 of 3 lists have fewer than 3 items (the shortest 1); places that are not there find nothing"


def test_lists_are_cut_at_the_depth_and_nothing_is_said_of_good_ones():
    rows = [(user, f"i{item}", -item) for user in ("ann", "ben", "eve") for item in range(5)]
    assert lay(rows) == ([[0, 1, 2]] * 3, [])


def test_unsorted_scores_are_sorted_and_said():
    listed, notes = lay([*EVERYBODY, ("ben", "i3", 5), ("ben", "i4", 3)])
    assert listed[1] == [3, 4, 1]
    assert notes[0] == "sorted: the scores of 1 lists were not in falling order; the best comes first"


def test_lists_may_lie_in_pieces():
    listed, notes = lay([("ben", "i3", 5), *EVERYBODY])
    assert listed[1] == [3, 1, -1]
    assert not any("sorted" in note for note in notes)


def test_ties_go_by_item_code_and_are_counted():
    listed, notes = lay([("ben", "i4", 1), *EVERYBODY, ("ben", "i3", 1)])
    assert listed[1] == [1, 3, 4]
    assert notes[0] == "ties: 2 items have the score of the one before; they go by item code"


def test_an_item_counts_at_its_first_place():
    listed, notes = lay([*EVERYBODY, ("ben", "i3", 0.5), ("ben", "i1", 0.1), ("ben", "i4", 0.05), ("ben", "i1", 1)])
    assert listed[1] == [1, 3, 4]
    assert "left out: 2 items that their list held already; the first place counts" in notes
    assert not any("ties" in note for note in notes)


def test_unknown_items_are_left_out_and_counted():
    rows = [(user, f"i{item}", -item) for user in ("ann", "ben", "eve") for item in range(3)]
    listed, notes = lay([("ben", "nope", 9), *rows])
    assert listed[1] == [0, 1, 2]
    assert notes == ["left out: 1 of 10 listed items, unknown to the shop (first: nope)"]


def test_mostly_unknown_items_are_refused():
    with pytest.raises(InputError, match=r"1 of 4 listed items are unknown to the shop \(first: nope\).*at most 20%"):
        lay([*EVERYBODY, ("ben", "nope", 9)])


def test_users_without_a_request_are_left_out_and_counted():
    _, notes = lay([*EVERYBODY, ("zoe", "i1", 1), ("zoe", "nope", 1)])
    assert notes == ["left out: 1 of 4 values of user_id with rows for no measured request", SHORT]


def test_unknown_users_are_counted_and_many_refused():
    on = terms(users=(0, 1, 2, 3), ids=(6, 7, 8, 9))
    rows = [*EVERYBODY, ("zoe", "i1", 1), ("who", "i1", 1)]
    _, notes = lay(rows, on=on)
    assert notes[0] == "left out: 1 of 5 values of user_id, unknown to the shop (first: who)"
    with pytest.raises(InputError, match=r"1 of 4 different values of user_id are unknown .*first: who"):
        lay([*EVERYBODY, ("who", "i1", 1)])


def test_lists_for_nobody_asked_are_refused():
    with pytest.raises(InputError, match=r"0 of 1 different values.* and 1 have no request.*first: zoe.*requests.csv"):
        lay([("zoe", "i1", 1)])


def test_requests_without_a_list_are_told_loudly():
    listed, notes = lay(EVERYBODY[:1])
    assert listed == [[0, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert notes[-1] == "NO LIST for 2 of 3 requests (66.7%): each of them scores 0"


def test_items_away_and_items_had_are_taken_out_and_counted():
    rows = [("ann", f"i{item}", -item) for item in range(6)]
    on = terms(seen_by=["purchase"], until=(99, 99, 20, 50, 51, 99))
    # Ann is asked at 50: item 2 has gone, item 3 goes that moment, item 4 is still there; she had items 0 and 1.
    listed, notes = lay(rows, on=on)
    assert listed[0] == [4, 5, -1]
    assert notes[0] == "left out: 2 items that were not available at their request's moment"
    assert notes[1] == "left out: 2 items that their user had before (filter_seen is on)"
    listed, _ = lay(rows, on=terms())
    assert listed[0] == [0, 1, 2]


def test_blocks_change_nothing(monkeypatch):
    on = terms(users=(1, 2, 0), seen_by=["purchase"])
    rows = [(user, f"i{item}", -item) for user in ("ben", "ann", "eve") for item in range(6)]
    whole = lay(rows, on=on)
    assert whole[0] == [[0, 1, 2], [0, 1, 2], [2, 3, 4]]
    monkeypatch.setattr("pipeline.systems._BLOCK_CELLS", 1)
    assert lay(rows, on=on) == whole


def test_requests_by_their_id_measured_or_not_or_unknown():
    rows = [("7", "i1", 1), ("8", "i2", 1), ("9", "i3", 1), ("3", "i4", 1), ("77", "i5", 1)]
    listed, notes = lay(rows, key="request")
    assert [row[0] for row in listed] == [1, 2, 3]
    assert notes[0] == "left out: 1 of 5 values of request_id, unknown to the shop (first: 77)"
    assert notes[1] == "left out: 1 of 5 values of request_id with rows for no measured request"


ROLLING = {"users": (0, 0, 1), "ids": (7, 8, 9)}


def test_users_with_several_requests_need_the_moment():
    with pytest.raises(InputError, match=r"1 users of the file have several requests \(first: ann\).*requests.csv"):
        lay(EVERYBODY[:2], on=terms(**ROLLING))
    assert lay(EVERYBODY[1:2], on=terms(**ROLLING))[0][2] == [1, -1, -1]
    rows = [("ann", "i1", 1), ("ann", "i2", 1), ("ben", "i3", 1), ("ben", "i4", 1)]
    listed, notes = lay(rows, on=terms(**ROLLING), time=np.array([51, 50, 52, 999]))
    assert [row[0] for row in listed] == [2, 1, 3]
    assert notes[0] == "left out: 1 of 2 values of user_id with rows for no measured request"


def test_qids_are_what_more_of_them_are():
    listed, notes = lay([("8", "i3", 1)], key="query")
    assert (listed[1][0], notes[0]) == (3, "qids are read as request ids")
    listed, notes = lay(EVERYBODY, key="query")
    assert (listed[1][0], notes[0]) == (1, "qids are read as user ids")


def test_qids_that_are_both_are_refused():
    made = Given(pa.array(["i1"]), np.ones(1), query=pa.array(["8"]))
    with pytest.raises(InputError, match="1 of 1 qids are request ids, and as many are user ids"):
        lay_lists(made, terms(), ["6", "8", "x", "y"], ITEMS, KNOWN)


ROW = st.tuples(st.sampled_from(USERS[:3]), st.sampled_from(ITEMS), st.integers(0, 3))


@settings(deadline=None)
@drawn(st.lists(ROW, min_size=1, max_size=30))
def test_whatever_comes_the_lists_keep_the_terms_and_the_order_of_rows_does_not_matter(rows):
    on = terms(seen_by=["purchase"], until=(99, 99, 99, 99, 51, 99))
    listed, _ = lay(rows, on=on)
    check_lists("theirs", np.array(listed, np.int32), on)
    assert lay(rows[::-1], on=on)[0] == listed
    best = {}
    for user, item, score in rows:
        best[user, item] = max(score, best.get((user, item), 0))
    allowed = [(-score, item) for (user, item), score in best.items() if user == "ben" and item != "i4"]
    assert [f"i{item}" for item in listed[1] if item >= 0] == [item for _, item in sorted(allowed)][:3]
