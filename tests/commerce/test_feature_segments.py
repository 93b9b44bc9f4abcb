import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce.feature_segments import MOST_VALUES, Feature, feature_segments
from commerce.metrics import Relevant

# Five users: user 0 asks twice. Each request has one relevant item, user 4's has two.
USERS = np.array([0, 0, 1, 2, 3, 4], np.int32)
RELEVANT = Relevant(np.array([0, 1, 2, 3, 4, 5, 7]), np.array([0, 1, 0, 1, 2, 0, 3], np.int32), np.ones(7, np.float32))


def parts(name, values, *, numeric=False, min_users=1, users=USERS, relevant=RELEVANT):
    found, note = feature_segments(Feature(name, values, numeric), users, relevant, min_users)
    return {segment.name.partition(" = ")[2]: segment.keep.astype(int).tolist() for segment in found}, note


def test_users_by_value_and_those_without_one():
    found, note = parts("user:city", ["Ulm", "Bonn", " Ulm ", None, ""])
    assert found == {"Bonn": [0, 0, 1, 0, 0, 0, 0], "Ulm": [1, 1, 0, 1, 0, 0, 0], "(missing)": [0, 0, 0, 0, 1, 1, 1]}
    assert list(found)[-1] == "(missing)"
    assert note == ""


def test_items_by_value_part_the_relevant_items_of_a_request():
    found, _ = parts("item:brand", ["A", "B", "B", "C"])
    assert found == {"A": [1, 0, 1, 0, 0, 1, 0], "B": [0, 1, 0, 1, 1, 0, 0], "C": [0, 0, 0, 0, 0, 0, 1]}
    found, _ = feature_segments(Feature("item:brand", "ABBC", False), USERS, RELEVANT, 1)
    assert all(segment.of_items for segment in found)
    assert found[0].name == "item:brand = A"


def test_values_with_few_users_are_joined_and_said_so():
    found, note = parts("user:city", ["Ulm", "Bonn", "Ulm", "Kiel", "Rom"], min_users=2)
    assert found == {"Ulm": [1, 1, 0, 1, 0, 0, 0], "other": [0, 0, 1, 0, 1, 1, 1]}
    assert note.startswith("user:city: 3 of 4 values are joined as other, having fewer than 2 users")
    assert note.endswith("Bonn, Kiel, Rom")


def test_users_are_counted_not_requests():
    # Two requests of user 0, with items of brand A and B: brand B has users 0 and 2.
    found, _ = parts("user:city", ["Ulm", "Bonn", "Bonn", "Bonn", "Bonn"], min_users=2)
    assert set(found) == {"Bonn", "other"}
    found, _ = parts("item:brand", ["A", "B", "C", "D"], min_users=2)
    assert set(found) == {"A", "B", "other"}


def test_at_most_twenty_values_those_with_the_most_users():
    size = 60
    relevant = Relevant(np.arange(size + 1), np.zeros(size, np.int32), np.ones(size, np.float32))
    cities = [f"city {number:02}" for number in range(30)]
    found, note = parts("user:city", [*cities, *cities[10:30], *cities[5:15]], users=np.arange(size), relevant=relevant)
    assert len(found) == MOST_VALUES + 1
    assert "city 12" in found
    assert "city 14" in found
    assert "city 00" not in found
    assert sum(found["other"]) == 5 * 1 + 5 * 2  # cities 0 to 4 have one user, those from 25 on two, as 5 to 24 have
    assert "10 of 30 values are joined as other" in note
    assert note.endswith("...")


def test_numbers_by_quartile_with_bounds_in_the_name():
    found, note = parts("user:age", [20, 30, 40, 50, 60], numeric=True)
    # The quartiles lie at 30, 40 and 50; were user 0, who asks twice, counted twice, the first would lie at 22.5.
    assert found == {
        "20 to 30": [1, 1, 1, 0, 0, 0, 0],
        "40": [0, 0, 0, 1, 0, 0, 0],
        "50": [0, 0, 0, 0, 1, 0, 0],
        "60": [0, 0, 0, 0, 0, 1, 1],
    }
    assert note == ""


def test_those_without_a_number_come_last():
    found, _ = parts("user:age", [20, None, "old", 50, 50], numeric=True)
    assert found == {"20": [1, 1, 0, 0, 0, 0, 0], "50": [0, 0, 0, 0, 1, 1, 1], "(missing)": [0, 0, 1, 1, 0, 0, 0]}


def test_quartiles_of_items_count_each_as_often_as_it_was_chosen():
    # Prices of the seven chosen: 1 1 1 2 2 9 30; quartiles 1, 2 and 5.5.
    found, _ = parts("item:price", [1, 2, 9.5, 30], numeric=True)
    assert list(found) == ["1", "2", "9.5 to 30"]


def test_few_different_numbers_make_fewer_classes():
    found, _ = parts("user:size", [1, 1, 1, 1, 2], numeric=True)
    assert list(found) == ["1", "2"]
    found, _ = parts("user:size", ["no number"] * 5, numeric=True)
    assert list(found) == ["(missing)"]


@given(
    st.lists(st.one_of(st.none(), st.integers(-50, 50), st.sampled_from(["x", "other", "7"])), min_size=5, max_size=5),
    st.booleans(),
    st.integers(1, 6),
)
def test_segments_part_what_was_asked(values, numeric, min_users):
    for name in ("user:any", "item:any"):
        found, _ = parts(name, values, numeric=numeric, min_users=min_users)
        assert np.sum(list(found.values()), axis=0).tolist() == [1] * 7


@pytest.mark.parametrize("value", [float("nan"), None, "", "  "])
def test_what_is_missing_is_named_so(value):
    found, _ = parts("user:city", [value, "Ulm", "Ulm", "Ulm", "Ulm"])
    assert list(found) == ["Ulm", "(missing)"]
