import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learning.views import without_some_tokens


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.sampled_from([0.0, 0.3, 0.99]), st.integers(0, 99))
def test_the_ends_and_some_token_between_them_stay_in_their_order(row, share, seed):
    left = without_some_tokens(row, share, np.random.default_rng(seed))
    assert (left[0], left[-1]) == (row[0], row[-1])
    assert len(left) >= min(len(row), 3)
    rest = iter(row)
    assert all(token in rest for token in left)  # a subsequence
    assert share > 0 or left == row


def test_the_share_that_is_left_out_is_the_share_asked_for():
    left = without_some_tokens(range(100_002), 0.3, np.random.default_rng(0))
    assert abs(len(left) / 100_002 - 0.7) < 0.01
