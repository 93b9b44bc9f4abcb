"""The association graph on logs of a few rows, and Swing beside a plain double loop."""

from itertools import combinations

import numpy as np
import pytest

from commerce.associations import counted_events
from commerce.columns import DAY
from commerce.graph import MEASURES, count_graph, graph_edges
from commerce.groups import KINDS, group_items, pair_items
from commerce.swing import count_swing
from commerce.warehouse import open_warehouse
from configs.schema import GraphConfig

ITEMS = 8


@pytest.fixture
def count(tmp_path, histories_of):
    """Return a function: users, each a list of (item, day[, action, session]), to counted events."""

    def of(*users):
        rows = []
        for user, events in enumerate(users):
            for item, day, *rest in events:
                action, session = rest or ("purchase", 0)
                rows.append((user, item, action, round(day * DAY), 1000 * user + session))
        log = histories_of(rows)
        return counted_events(open_warehouse(1, 1.0), log, log.offsets[1:], tmp_path / "events.parquet")

    return of


def groups(events, **settings):
    """(kind, user, items) of each group."""
    members = group_items(events, **{"period_days": 28, "most": 30, **settings}).to_pandas()
    found = members.groupby(["kind", "group", "user"])["item"].apply(lambda items: tuple(sorted(items)))
    return sorted((KINDS[kind], user, items) for (kind, _, user), items in found.items())


def edges(events, kind, measure, **settings):
    chosen = {"min_support": 1, "swing_groups": 100} | settings
    graph = graph_edges(count_graph(events, GraphConfig(**chosen)), kind, measure, ITEMS)
    source = np.repeat(np.arange(ITEMS), np.diff(graph.offsets))
    return {(int(a), int(b)): float(w) for a, b, w in zip(source, graph.other, graph.weight, strict=True)}


def test_purchases_of_a_period_and_views_of_a_session_are_groups(count):
    events = count(
        [(0, 1), (1, 20), (2, 40)],  # days 1 and 20 lie in one period of 28 days, day 40 in the next
        [(3, 1, "view", 1), (4, 1, "view", 1), (5, 1, "view", 2), (6, 1, "favorite", 2)],
    )
    assert groups(events) == [
        ("complement", 0, (0, 1)),
        ("complement", 0, (2,)),
        ("substitute", 1, (3, 4)),
        ("substitute", 1, (5,)),
    ]


def test_a_group_keeps_its_latest_items(count):
    events = count([(0, 5), (1, 6), (2, 7), (0, 8)])
    assert groups(events, most=2) == [("complement", 0, (0, 2))]


def test_what_was_viewed_and_bought_both_is_no_choice(count):
    looked = [(0, 1, "view", 1), (1, 1, "view", 1), (2, 1, "view", 1)]
    events = count([*looked, (0, 1.1, "purchase", 1), (1, 1.1, "purchase", 1)])
    pairs = pair_items(group_items(events, period_days=28, most=30)).to_pandas()
    viewed = pairs[pairs["kind"] == KINDS.index("substitute")]
    assert {(one, other): choice for one, other, choice in viewed[["one", "other", "choice"]].to_numpy().tolist()} == {
        (0, 1): False,
        (0, 2): True,
        (1, 2): True,
    }
    assert set(edges(events, "substitute", "cosine")) == {(0, 2), (2, 0), (1, 2), (2, 1)}
    assert set(edges(events, "complement", "cosine")) == {(0, 1), (1, 0)}


def test_lift_is_how_many_times_more_groups_hold_both_than_chance_would(count):
    # Four groups; 0 lies in three, 1 in two, both in two: 2 x 4 / (3 x 2).
    found = edges(count([(0, 1), (1, 1)], [(0, 1), (1, 1)], [(0, 1)], [(2, 1)]), "complement", "lift")
    assert found == pytest.approx({(0, 1): 8 / 6, (1, 0): 8 / 6})


def test_the_cosine_forgets(count):
    # User 0 met both a half-life before the last event, user 1 at it, user 2 item 0 alone at it.
    events = count([(0, 28), (1, 28)], [(0, 56), (1, 56)], [(0, 56)])
    found = edges(events, "complement", "cosine", halflife_days=28.0)
    assert found[0, 1] == pytest.approx((0.5 + 1) / np.sqrt((0.5 + 1 + 1) * (0.5 + 1)))


def test_swing_trusts_users_who_share_little_else(count):
    # Everybody has 0 and 1; users 1 and 2 share item 2 too.
    events = count([(0, 1), (1, 1)], [(0, 1), (1, 1), (2, 1)], [(0, 1), (1, 1), (2, 1)])
    found = edges(events, "complement", "swing", swing_alpha=1.0)
    alone = 1 / np.sqrt(2 * 3) / (1 + 2)
    both = 1 / 3 / (1 + 3)
    assert found[0, 1] == found[1, 0] == pytest.approx(2 * alone + both)
    assert found[0, 2] == pytest.approx(both)


def test_one_users_habits_prove_nothing_to_swing(count):
    assert edges(count([(0, 1), (1, 1), (0, 30), (1, 30)]), "complement", "swing") == {}


def swing_by_loops(members, alpha):
    """Swing of (group, user, items) as it is written in the paper."""
    scores = {}
    for (_, user, items), (_, other, others) in combinations(members, 2):
        common = sorted(set(items) & set(others))
        if user != other:
            for pair in combinations(common, 2):
                weight = 1 / np.sqrt(len(items)) / np.sqrt(len(others)) / (alpha + len(common))
                scores[pair] = scores.get(pair, 0.0) + weight
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_swing_is_that_of_a_plain_double_loop(count, seed):
    rng = np.random.default_rng(seed)
    events = count(*[list(zip(rng.integers(0, ITEMS, 9), rng.integers(0, 80, 9), strict=True)) for _ in range(12)])
    members = group_items(events, period_days=28, most=30)
    found = count_swing(members, alpha=2.0, most=100).to_pandas()
    weights = {(one, other): weight for one, other, weight in found[["one", "other", "weight"]].to_numpy().tolist()}
    assert weights == pytest.approx(swing_by_loops(groups(events), 2.0))


def test_support_counts_users_and_not_visits(count):
    again = [(0, 1), (1, 1), (0, 30), (1, 30), (0, 60), (1, 60)]
    assert edges(count(again), "complement", "lift", min_support=2) == {}
    assert set(edges(count(again, [(0, 1), (1, 1)]), "complement", "lift", min_support=2)) == {(0, 1), (1, 0)}
    table = count_graph(count(again, [(0, 1), (1, 1)]), GraphConfig())
    assert set(table["support"].to_pylist()) == {2}


def test_the_strongest_edges_stay_and_the_work_of_swing_is_bounded(count):
    events = count(*[[(0, 1), (item, 1)] for item in (1, 2, 2, 3)])
    assert set(edges(events, "complement", "lift", neighbours=1)) == {(0, 1), (1, 0), (2, 0), (3, 0)}
    # Of item 0 only the two latest groups are compared: those of items 2 and 3 by the order of groups.
    assert edges(events, "complement", "swing", swing_groups=2) == {}
    assert set(edges(events, "complement", "swing")) == {(0, 2), (2, 0)}


def test_edges_are_sorted_and_complete(count):
    table = count_graph(count([(0, 1), (1, 1)], [(0, 1), (1, 1), (2, 1)]), GraphConfig(min_support=1)).to_pandas()
    assert table[["item", "kind", "measure"]].to_numpy().tolist() == sorted(
        table[["item", "kind", "measure"]].to_numpy().tolist()
    )
    assert set(table["measure"]) == set(range(len(MEASURES)))
