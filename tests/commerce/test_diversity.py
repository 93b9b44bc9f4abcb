import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce.diversity import category_diversity, novelty, tail_share, vector_diversity

LISTS = np.array([[0, 1, 2], [0, 1, -1], [3, -1, -1]], np.int32)
CATEGORY = np.array([5, 5, 8, 8])


def test_novelty_is_the_surprise_in_bits():
    # Shares (3 + 1) / 8, (1 + 1) / 8, (0 + 1) / 8, (0 + 1) / 8: one, two, three and three bits.
    events = np.array([3, 1, 0, 0])
    lists = np.array([[0, 2], [1, -1], [-1, -1]])
    assert novelty(lists, 2, events) == pytest.approx([(1 + 3) / 2, 2, 0])
    assert novelty(lists, 1, events) == pytest.approx([1, 2, 0])


def test_tail_share_counts_what_is_listed():
    tail = np.array([False, True, True, True])
    assert tail_share(LISTS, 3, tail) == pytest.approx([2 / 3, 1 / 2, 1])
    assert tail_share(LISTS, 1, tail) == pytest.approx([0, 0, 1])
    assert tail_share(np.array([[-1, -1]]), 2, tail).tolist() == [0]


def test_category_diversity_is_the_share_of_pairs_of_two_categories():
    assert category_diversity(LISTS, 3, CATEGORY) == pytest.approx([2 / 3, 0, 0])
    assert category_diversity(LISTS, 2, CATEGORY) == pytest.approx([0, 0, 0])
    # Items without a category are like no other.
    assert category_diversity(LISTS, 3, np.array([-1, -1, 8, 8])) == pytest.approx([1, 1, 0])


def test_vector_diversity_is_the_mean_distance_of_pairs():
    # Items 0 and 1 alike, item 2 across: distances 0, 1, 1.
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    assert vector_diversity(LISTS, 3, vectors) == pytest.approx([2 / 3, 0, 0])
    assert vector_diversity(np.array([[0, 3]]), 2, vectors) == pytest.approx([2])


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 7))
def test_diversities_are_what_a_loop_over_pairs_gives(seed, depth, block):
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(12)[:depth] for _ in range(5)]).astype(np.int32)
    for row, length in enumerate(rng.integers(0, depth + 1, 5)):
        lists[row, length:] = -1
    category = rng.integers(-1, 3, 12)
    vectors = rng.standard_normal((12, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    of_category, of_vectors = [], []
    for items in lists:
        pairs = [(a, b) for n, a in enumerate(items) for b in items[n + 1 :] if b >= 0]
        unlike = [category[a] != category[b] or category[a] < 0 for a, b in pairs]
        of_category.append(np.mean(unlike) if pairs else 0.0)
        of_vectors.append(np.mean([1 - vectors[a] @ vectors[b] for a, b in pairs]) if pairs else 0.0)
    assert category_diversity(lists, depth, category) == pytest.approx(of_category)
    assert vector_diversity(lists, depth, vectors, block) == pytest.approx(of_vectors, abs=1e-5)
