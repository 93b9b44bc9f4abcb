import numpy as np
import pytest
import torch

from ranking.full_attention import PairCrossEncoder, score_pairs
from ranking.packed_graph import PairGraph, export_pairs
from ranking.pair_reader import PairReader
from tests.ranking.test_full_attention import PAIRS, build_encoder


def test_the_graph_over_packed_pairs_scores_as_torch(pair_tokenizer, tmp_path):
    torch.manual_seed(1)
    model = PairCrossEncoder(PairReader(build_encoder()), dropout=0.1).eval()
    texts = pair_tokenizer.contexts(["red", "blue query : buy"]), pair_tokenizer.items(["shoe", "red hat", ""])
    expected = score_pairs(model, *texts, PAIRS, join=pair_tokenizer.join, tokens_per_batch=100)
    for int8, tolerance in ((False, 1e-6), (True, 0.02)):
        export_pairs(model, tmp_path / "pairs.onnx", int8=int8)
        graph = PairGraph(tmp_path / "pairs.onnx", threads=1)
        # Together, by twos, and one by one: a single pair and pairs without padding go through the same graph.
        for budget in (100, 20, 1):
            found = graph.score(*texts, PAIRS, join=pair_tokenizer.join, tokens_per_batch=budget)
            assert found == pytest.approx(expected, abs=tolerance)
    assert np.abs(found - expected).max() > 0  # eight bits were used
