import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from commerce.stretches import stretches


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=12))
def test_positions_come_stretch_by_stretch(spans):
    starts, lengths = (np.array([span[side] for span in spans], dtype=np.int64) for side in (0, 1))
    row, position = stretches(starts, lengths)
    expected = [(at, place) for at, (start, length) in enumerate(spans) for place in range(start, start + length)]
    assert list(zip(row.tolist(), position.tolist(), strict=True)) == expected
    assert row.dtype == position.dtype == np.int64
