"""The cross-encoder on graded pairs, with a tiny encoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.schema import TextConfig
from learning.encoder_folder import open_encoder
from learning.graded_losses import grade_loss, graded_softmax_loss
from learning.graded_training import GradedBatch
from learning.language_model import load_text_encoder
from learning.shop_encoder import train_shop_encoder
from learning.tokens import load_tokenizer
from ranking.graded import GradedCrossEncoder
from ranking.pairs import PairTokenizer

QUERIES = ["red lamp", "white shoes", "", "white " * 2_000]
QUERY = np.array([0, 0, 0, 1, 2, 3], np.int32)
TEXTS = ["umbrio lamp red", "umbrio shoes white", "lumora 灯 😀", "", "lamp", "lamp " * 2_000]
GRADES = torch.tensor([2.0, 0.0, 1.0, 1.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("graded") / "encoder"
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=1, train_steps=2)
    train_shop_encoder([*QUERIES[:2], *TEXTS[:3]], [], path, text, seed=0)
    return open_encoder(replace(text, encoder=str(path)))


@pytest.fixture
def cross(folder):
    torch.manual_seed(0)
    return scorer(folder, load_text_encoder(folder), QUERY, QUERIES, TEXTS)


def scorer(folder, encoder, query, queries, texts):
    tokenizer = PairTokenizer(load_tokenizer(folder.path, 16), 8, 10)
    return GradedCrossEncoder(encoder, tokenizer, query, queries, texts, (0.0, 2.0))


def test_a_score_does_not_hang_on_what_is_read_beside_it(cross):
    together = cross.score(np.arange(6), "fp32")
    alone = [float(cross.score(np.array([row]), "fp32")[0]) for row in range(6)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(together).all()


def test_the_loss_is_that_of_its_pairs_scores(cross):
    cross.eval()
    torch.nn.init.normal_(cross.head.weight)  # so that scores differ
    rows = np.array([5, 4, 0, 2])  # of several lengths, not in their order
    step = GradedBatch(rows, torch.tensor([2, 1, 0, 0]), GRADES[rows], torch.tensor([1.0, 2.0, 1.0, 1.0]))
    scores = torch.from_numpy(cross.score(rows, "fp32"))
    expected = grade_loss(scores, step.grades, step.weights, 2.0) + graded_softmax_loss(
        scores, step.grades, step.weights, step.query
    )
    assert cross.loss(step).item() == pytest.approx(expected.item(), rel=1e-4)


def test_it_reads_which_text_is_the_query(folder, cross):
    texts = [QUERIES[code] for code in QUERY]
    turned = scorer(folder, cross.encoder, np.arange(6, dtype=np.int32), TEXTS, texts)
    turned.load_state_dict(cross.state_dict())
    assert abs(turned.score(np.array([1]), "fp32")[0] - cross.score(np.array([1]), "fp32")[0]) > 1e-6


def test_steps_teach_the_order(cross):
    optimizer = torch.optim.AdamW(cross.parameters(), 1e-3)
    rows = np.arange(3)
    step = GradedBatch(rows, torch.zeros(3, dtype=torch.int64), GRADES[:3], torch.ones(3))
    cross.train()
    for _ in range(15):
        loss = cross.loss(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = cross.score(rows, "fp32")
    assert scores[0] > scores[2] > scores[1]
