"""Two processes that each read half of the lists learn what one learns that reads them all."""

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from ranking.batches import Examples, TrainingBatches, make_batch
from ranking.pairs import PairTokenizer
from tests.processes import run_ranks
from tests.ranking.conftest import build_ranker, build_tokenizer

SHARES = {1: [[0, 1, 2, 3, 4]], 2: [[0, 1, 2], [3, 4]]}
"""Unequal ones, so that a mean of means would be another gradient."""


def lists():
    draw = np.random.default_rng(0)
    tokenizer = PairTokenizer(build_tokenizer(), context_tokens=8, item_tokens=5)
    examples = Examples(
        draw.integers(0, 3, (5, 4)).astype(np.int32),
        draw.normal(size=(5, 4, 2)).astype(np.float32),
        np.full((5, 3), 1 / 3, np.float32),
        tokenizer.contexts(["red", "blue", "query : red", "buy", "hat"]),
        tokenizer.items(["red shoe", "blue hat", "hat"]),
    )
    return examples, np.eye(4, dtype=np.float32)[draw.integers(0, 4, 5)]


def gradients(rank, ranks, folder):
    found = {}
    for attention, adversarial in (("full", 0.0), ("context_once", 0.0), ("full", 0.5), ("context_once", 0.5)):
        ranker = build_ranker(attention).train()  # without any dropout
        ranker.adversarial = adversarial
        torch.manual_seed(2)
        torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight)
        ranker.log = lambda *_, **__: None
        examples, gains = lists()
        batch = make_batch(examples, np.array(SHARES[ranks][rank]), gains)
        wrapped = DistributedDataParallel(_Step(ranker))
        told = wrapped(batch)
        told["loss"].backward()
        weights = {name: p.grad.clone() for name, p in ranker.named_parameters()}
        found[attention, adversarial] = float(told["whole"]), weights
    return found


class _Step(torch.nn.Module):
    def __init__(self, ranker):
        super().__init__()
        self.ranker = ranker

    def forward(self, batch):
        return self.ranker.training_step(batch, 0)


def test_the_gradient_of_two_processes_is_that_of_one(tmp_path):
    (alone,), together = run_ranks(gradients, 1, tmp_path), run_ranks(gradients, 2, tmp_path)
    for kind, (loss, expected) in alone.items():
        for other in together:
            told, found = other[kind]
            assert abs(told - loss) < 1e-6
            for name, gradient in expected.items():
                assert torch.allclose(found[name], gradient, atol=1e-6), (kind, name)


def test_ranks_share_an_epochs_lists_and_have_equally_many_steps():
    examples, gains = lists()
    tokens = np.array([30, 29, 28, 27, 26])
    dealt = [
        TrainingBatches(
            examples, gains, tokens=tokens, tokens_per_batch=60, batch_lists=9, seed=1, rank=rank, ranks=2
        ).rows(0)
        for rank in range(2)
    ]
    assert len(dealt[0]) == len(dealt[1])
    seen = np.concatenate([rows for mine in dealt for rows in mine]).tolist()
    assert len(seen) == len(set(seen)) >= len(examples) - 1  # one list cannot be dealt to two ranks
