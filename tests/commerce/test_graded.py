"""Order and grades of scored pairs, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce.graded import classify, confusion, fit_cuts, grade_levels, graded_lists, macro_f1, macro_f1_intervals


def lists(query, grade, kept=None):
    kept = np.full(len(query), True) if kept is None else np.array(kept)
    return graded_lists(np.array(query, np.int32), np.array(grade, np.float32), kept, seed=0)


def test_ndcg_gains_two_to_the_grade_minus_one():
    one = lists([5, 5, 5], [2, 0, 1])
    # Best last: 0 first, then 1 (gain 1) at place 2, then 2 (gain 3) at place 3; ideal: 3, then 1.
    found = one.ndcg(np.array([0.1, 0.9, 0.5]), 10)
    gained, ideal = 1 / math.log2(3) + 3 / 2, 3 + 1 / math.log2(3)
    assert found.tolist() == pytest.approx([gained / ideal])
    assert one.ndcg(np.array([0.9, 0.1, 0.5]), 10).tolist() == pytest.approx([1.0])
    assert one.ndcg(np.array([0.1, 0.9, 0.5]), 1).tolist() == [0.0]  # nothing gained at the first place


def test_queries_without_an_order_are_left_out_and_counted():
    found = lists([0, 1, 1, 2, 2, 3, 3], [4, 3, 3, 0, 0, 1, 2])
    assert found.queries.tolist() == [3]
    assert (len(found), found.one_product, found.one_grade) == (1, 1, 2)
    nothing = lists([0, 1], [1, 1])
    assert len(nothing) == 0
    assert nothing.ndcg(np.zeros(2), 10).tolist() == []


def test_only_the_kept_pairs_are_measured():
    found = lists([0, 0, 1, 1], [1, 2, 1, 2], [True, True, False, False])
    assert found.queries.tolist() == [0]
    assert found.ndcg(np.array([0.0, 1.0, np.nan, np.nan]), 10).tolist() == [1.0]


def test_no_file_order_helps_equal_scores():
    rows = 400
    grade = np.where(np.arange(rows) < 10, 3, 0)  # the file lists the best ones first
    query = np.zeros(rows, dtype=np.int32)
    tied = lists(query, grade).ndcg(np.zeros(rows), 10)[0]
    assert tied < 0.2


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="1 scores are NaN"):
        lists([0, 0], [1, 2]).ndcg(np.array([1.0, np.nan]), 10)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_by_grade_are_perfect_and_all_queries_are_accounted_for(pairs):
    query, grade = (np.array(column) for column in zip(*pairs, strict=True))
    found = lists(query, grade)
    assert found.ndcg(grade.astype(float), 10) == pytest.approx(np.ones(len(found)))
    assert len(found) + found.one_product + found.one_grade == len(set(query.tolist()))


def test_macro_f1_by_hand():
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    counts = confusion(truth, guess, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert macro_f1(counts) == pytest.approx((2 / 3 + 4 / 5) / 2)  # the third class is neither given nor guessed


def test_cuts_find_where_one_grade_ends():
    scores = np.concatenate([np.linspace(0, 1, 50), np.linspace(2, 3, 20), np.linspace(4, 5, 200)])
    classes = np.repeat([0, 1, 2], [50, 20, 200])
    cuts = fit_cuts(scores, classes, 3)
    assert (classify(scores, cuts) == classes).all()
    assert 1 <= cuts[0] < 2 < 3 <= cuts[1] < 4


def test_cuts_of_scores_that_say_nothing_stay_in_order():
    cuts = fit_cuts(np.zeros(10), np.arange(10) % 3, 3)
    assert cuts.tolist() == sorted(cuts.tolist())


def test_grades_are_classes_only_where_they_are_few():
    assert grade_levels(np.array([1.0, 0.0, 1.0])).tolist() == [0.0, 1.0]
    assert grade_levels(np.ones(5)) is None
    assert grade_levels(np.arange(11)) is None


def test_intervals_of_macro_f1_hold_it_and_equal_systems_do_not_differ():
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, 600)
    guess = np.where(draw.random(600) < 0.7, truth, draw.integers(0, 3, 600))
    query = np.arange(600) // 3
    same = {"one": guess, "two": guess.copy()}
    each, apart = macro_f1_intervals(truth, same, query, 3, [("one", "two")], resamples=200, confidence=0.95, seed=0)
    assert each["one"].low < each["one"].value < each["one"].high
    assert each["one"].value == pytest.approx(macro_f1(confusion(truth, guess, 3)))
    assert (apart["one", "two"].low, apart["one", "two"].high) == (0.0, 0.0)
