import pytest

from serving.standing import standing, subsets, worths


def test_evidence_that_says_the_same_twice_shares_its_worth():
    # Either alone lifts the item from place 8 to place 2; both together do no more.
    places = {frozenset(): 8, frozenset("a"): 2, frozenset("b"): 2, frozenset("ab"): 2}
    found = worths("ab", {known: standing(place, 100) for known, place in places.items()})
    assert found == pytest.approx({"a": 1.0, "b": 1.0})


def test_worths_add_up_to_what_all_evidence_does():
    places = {known: 1 + sum(map(ord, known)) % 7 for known in subsets("abcd")}
    standings = {known: standing(place, 100) for known, place in places.items()}
    found = worths("abcd", standings)
    assert sum(found.values()) == pytest.approx(standings[frozenset("abcd")] - standings[frozenset()])


def test_evidence_against_an_item_has_a_worth_below_zero():
    found = worths("a", {frozenset(): standing(1, 9), frozenset("a"): standing(4, 9)})
    assert found == {"a": -2.0}


def test_what_is_not_listed_stands_behind_the_last():
    assert standing(None, 7) == -3.0
    assert len(subsets("abc")) == 8
