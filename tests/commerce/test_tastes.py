import numpy as np
import pyarrow as pa
import pytest

from commerce.columns import DAY
from commerce.tastes import count_tastes
from commerce.warehouse import open_warehouse

# Users 0-3 had items 0 and 1, users 4-7 items 2 and 3, user 8 item 0 alone.
HAD = [(user, item) for user in range(4) for item in (0, 1)] + [(user, item) for user in range(4, 8) for item in (2, 3)]
HAD.append((8, 0))


def events(pairs, days=None):
    days = days or [1] * len(pairs)
    users, items = zip(*pairs, strict=True)
    columns = {
        "user": pa.array(users, pa.int32()),
        "item": pa.array(items, pa.int32()),
        "time": pa.array([day * DAY for day in days], pa.int64()),
    }
    return open_warehouse(1, 1.0).create_table("events", pa.table(columns))


def dense(pairs=HAD, days_of=None, *, items=5, most=5, ridge=1.0, neighbours=5, days=0.0):
    found = count_tastes(events(pairs, days_of), items, most=most, ridge=ridge, neighbours=neighbours, days=days)
    weights = np.zeros((items, items))
    for item in range(items):
        span = slice(found.offsets[item], found.offsets[item + 1])
        weights[item, found.other[span]] = found.weight[span]
    return weights


def test_weights_solve_the_ridge_regression_with_a_zero_diagonal():
    weights = dense(HAD, ridge=2.0, items=4)
    had = np.zeros((9, 4))
    had[tuple(zip(*HAD, strict=True))] = 1
    ridge = 2.0 * np.diag(had.T @ had).mean()
    assert np.diag(weights).tolist() == [0] * 4
    for item in range(4):
        others = [other for other in range(4) if other != item]
        x = had[:, others]
        right = np.linalg.solve(x.T @ x + ridge * np.eye(3), x.T @ had[:, item])
        assert weights[others, item] == pytest.approx(right, abs=1e-6)


def test_items_of_one_taste_speak_for_each_other():
    weights = dense()
    assert weights[0, 1] > 0.3
    assert weights[2, 3] > 0.3
    assert weights[:2, 2:] == pytest.approx(0)


def test_a_repeat_is_one():
    assert dense(HAD + [(0, 1)] * 5) == pytest.approx(dense())


def test_what_sells_lately_is_lifted():
    # Twenty users had items 0, 1 and 2; on day 50, lately, twenty had item 0, five item 1 and one item 2.
    lately = {0: 20, 1: 5, 2: 1}
    pairs = [(user, item) for user in range(20) for item in lately]
    weights = dense(pairs, [50 if user < lately[item] else 1 for user, item in pairs], days=10.0)
    # Trends (20 + 1)/(20 + 10) and (5 + 1)/(20 + 10), to the power .7.
    assert weights[2, 0] / weights[2, 1] == pytest.approx((21 / 6) ** 0.7, rel=1e-5)


def test_only_the_most_popular_and_the_strongest_are_kept():
    assert dense(most=1).any() == np.False_  # one item has nobody to speak for
    weights = dense(HAD, most=2)
    assert set(np.flatnonzero(weights.any(axis=1)).tolist()) == {0, 1}
    assert (dense([*HAD, (0, 2), (1, 2)], neighbours=1) != 0).sum(axis=1).tolist() == [1, 1, 1, 1, 0]


def test_blocks_of_users_change_nothing(monkeypatch):
    whole = dense()
    monkeypatch.setattr("commerce.tastes._USERS", 2)
    assert dense() == pytest.approx(whole)


def test_a_log_without_items_has_no_tastes():
    nothing = open_warehouse(1, 1.0).create_table(
        "none", pa.table({name: pa.array([], pa.int64()) for name in ("user", "item", "time")})
    )
    assert count_tastes(nothing, 3, most=2, ridge=1.0, neighbours=2, days=0).offsets.tolist() == [0, 0, 0, 0]
