import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Events, Histories
from commerce.sensitive import in_categories, tellable, told_queries, users_of_queries

SEARCH, VIEW = ACTION_CODES["search"], ACTION_CODES["view"]


def events(*rows):
    """Rows of (item, query)."""
    item = np.array([row[0] for row in rows], dtype=np.int32)
    query = np.array([row[1] for row in rows], dtype=np.int32)
    action = np.where(item == NO_ITEM, SEARCH, VIEW).astype(np.uint8)
    return Events(item, action, np.arange(len(rows), dtype=np.int64), query)


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("Health > Tests > Pregnancy", "Tests", True),
        ("Health > Tests > Pregnancy", "health > tests", True),
        ("Health > Tests > Pregnancy", "Health > Pregnancy", False),
        ("Healthy food", "Health", False),
        ("Tests", "Health > Tests", False),
        (None, "Health", False),
        ("Health", "", False),
    ],
)
def test_a_category_is_a_level_or_levels_that_follow_each_other(path, name, expected):
    assert in_categories(path, [name]) is expected


def test_a_sensitive_item_goes_with_the_search_that_led_to_it_and_no_other():
    sensitive = np.array([False, True])
    # A search that leads to both, one that leads to a harmless item, and the sensitive item once more by itself.
    history = events((NO_ITEM, 0), (0, NO_QUERY), (1, NO_QUERY), (NO_ITEM, 1), (0, NO_QUERY), (NO_ITEM, 2))
    told = tellable(history, sensitive)
    assert told.item.tolist() == [0, NO_ITEM, 0, NO_ITEM]
    assert told.query.tolist() == [NO_QUERY, 1, NO_QUERY, 2]


def test_without_sensitive_categories_everything_is_told():
    history = events((NO_ITEM, 0), (1, NO_QUERY))
    assert tellable(history, None) is history
    assert tellable(history, np.array([True, False])) is history


@given(
    st.lists(
        st.one_of(st.tuples(st.just(NO_ITEM), st.integers(0, 3)), st.tuples(st.integers(0, 4), st.just(NO_QUERY)))
    ),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_no_sensitive_item_is_ever_told(rows, sensitive):
    mask = np.array(sensitive)
    told = tellable(events(*rows), mask)
    assert not any(mask[item] for item in told.item.tolist() if item != NO_ITEM)


def test_a_query_is_told_when_enough_different_users_typed_it():
    # User 0 types query 0 twice, user 1 once; query 1 comes from user 1 alone, query 2 from nobody.
    histories = Histories(
        offsets=np.array([0, 2, 4]),
        item=np.full(4, NO_ITEM, np.int32),
        action=np.full(4, SEARCH, np.uint8),
        time=np.arange(4),
        query=np.array([0, 0, 0, 1], np.int32),
        session=np.zeros(4, np.int64),
    )
    users = users_of_queries(histories, 3)
    assert users.tolist() == [2, 1, 0]
    assert told_queries(["tea", "my name", "cup"], users, 2) == ["tea", "", ""]
