import json

import numpy as np
import pytest

from commerce.features import Vocabulary, encode, fit, unreadable_numbers
from configs.errors import InputError

COLUMNS = {
    "brand": ["acme", "zeta", "acme", None],
    "weight": [1.0, 3.0, float("nan"), None],
    "image": [[1.0, 0.0], None, [0.0, 2.0], [float("nan"), 1.0]],
}


def fitted():
    return fit(COLUMNS, ["brand"], ["weight"], "image")


def test_categories_get_codes_by_frequency_and_numbers_are_standardised():
    features = encode(fitted(), COLUMNS, rows=4)
    assert features.categorical.tolist() == [[1], [2], [1], [0]]
    # Mean 2 and deviation 1 over the two that are known.
    assert features.numeric.tolist() == [[-1.0], [1.0], [0.0], [0.0]]
    assert features.numeric_mask.tolist() == [[True], [True], [False], [False]]


def test_a_missing_vector_and_one_with_nan_are_masked():
    features = encode(fitted(), COLUMNS, rows=4)
    assert features.vectors.tolist() == [[1, 0], [0, 0], [0, 2], [0, 0]]
    assert features.vectors_mask.tolist() == [True, False, True, False]


def test_a_raw_row_is_encoded_with_the_vocabulary_read_back_from_json():
    vocabulary = Vocabulary.from_json(json.loads(json.dumps(fitted().to_json())))
    new = encode(vocabulary, {"brand": ["zeta"], "weight": ["5"]}, rows=1)
    assert new.categorical.tolist() == [[2]]
    assert new.numeric.tolist() == [[3.0]]
    assert new.vectors_mask.tolist() == [False]
    unknown = encode(vocabulary, {"brand": ["never met"], "weight": ["heavy"]}, rows=1)
    assert unknown.categorical.tolist() == [[0]]
    assert unknown.numeric_mask.tolist() == [[False]]


def test_a_column_that_never_varies_stays_zero():
    features = encode(fit({"x": [7, 7]}, [], ["x"]), {"x": [7, 7]}, rows=2)
    assert features.numeric.tolist() == [[0.0], [0.0]]


def test_a_column_of_nan_only_is_missing_everywhere():
    columns = {"x": [float("nan"), None]}
    features = encode(fit(columns, [], ["x"]), columns, rows=2)
    assert np.isfinite(features.numeric).all()
    assert not features.numeric_mask.any()


def test_vectors_of_several_widths_are_refused():
    with pytest.raises(InputError, match=r"vectors in image have several widths: 2 \(2 rows\), 3 \(1 rows\)"):
        fit({"image": [[1, 2], [1, 2], [1, 2, 3]]}, [], [], "image")
    with pytest.raises(InputError, match="row 0 has a vector 3 wide in image, but 2 was expected"):
        encode(fitted(), {"image": [[1, 2, 3]]}, rows=1)


def test_numbers_that_cannot_be_read_are_counted():
    assert unreadable_numbers([1, "2.5", "heavy", float("nan"), float("inf"), None, ""]) == 3
