import numpy as np
import pytest

from commerce.histories import Histories
from commerce.records import Requests
from pipeline.systems import Terms, check_lists, rank_vectors, without_seen

USERS, ITEMS = 5, 12
RNG = np.random.default_rng(0)


def terms(seen_by=("purchase",), depth=4, start=None, until=None):
    """Five users with three purchases each, one request each at moments 100 to 104."""
    none = np.full(USERS, -1)
    histories = Histories(
        offsets=np.arange(USERS + 1) * 3,
        item=(np.arange(USERS * 3) % ITEMS).astype(np.int32),
        action=np.full(USERS * 3, 5, np.uint8),
        time=np.tile([1, 2, 3], USERS),
        query=np.full(USERS * 3, -1, np.int32),
        session=np.zeros(USERS * 3, np.int64),
    )
    requests = Requests(
        request_id=np.arange(USERS),
        window=np.full(USERS, "test"),
        half=np.full(USERS, ""),
        user=np.arange(USERS, dtype=np.int32),
        time=100 + np.arange(USERS),
        history_end=histories.offsets[1:],
        query=none.astype(np.int32),
        session=none,
        intent=none.astype(np.int8),
        offsets=np.arange(USERS + 1),
        items=np.zeros(USERS, np.int32),
        gains=np.ones(USERS, np.float32),
    )
    start = np.zeros(ITEMS, np.int64) if start is None else start
    until = np.full(ITEMS, 1000) if until is None else until
    return Terms(requests, histories, start, until, seen_by, depth)


@pytest.mark.parametrize("seen_by", [(), ("purchase",)])
@pytest.mark.parametrize("cells", [1, 30, 10**6])
def test_vectors_are_ranked_exactly(monkeypatch, seen_by, cells):
    monkeypatch.setattr("pipeline.systems._BLOCK_CELLS", cells)
    until = np.full(ITEMS, 1000)
    until[7] = 102  # there for the first two requests only
    given = terms(seen_by, until=until)
    items = RNG.integers(-2, 3, (ITEMS, 2)).astype(np.float32)  # many equal scores
    users = RNG.integers(-2, 3, (USERS, 2)).astype(np.float32)
    listed, scored = rank_vectors(given, items, users)
    for user in range(USERS):
        had = set(given.histories.item[user * 3 : user * 3 + 3].tolist()) if seen_by else set()
        may = [item for item in range(ITEMS) if item not in had and (item != 7 or user < 2)]
        score = items @ users[user]
        assert listed[user].tolist() == sorted(may, key=lambda item: (-score[item], item))[:4]
        assert scored[user].tolist() == score[listed[user]].tolist()
    check_lists("towers", listed, given)


def test_an_item_that_comes_between_two_requests_is_there_for_the_later_ones():
    start = np.zeros(ITEMS, np.int64)
    start[9] = 103
    items = np.zeros((ITEMS, 1), np.float32)
    items[9] = 1
    listed, _ = rank_vectors(terms((), start=start), items, np.ones((USERS, 1), np.float32))
    assert (listed == 9).any(axis=1).tolist() == [False, False, False, True, True]


def test_a_depth_beyond_the_catalogue_is_padded():
    given = terms((), depth=20)
    listed, _ = rank_vectors(given, np.ones((ITEMS, 2), np.float32), np.ones((USERS, 2), np.float32))
    assert listed[0].tolist() == [*range(12), *[-1] * 8]
    check_lists("towers", listed, given)


def test_what_users_had_is_taken_out_of_longer_lists():
    given = terms(depth=3)
    longer = np.tile(np.array([[0, 5, 1, 3, 8, -1]], np.int32), (USERS, 1))
    scores = np.tile(np.arange(6, 0, -1, dtype=np.float32), (USERS, 1))
    listed, scored = without_seen(given, longer, scores)
    assert listed[0].tolist() == [5, 3, 8]  # user 0 had 0, 1 and 2
    assert scored[0].tolist() == [5, 3, 2]
    assert listed[1].tolist() == [0, 1, 8]  # user 1 had 3, 4 and 5
    short, _ = without_seen(given, longer[:, :2], scores[:, :2])
    assert short[0].tolist() == [5, -1, -1]


@pytest.mark.parametrize(
    ("row", "fault"),
    [([6, 6, -1], "twice"), ([11, 9, 10], "while not available"), ([2, -1, -1], "although the user had it")],
)
def test_lists_that_break_the_terms_are_refused(row, fault):
    until = np.full(ITEMS, 1000)
    until[11] = 50
    lists = np.full((USERS, 3), -1, np.int32)
    lists[0] = row
    with pytest.raises(ValueError, match=f"system mercato lists an item {fault}, 1 times"):
        check_lists("mercato", lists, terms(until=until))


def test_padding_is_no_fault():
    check_lists("mercato", np.full((USERS, 3), -1, np.int32), terms())


def test_a_list_of_two_variants_is_refused_where_one_may_stand():
    given = terms(seen_by=())
    listed = np.full((USERS, 4), -1, np.int32)
    listed[:, 0], listed[3, 1] = 1, 5  # 1 and 5 are variants; request 3 lists both
    variants = np.arange(ITEMS, dtype=np.int32)
    variants[5] = 1
    check_lists("towers", listed, given)
    with pytest.raises(ValueError, match="system mercato lists an item beside a variant of it, 1 times"):
        check_lists("mercato", listed, given, variants)
