"""The tower on graded pairs, with a tiny encoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.schema import TextConfig
from learning.encode import encode
from learning.encoder_folder import open_encoder
from learning.graded_losses import grade_loss, graded_softmax_loss, in_batch_softmax_loss
from learning.graded_training import GradedBatch
from learning.language_model import load_text_encoder
from learning.shop_encoder import train_shop_encoder
from learning.tokens import load_tokenizer
from towers.graded import GradedTower

QUERIES = ["red lamp", "white shoes"]
TEXTS = ["umbrio lamp red", "umbrio shoes white", "lumora shoes 白色", "umbrio lamp red", "", "lamp " * 2_000]
QUERY = np.array([0, 1, 1, 1, 0, 0], np.int32)
GRADES = torch.tensor([2.0, 2.0, 1.0, 0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("graded") / "encoder"
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=1, train_steps=2)
    train_shop_encoder([*QUERIES, *TEXTS[:3], "a b c d e f"], [], path, text, seed=0)
    return open_encoder(replace(text, encoder=str(path)))


@pytest.fixture
def tower(folder):
    return GradedTower(load_text_encoder(folder), folder, QUERY, QUERIES, TEXTS, 20.0, (0.0, 2.0))


def batch(rows):
    rows = np.array(rows)
    return GradedBatch(rows, torch.from_numpy(QUERY[rows].astype(np.int64)), GRADES[rows], torch.ones(len(rows)))


def test_a_pair_scores_the_cosine_of_its_two_texts(tower, folder):
    tokenizer, encoder = load_tokenizer(folder.path, folder.max_tokens), load_text_encoder(folder)
    read = encode(encoder, tokenizer, QUERIES, tokens_per_batch=512)
    found = encode(encoder, tokenizer, TEXTS, tokens_per_batch=512)
    rows = np.array([5, 0, 2, 4])
    expected = (read[QUERY[rows]] * found[rows]).sum(axis=1)
    assert tower.score(rows, "fp32") == pytest.approx(expected, abs=1e-5)
    assert np.isfinite(tower.score(np.arange(6), "bf16")).all()  # an empty text and one of 2,000 words too


def test_a_step_learns_the_order_of_a_querys_products(tower):
    optimizer = torch.optim.AdamW(tower.parameters(), 1e-3)
    tower.train()
    first = tower.loss(batch([0, 1, 2, 3])).item()
    for _ in range(15):
        loss = tower.loss(batch([0, 1, 2, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = tower.score(np.arange(4), "fp32")
    assert loss.item() < 0.7 * first
    assert scores[1] > scores[2] > scores[3]


def test_the_loss_is_that_of_its_pairs_cosines(tower, folder):
    tower.eval()
    step = batch([3, 0, 2, 1])
    own = torch.from_numpy(tower.score(step.rows, "fp32"))
    every = torch.from_numpy(tower.score(np.arange(6), "fp32"))
    # Texts in order: lumora shoes 白色, umbrio lamp red (rows 0 and 3), umbrio shoes white. Cosines with query 0 and 1:
    crossed = GradedTower(tower.encoder, folder, 1 - QUERY, QUERIES, TEXTS, 20.0, (0.0, 2.0)).score(
        np.arange(6), "fp32"
    )
    cosines = torch.tensor([[crossed[2], every[0], crossed[1]], [every[2], every[3], every[1]]])
    owner, told = torch.tensor([1, 0, 1, 1]), torch.tensor([1, 1, 0, 2])
    expected = (
        graded_softmax_loss(own * 20, step.grades, step.weights, step.query)
        + 0.3 * in_batch_softmax_loss(cosines * 20, step.grades, step.weights, owner, told)
        + 0.3 * grade_loss(own * 5 - 2.5, step.grades, step.weights, 2.0)
    )
    assert tower.loss(step).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_loss_does_not_hang_on_the_order_of_a_step(tower):
    tower.eval()
    assert tower.loss(batch([0, 1, 2, 3])).item() == pytest.approx(tower.loss(batch([3, 1, 0, 2])).item(), rel=1e-5)


def test_a_step_of_lone_products_still_has_a_gradient(tower):
    loss = tower.loss(batch([0, 1]))
    loss.backward()
    assert sum(float(one.grad.abs().sum()) for one in tower.encoder.parameters() if one.grad is not None) > 0
