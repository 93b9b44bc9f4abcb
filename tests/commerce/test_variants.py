import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from commerce.variants import read_variants, variant_groups


def test_a_variant_of_a_variant_is_a_variant_whichever_way_it_is_declared():
    # 4 - 1 - 5 hang together by two pairs, 2 - 3 are declared both ways, 0 and 6 are alone.
    groups = variant_groups(np.array([4, 5, 2, 3]), np.array([1, 1, 3, 2]), 7)
    assert groups.tolist() == [0, 1, 2, 2, 1, 1, 6]
    assert groups.dtype == np.int32


def test_a_shop_that_declares_nothing_has_every_item_alone():
    nothing = np.empty(0, np.int64)
    assert variant_groups(nothing, nothing, 3).tolist() == [0, 1, 2]


def test_other_relations_join_nothing(tmp_path):
    relations = pa.table({"item": [0, 1, 2], "other": [2, 2, 3], "relation": ["variant", "substitute", "complement"]})
    pq.write_table(relations, tmp_path / "relations.parquet")
    assert read_variants(tmp_path / "relations.parquet", 4).tolist() == [0, 1, 0, 3]
