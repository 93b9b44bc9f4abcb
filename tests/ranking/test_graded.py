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
from ranking.graded import GradedCrossEncoder, pair_tokens

PAIRS = [
    ("red lamp", "umbrio lamp red"),
    ("red lamp", "umbrio shoes white"),
    ("red lamp", "lumora 灯 😀"),
    ("white shoes", ""),
    ("", "lamp"),
    ("white " * 2_000, "lamp " * 2_000),
]
GRADES = torch.tensor([2.0, 0.0, 1.0, 1.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("graded") / "encoder"
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=1, train_steps=2)
    train_shop_encoder([text for pair in PAIRS[:3] for text in pair], [], path, text, seed=0)
    return open_encoder(replace(text, encoder=str(path)))


@pytest.fixture
def cross(folder):
    torch.manual_seed(0)
    return GradedCrossEncoder(load_text_encoder(folder), folder, PAIRS, (0.0, 2.0))


def test_a_pair_is_the_tokenizers_own_and_no_longer_than_asked(folder):
    ids, types = pair_tokens(load_tokenizer(folder.path, 16), PAIRS)
    separator = load_tokenizer(folder.path, 16).token_to_id("[SEP]")
    assert [row.count(separator) for row in ids] == [2] * 6
    assert max(map(len, ids)) == len(ids[5]) == 16
    first = ids[0].index(separator) + 1
    assert types[0] == [0] * first + [1] * (len(ids[0]) - first)
    assert ids[5].index(separator) in (7, 8)  # both texts are too long, and both are cut


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
    turned = GradedCrossEncoder(cross.encoder, folder, [(text, query) for query, text in PAIRS], (0.0, 2.0))
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
