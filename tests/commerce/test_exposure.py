import numpy as np
import pytest

from commerce.exposure import RESAMPLES, coverage, exposure_parity, exposures, gini, spread, spread_intervals

LISTS = np.array([[0, 1, 2], [0, 1, -1], [0, 3, -1]], np.int32)


def test_exposures_count_the_lists_that_show_an_item():
    assert exposures(LISTS, 2, 5).tolist() == [3, 2, 0, 1, 0]
    assert exposures(LISTS, 99, 5).tolist() == [3, 2, 1, 1, 0]


def test_coverage_is_the_share_of_the_catalogue_shown():
    assert coverage(exposures(LISTS, 2, 5), 5) == pytest.approx(3 / 5)


def test_gini_is_zero_when_all_are_shown_alike():
    assert gini(np.array([2, 2, 2]), 3) == pytest.approx(0)


def test_gini_of_one_item_getting_everything():
    # n - 1 of n items never shown: (n - 1) / n.
    assert gini(np.array([0, 0, 0, 9]), 4) == pytest.approx(3 / 4)
    assert gini(np.array([9]), 4) == pytest.approx(3 / 4)  # those never shown may be left out of the array


def test_gini_by_hand():
    # Exposures 1 and 3: mean absolute difference over all four pairs 1, halved over the mean 2.
    assert gini(np.array([1, 3]), 2) == pytest.approx(1 / 4)


def test_gini_of_nothing_shown_is_zero():
    assert gini(np.zeros(4), 4) == 0


def test_the_spread_of_all_users_is_coverage_and_gini():
    users = np.array([4, 4, 9])
    for k in (1, 2, 3, 50):
        shown = exposures(LISTS, k, 6)
        found = spread(LISTS, users, k, 6, seed=0)
        assert found.values == pytest.approx([coverage(shown, 6), gini(shown, 6)])
        assert found.drawn.shape == (RESAMPLES, 2)


def test_a_draw_of_one_user_alone_shows_their_lists_alone():
    # Two users; drawing the second twice covers items 0 and 3 of 6, the first alone 0, 1 and 2.
    found = spread(LISTS, np.array([4, 4, 9]), 3, 6, seed=0)
    assert set(np.round(found.drawn[:, 0] * 6).astype(int)) == {2, 3, 4}


def test_intervals_lie_around_their_values():
    rng = np.random.default_rng(0)
    lists = rng.integers(0, 300, (200, 5)).astype(np.int32)
    found = spread(lists, np.arange(200) // 2, 5, 300, seed=0)
    for value, interval in zip(found.values, spread_intervals([found], 0.95), strict=True):
        assert interval.low < value < interval.high
        assert interval.value == pytest.approx(value)


def test_a_system_spreads_like_itself():
    found = spread(LISTS, np.array([4, 4, 9]), 3, 6, seed=0)
    for interval in spread_intervals([found, found], 0.95):
        assert (interval.low, interval.value, interval.high) == (0, 0, 0)


def test_without_any_list_nothing_is_covered():
    nothing = spread(np.full((2, 3), -1, np.int32), np.arange(2), 3, 6, seed=0)
    assert nothing.values.tolist() == [0, 0]
    assert np.isfinite(nothing.drawn).all()


def test_parity_compares_the_exposure_of_an_item_of_each_group():
    # Two items of group 0 with exposure 3 together, four of group 1 with exposure 2; group 2 has no items.
    sizes = np.array([2, 4, 0])
    assert exposure_parity(np.array([[3.0, 2.0, 0.0]]), sizes) == pytest.approx([(2 / 4) / (3 / 2)])
    assert exposure_parity(np.array([[1.0, 2.0, 0.0], [0.0, 5.0, 0.0]]), sizes) == pytest.approx([1, 0])
    assert exposure_parity(np.zeros((1, 3)), sizes).tolist() == [1]


def test_the_spread_tells_parity_where_groups_are_declared():
    # Items 0 and 1 are of group 0, items 3 and 5 of group 1, items 2 and 4 of none. Item 0 stands first three times,
    # item 1 second twice, item 3 second once.
    group = np.array([0, 0, -1, 1, -1, 1])
    found = spread(LISTS, np.array([4, 4, 9]), 2, 6, seed=0, group=group)
    second = 1 / np.log2(3)
    assert found.names == ("coverage", "gini", "exposure_parity")
    assert found.values[2] == pytest.approx((second / 2) / ((3 + 2 * second) / 2))
    assert found.drawn.shape == (RESAMPLES, 3)
    assert spread(LISTS, np.array([4, 4, 9]), 2, 6, seed=0).names == ("coverage", "gini")
