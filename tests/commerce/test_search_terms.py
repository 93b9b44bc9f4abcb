"""Which queries join an item's text: a log of a few searches, and a future one that must stay out."""

import numpy as np
import pytest

from commerce.associations import counted_events
from commerce.columns import NO_ITEM
from commerce.search_terms import count_terms
from commerce.warehouse import open_warehouse

QUERIES = ["green tea", "kettle", "Green  TEA", "ｇｒｅｅｎ tea", "secret"]
GREEN, KETTLE, LOUD, WIDE, SECRET = range(5)
LAMP, TEA, POT = range(3)


@pytest.fixture
def count(tmp_path, histories_of):
    """Return a function: users, each a list of (item or None, action, session, query), a minute apart -> terms."""

    def of(*users, until=None, **settings):
        rows = [
            (user, NO_ITEM if item is None else item, action, 60 * place, 100 * user + session, query)
            for user, events in enumerate(users)
            for place, (item, action, session, query) in enumerate(events)
        ]
        log = histories_of(rows)
        ends = log.offsets[1:] if until is None else log.offsets[:-1] + np.array(until)
        warehouse = open_warehouse(1, 1.0)
        events = counted_events(warehouse, log, ends, tmp_path / "events.parquet", searches=True)
        return count_terms(warehouse, events, QUERIES, 3, **{"most": 5, "min_users": 1, **settings})

    return of


def search(query, session=0):
    return (None, "search", session, query)


def view(item, session=0, action="view"):
    return (item, action, session, -1)


def test_a_query_leads_to_what_follows_in_its_session_up_to_the_next_query(count):
    user = [view(LAMP), search(GREEN), view(TEA), view(TEA, action="purchase"), search(KETTLE), view(POT)]
    assert count(user) == [[], ["green tea"], ["kettle"]]
    # Another session knows nothing of it, and an impression is no choice.
    assert count([search(GREEN, 1), view(TEA, 2)]) == [[], [], []]
    assert count([search(GREEN), view(TEA, action="impression")]) == [[], [], []]


def test_an_event_may_bring_its_own_query(count):
    assert count([(TEA, "view", 0, GREEN)]) == [[], ["green tea"], []]


def test_only_terms_of_enough_different_users_are_told(count):
    once = [search(GREEN), view(TEA)]
    again = once + [search(GREEN, 1), view(TEA, 1)] * 5
    assert count(again, min_users=2) == [[], [], []]
    assert count(again, once, min_users=2) == [[], ["green tea"], []]


def test_spellings_of_one_query_are_one(count):
    users = [[search(query), view(TEA)] for query in (LOUD, WIDE, GREEN)]
    assert count(*users, min_users=3) == [[], ["green tea"], []]


def test_the_terms_of_most_users_stay(count):
    users = [[search(KETTLE), view(TEA)], [search(KETTLE), view(TEA)], [search(GREEN), view(TEA)]]
    assert count(*users, most=1) == [[], ["kettle"], []]
    assert count(*users, most=2) == [[], ["kettle", "green tea"], []]


def test_a_planted_future_query_stays_out(count):
    # After the cut, five users search for the secret and buy tea; before it, they searched for green tea.
    user = [search(GREEN), view(TEA), search(SECRET, 1), view(TEA, 1, action="purchase")]
    known = count(*[user] * 5, until=[2] * 5, min_users=5)
    assert known == [[], ["green tea"], []]
    assert count(*[user] * 5, min_users=5) == [[], ["green tea", "secret"], []]
    # Searched for before it and bought after it is after it.
    assert count(*[user] * 5, until=[3] * 5, min_users=5) == known
