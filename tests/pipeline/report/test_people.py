"""Who is shown, under which name, and what stands beside it, on a shop of four users and six items."""

import numpy as np
import pyarrow as pa
import pytest

from commerce.columns import ACTION_CODES, DAY, MICROSECONDS
from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import CANDIDATES, Requests, write_ranked, write_table
from pipeline.report.evidence import Measurement, Shop
from pipeline.report.people import Chosen, Event, ago, choose, describe_people, name_people, pseudonym

VIEW, SEARCH, PURCHASE = (ACTION_CODES[action] for action in ("view", "search", "purchase"))
MOMENT = 100 * DAY


@pytest.fixture
def shop():
    # User 0 viewed item 0 and searched; user 1 bought item 1; users 2 and 3 came later.
    return Shop(
        histories=Histories(
            offsets=np.array([0, 2, 3, 3, 3]),
            item=np.array([0, -1, 1], np.int32),
            action=np.array([VIEW, SEARCH, PURCHASE], np.uint8),
            time=np.array([MOMENT - 3 * DAY, MOMENT - 2 * DAY, MOMENT - 5 * 60 * MICROSECONDS]),
            query=np.array([-1, 0, -1], np.int32),
            session=np.arange(3),
        ),
        cuts=np.array([2, 3, 3, 3]),
        titles=[f"title {item}" for item in range(6)],
        queries=["red shoes"],
    )


@pytest.fixture
def requests():
    users = [0, 0, 1, 2, 3]  # user 0 asked twice
    return Requests(
        request_id=np.arange(10, 15),
        window=np.full(5, "test"),
        half=np.full(5, ""),
        user=np.array(users, np.int32),
        time=np.full(5, MOMENT),
        history_end=np.array([2, 2, 3, 3, 3]),
        query=np.array([0, -1, -1, -1, -1], np.int32),
        session=np.arange(5),
        intent=np.full(5, -1, np.int8),
        offsets=np.array([0, 3, 4, 5, 6, 7]),
        items=np.array([2, 3, 5, 0, 0, 0, 0], np.int32),
        gains=np.array([0.5, 1, 1, 1, 1, 1, 1], np.float32),
    )


@pytest.fixture
def measurement(requests, tmp_path):
    ranked = np.array([[4, 3, 2, -1]] * 5, np.int32)
    write_ranked(tmp_path / "mercato.parquet", requests.request_id, ranked, -ranked.astype(np.float32))
    rows = [(10, 4, "blend", 1), (10, 3, "blend", 0), (10, 3, "vectors", 6), (10, 3, "tastes", 0), (11, 3, "tastes", 2)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    table = pa.table([*columns, [0.0] * len(rows)], names=CANDIDATES.names)
    write_table(table, CANDIDATES, "candidates", tmp_path / "test.parquet")
    return Measurement(
        protocol="main",
        metrics={"targets": {"cart": 0.5, "purchase": 1.0}, "systems": {"mercato": {}}},
        requests=requests,
        relevant=Relevant(requests.offsets, requests.items, requests.gains),
        rankings=tmp_path,
        candidates=tmp_path / "test.parquet",
    )


def test_every_user_is_drawn_once_and_new_ones_among_them(requests):
    new = np.array([False, False, False, True, True])
    assert sorted(requests.user[choose(requests, new, 4, seed=0)]) == [0, 1, 2, 3]
    drawn = choose(requests, new, 3, seed=0)  # a quarter of three is one
    assert new[drawn].sum() == 1
    assert len(set(requests.user[drawn])) == 3


def test_where_one_kind_is_short_the_other_fills_up(requests):
    assert len(choose(requests, np.zeros(5, bool), 4, seed=0)) == 4
    assert len(choose(requests, np.ones(5, bool), 4, seed=0)) == 4


def test_the_draw_repeats_and_another_seed_draws_others(requests):
    new = np.zeros(5, bool)
    draws = {tuple(choose(requests, new, 2, seed=seed)) for seed in range(10)}
    assert tuple(choose(requests, new, 2, seed=0)) == tuple(choose(requests, new, 2, seed=0))
    assert len(draws) > 1


def test_names_tell_only_the_place_on_the_page(requests, shop):
    assert [pseudonym(place) for place in (0, 4, 5, 19)] == ["User A1", "User A5", "User B1", "User D5"]
    named = name_people(requests, shop, seed=0, count=4)
    assert list(named.values()) == ["User A1", "User A2", "User A3", "User A4"]
    # Sorted by what is known of them: users 2 and 3 nothing, user 1 one event, user 0 two.
    users = [int(requests.user[key - 10]) for key in named]
    assert sorted(users[:2]) == [2, 3]
    assert users[2:] == [1, 0]


def test_a_person_is_what_was_known_what_was_shown_and_what_followed(measurement, shop):
    (person,) = describe_people(measurement, shop, {10: "User A1"})
    assert (person.pseudonym, person.new, person.events, person.query) == ("User A1", False, 2, "red shoes")
    assert person.history == [Event("search", "red shoes", "2 d"), Event("view", "title 0", "3 d")]
    assert [(line.rank, line.title, line.hit) for line in person.recommended] == [
        (1, "title 4", False),
        (2, "title 3", True),
        (3, "title 2", True),
    ]
    assert person.recommended[1].sources == [("tastes", 1), ("vectors", 7)]
    assert [line.blended for line in person.recommended] == [2, 1, None]
    assert person.chosen == [
        Chosen("title 3", 1.0, "purchase", 2),
        Chosen("title 5", 1.0, "purchase", None),
        Chosen("title 2", 0.5, "cart", 3),
    ]
    assert person.hits == 2


def test_gains_worth_the_same_name_no_action(measurement, shop):
    measurement.metrics["targets"] = {"cart": 1.0, "purchase": 1.0}
    (person,) = describe_people(measurement, shop, {12: "User A1"})
    assert person.chosen[0].action == ""


def test_whom_a_protocol_dropped_is_left_out(measurement, shop):
    assert describe_people(measurement, shop, {99: "User A1"}) == []


def test_moments_are_told_as_distances():
    minute = 60 * MICROSECONDS
    assert [ago(5 * minute), ago(90 * minute), ago(DAY), ago(400 * DAY)] == ["5 min", "1 h", "1 d", "400 d"]
