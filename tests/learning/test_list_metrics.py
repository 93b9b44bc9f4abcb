import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce import diversity, exposure
from learning.list_metrics import (
    CategoryDiversity,
    Coverage,
    ExposureParity,
    Gini,
    ListMeasure,
    Novelty,
    TailShare,
    VectorDiversity,
)


@given(st.integers(0, 10_000), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_values_are_those_of_numpy(seed, k):
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(12)[:8] for _ in range(7)]).astype(np.int32)
    for row, length in enumerate(rng.integers(0, 9, 7)):
        lists[row, length:] = -1
    events, tail = rng.integers(0, 20, 12), rng.random(12) < 0.5
    category, group = rng.integers(-1, 3, 12), rng.integers(-1, 3, 12)
    group[0] = 1  # some group there is
    vectors = rng.standard_normal((12, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = exposure.exposures(lists, k, 12)
    expected = {
        Coverage(k, 12): exposure.coverage(shown, 12),
        Gini(k, 12): exposure.gini(shown, 12),
        ExposureParity(k, torch.from_numpy(group)): exposure.spread(
            lists, np.arange(7), k, 12, seed=0, group=group
        ).values[2],
        Novelty(k, torch.from_numpy(events)): diversity.novelty(lists, k, events).mean(),
        TailShare(k, torch.from_numpy(tail)): diversity.tail_share(lists, k, tail).mean(),
        CategoryDiversity(k, torch.from_numpy(category)): diversity.category_diversity(lists, k, category).mean(),
        VectorDiversity(k, torch.from_numpy(vectors)): diversity.vector_diversity(lists, k, vectors).mean(),
    }
    for measure, value in expected.items():
        for batch in torch.from_numpy(lists.astype(np.int64)).split(3):
            measure.update(batch)
        assert measure.compute() == pytest.approx(value, abs=1e-6), type(measure).__name__


def test_the_bare_class_is_no_measure():
    with pytest.raises(TypeError, match="use one made of it, Novelty say"):
        ListMeasure(1, torch.zeros(3)).update(torch.tensor([[1]]))
