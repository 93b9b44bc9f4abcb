import numpy as np

from commerce.outcomes import outcomes

VIEW, PURCHASE = 2, 5


def test_an_event_belongs_to_the_last_list_that_showed_its_item():
    # Item 3 is shown at times 10 and 20 of session 1, and in session 2.
    found = outcomes(
        owner=np.array([1, 1, 1, 2]),
        item=np.array([3, 4, 3, 3]),
        time=np.array([10, 10, 20, 10]),
        event_owner=np.array([1, 1, 1, 1]),
        event_item=np.array([3, 3, 4, 3]),
        event_time=np.array([12, 25, 9, 26]),
        event_action=np.array([VIEW, VIEW, VIEW, PURCHASE]),
        actions=[VIEW, PURCHASE],
        inclusive=True,
    )
    assert found.tolist() == [[True, False], [False, False], [True, True], [False, False]]


def test_an_event_at_the_very_moment_counts_where_it_is_asked_to():
    asked = {
        "owner": np.array([1]),
        "item": np.array([3]),
        "time": np.array([10]),
        "event_owner": np.array([1]),
        "event_item": np.array([3]),
        "event_time": np.array([10]),
        "event_action": np.array([VIEW]),
        "actions": [VIEW],
    }
    assert outcomes(**asked, inclusive=True).tolist() == [[True]]
    assert outcomes(**asked, inclusive=False).tolist() == [[False]]
