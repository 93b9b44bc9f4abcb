import numpy as np
import pytest

from commerce.associations import count_associations, count_popularity, count_popularity_by, counted_events
from commerce.columns import ACTION_CODES, DAY, NO_ITEM
from commerce.edges import Edges
from commerce.histories import Histories
from commerce.warehouse import open_warehouse

ITEMS = 6


def histories(*users):
    """Each user is a list of (item, day) or (item, day, action)."""
    events = [(*event, "purchase")[:3] for user in users for event in user]
    return Histories(
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in users])]),
        item=np.array([item for item, _, _ in events], np.int32),
        action=np.array([ACTION_CODES[action] for _, _, action in events], np.uint8),
        time=np.array([round(day * DAY) for _, day, _ in events], np.int64),
        query=np.full(len(events), -1, np.int32),
        session=np.zeros(len(events), np.int64),
    )


@pytest.fixture
def count(tmp_path):
    def of(log, ends=None):
        ends = log.offsets[1:] if ends is None else np.array(ends)
        return counted_events(open_warehouse(1, 1.0), log, ends, tmp_path / "events.parquet")

    return of


def edges(events, **settings):
    chosen = {"reach": 5, "days": 0.0, "forward": 3.0, "neighbours": 10, **settings}
    graph = count_associations(events, ITEMS, **chosen)
    source = np.repeat(np.arange(ITEMS), np.diff(graph.offsets))
    return {(int(a), int(b)): float(w) for a, b, w in zip(source, graph.other, graph.weight, strict=True)}


def test_a_pair_weighs_by_nearness_direction_and_how_common_its_items_are(count):
    found = edges(count(histories([(0, 1), (1, 2)], [(2, 1), (0, 1)])))
    # 0 stands in two events, 1 and 2 in one each. 0 -> 1: one moment on, three times as heavy; 2 and 0: one basket.
    near = (1 + 1) ** -0.5
    assert found == pytest.approx(
        {
            (0, 1): 3 * near / (2**0.5 * 1**0.2),
            (1, 0): near / (1**0.5 * 2**0.2),
            (0, 2): 1 / (2**0.5 * 1**0.2),
            (2, 0): 1 / (1**0.5 * 2**0.2),
        }
    )


def test_only_events_before_the_cut_are_counted(count):
    log = histories([(0, 1), (1, 2), (2, 3)], [(0, 1), (3, 2)])
    found = edges(count(log, ends=[2, 4]))  # user 0 without item 2, user 1 without item 3
    assert set(found) == {(0, 1), (1, 0)}


def test_users_repeats_and_searches_make_no_pairs(count):
    log = histories([(0, 1), (0, 2)], [(1, 3), (NO_ITEM, 4, "search"), (2, 5)])
    assert set(edges(count(log))) == {(1, 2), (2, 1)}


def test_pairs_reach_so_far_and_no_further(count):
    log = histories([(0, 1), (1, 2), (2, 3), (3, 4)])
    assert set(edges(count(log), reach=1)) == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}
    # A search in between is no step.
    log = histories([(0, 1), (NO_ITEM, 2, "search"), (1, 3)])
    assert set(edges(count(log), reach=1)) == {(0, 1), (1, 0)}


def test_the_strongest_neighbours_stay_and_ties_by_code(count):
    log = histories([(0, 1), (3, 1)], [(0, 1), (1, 1)], [(0, 1), (2, 1)], [(0, 1), (2, 1)])
    found = edges(count(log), neighbours=2)
    assert [other for source, other in found if source == 0] == [2, 1]


def test_old_events_are_left_out_where_days_are_set(count):
    log = histories([(0, 1), (1, 2)], [(2, 40), (3, 50)])
    assert set(edges(count(log), days=30)) == {(2, 3), (3, 2)}
    assert count_popularity(count(log), ITEMS, {"purchase": 1.0}, 10).tolist() == [0, 0, 0, 1, 0, 0]


def test_a_user_counts_once_for_an_item_and_by_the_weight_of_the_action(count):
    log = histories([(0, 1), (0, 2), (1, 2, "cart"), (2, 3, "view")], [(0, 1), (1, 4)])
    counts = count_popularity(count(log), ITEMS, {"purchase": 1.0, "cart": 0.5}, 0)
    assert counts.tolist() == [2.0, 1.5, 0, 0, 0, 0]


def test_popularity_is_counted_in_each_segment_of_users(count):
    log = histories([(0, 1), (0, 2), (1, 2)], [(1, 4)], [(5, 4)], [(1, 1)])
    counted = count_popularity_by(count(log), np.array([2, 2, 0, 1]), {"purchase": 0.5}, 0)
    assert counted.offsets.tolist() == [0, 0, 1, 3]  # the user of segment 0, unknown, is not counted
    assert counted.other.tolist() == [1, 1, 0]
    assert counted.weight.tolist() == [0.5, 1.0, 0.5]


def test_blocks_change_nothing(count, monkeypatch):
    rng = np.random.default_rng(0)
    log = histories(*[[(int(item), int(day)) for day, item in enumerate(rng.integers(0, ITEMS, 7))] for _ in range(9)])
    whole = edges(count(log))
    monkeypatch.setattr("commerce.associations._ROWS", 10)
    assert edges(count(log)) == whole


def test_edges_are_read_as_they_were_written(tmp_path):
    graph = Edges(np.array([0, 1, 1]), np.array([1], np.int32), np.array([0.5], np.float32))
    graph.save(tmp_path / "associations.npz")
    read = Edges.load(tmp_path / "associations.npz")
    assert (read.offsets.tolist(), read.other.tolist(), read.weight.tolist()) == ([0, 1, 1], [1], [0.5])
    assert read.items == 2
