import subprocess
import sys
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce import metrics
from learning.metrics import CUT, MRR, NDCG, HitRate, RankedMeasure, Recall, RPrecision, ranked_measures


def padded(rows, dtype=torch.int64):
    """Lay rows (lists, or dicts by their keys) into a tensor, -1 padded."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows], dtype=dtype).reshape(len(rows), width)


SHOWN = torch.tensor([[3, 7, 4, 8], [5, 6, 7, 8], [3, 4, -1, -1]])
CHOSEN = padded([[7, 8, 9], [5], [1, 2]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Recall, (2 / 3 + 1) / 3), (HitRate, 2 / 3), (MRR, (1 / 2 + 1) / 3)],
    ids=lambda value: str(value),
)
def test_fractions_checked_by_hand(kind, expected):
    measure = kind(4)
    measure.update(SHOWN, CHOSEN)
    assert measure.compute() == pytest.approx(expected)


@st.composite
def shops(draw):
    """Some requests over twelve items: (ranked lists, relevant items with gains)."""
    count = draw(st.integers(1, 8))
    shown = [list(draw(st.permutations(range(12)))[: draw(st.integers(0, 12))]) for _ in range(count)]
    gains = st.sampled_from([0.5, 1.0, 2.0])
    chosen = [draw(st.dictionaries(st.integers(0, 11), gains, min_size=1, max_size=5)) for _ in range(count)]
    return shown, chosen


@given(shops(), st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_values_are_those_of_numpy(shop, k):
    shown, chosen = shop
    ranked, relevant = padded(shown), padded(chosen)
    gains = padded([list(request.values()) for request in chosen], torch.float64)
    offsets = np.cumsum([0, *map(len, chosen)])
    items = np.concatenate([list(request) for request in chosen]).astype(np.int32)
    worth = np.concatenate([list(request.values()) for request in chosen]).astype(np.float32)
    found = metrics.find(ranked.numpy().astype(np.int32), metrics.Relevant(offsets, items, worth))
    assert CUT.keys() == metrics.RANKED.keys()
    for name, kind in (*CUT.items(), ("r_precision", RPrecision)):
        measure = kind(k)
        for row in range(0, len(shown), 3):  # in batches of three
            measure.update(ranked[row : row + 3], relevant[row : row + 3], gains[row : row + 3])
        expected = metrics.RANKED[name](found, k) if name in CUT else metrics.r_precision(found)
        assert measure.compute() == pytest.approx(expected.mean()), name


def test_without_gains_each_relevant_item_is_worth_one():
    measure = NDCG(2)
    measure.update(torch.tensor([[4, 6]]), torch.tensor([[6, 4]]))
    assert measure.compute() == pytest.approx(1)
    measure.reset()
    measure.update(torch.tensor([[4, 6]]), torch.tensor([[6, 4]]), torch.tensor([[1.0, 0.5]]))
    assert measure.compute() == pytest.approx((0.5 + 1 / log2(3)) / (1 + 0.5 / log2(3)))


def test_an_item_listed_twice_counts_once():
    measure = Recall(4)
    measure.update(torch.tensor([[3, 7, 7, 7]]), torch.tensor([[7, 8]]))
    assert measure.compute() == pytest.approx(1 / 2)


def test_a_collection_keeps_measures_apart_that_agree_on_the_first_batch():
    together = ranked_measures([10])
    together.update(torch.tensor([[1, 2]]), torch.tensor([[1, -1]]))  # recall = hit rate = 1
    together.update(torch.tensor([[1, 2]]), torch.tensor([[1, 5]]))  # recall 1/2, hit rate 1
    values = together.compute()
    assert values["recall@10"] == pytest.approx(3 / 4)
    assert values["hit_rate@10"] == pytest.approx(1)


def test_requests_without_relevant_items_are_refused():
    with pytest.raises(ValueError, match="1 of 2 requests have no relevant item"):
        Recall(1).update(torch.tensor([[1], [2]]), torch.tensor([[1], [-1]]))


def test_the_bare_class_is_no_measure():
    with pytest.raises(TypeError, match="use one made of it, Recall say"):
        RankedMeasure(1).update(torch.tensor([[1]]), torch.tensor([[1]]))


_RANK = """
import sys, torch, torch.distributed as dist
from learning.list_metrics import Coverage, Gini, Novelty
from learning.metrics import ranked_measures
rank, rendezvous = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(0)
ranked = torch.stack([torch.randperm(40, generator=generator)[:20] for _ in range(50)])
relevant = torch.stack([torch.randperm(40, generator=generator)[:3] for _ in range(50)])
measures = ranked_measures([5, 10])
of_lists = {"coverage": Coverage(1, 40), "gini": Gini(3, 40), "novelty": Novelty(5, torch.arange(40))}
span = slice(0, 17) if rank == 0 else slice(17, 50)  # shares of unequal size
for part_ranked, part_relevant in zip(ranked[span].split(7), relevant[span].split(7)):
    measures.update(part_ranked, part_relevant)
    for measure in of_lists.values():
        measure.update(part_ranked)
together = {**measures.compute(), **{name: measure.compute() for name, measure in of_lists.items()}}
if rank == 0:
    alone = ranked_measures([5, 10])
    alone_lists = {"coverage": Coverage(1, 40), "gini": Gini(3, 40), "novelty": Novelty(5, torch.arange(40))}
    for measure in [*alone.values(), *alone_lists.values()]:
        measure.distributed_available_fn = lambda: False
    alone.update(ranked, relevant)
    for measure in alone_lists.values():
        measure.update(ranked)
    expected = {**alone.compute(), **{name: measure.compute() for name, measure in alone_lists.items()}}
    assert together.keys() == expected.keys()
    for name in expected:
        assert abs(together[name] - expected[name]) < 1e-12, (name, together[name], expected[name])
    assert 0 < expected["coverage"] < 1
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_measure_what_one_does(tmp_path):
    command = [sys.executable, "-c", _RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, error = rank.communicate(timeout=120)
        assert rank.returncode == 0, error
