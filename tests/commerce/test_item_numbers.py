import numpy as np
import pytest

from commerce.item_numbers import declared_name, item_numbers, number_names


def test_how_dear_an_item_is_counts_within_its_category_alone():
    price = np.array([1.0, np.e**2, 100.0, 100.0 * np.e**2, 5.0, np.nan, 7.0, 0.0])
    leaf = np.array([0, 0, 1, 1, 2, 2, -1, 0])
    numbers = item_numbers(price, leaf, np.zeros((8, 0), np.float32))[:, 0]
    # Log prices lie one above and one below their category's mean; the spread of (-1, 1, -1, 1, 0, 0) is sqrt(2/3).
    assert numbers == pytest.approx(np.array([-1, 1, -1, 1, 0, 0, 0, 0]) / np.sqrt(2 / 3))


def test_declared_numbers_come_as_they_are_and_keep_their_names():
    numeric = np.array([[0.5, -1.0], [0.0, 2.0]], np.float32)
    numbers = item_numbers(np.array([np.nan, 3.0]), np.array([0, 0]), numeric)
    assert numbers.dtype == np.float32
    assert numbers[:, 1:].tolist() == numeric.tolist()
    assert numbers[:, 0].tolist() == [0.0, 0.0]  # a price alone is neither dear nor cheap
    assert number_names(["rating", "bid"]) == ("price_in_category", "item_rating", "item_bid")
    assert [declared_name(name) for name in number_names(["rating"])] == ["", "rating"]
