"""A cross-encoder that learns another model's scores, with a tiny encoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.schema import TextConfig
from learning.encoder_folder import open_encoder
from learning.graded_losses import distillation_loss, grade_loss
from learning.graded_training import GradedBatch
from learning.language_model import load_text_encoder
from learning.shop_encoder import train_shop_encoder
from learning.tokens import load_tokenizer
from ranking.distilled import STEPS, DistilledCrossEncoder
from ranking.pairs import PairTokenizer

TEXTS = ["umbrio lamp red", "umbrio shoes white", "lumora 灯 😀"]
TAUGHT = torch.tensor([0.8, 0.1, 0.35])
STEP = GradedBatch(np.arange(3), torch.zeros(3, dtype=torch.int64), TAUGHT, torch.ones(3))


@pytest.fixture
def cross(tmp_path):
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=1, train_steps=2)
    train_shop_encoder(["red lamp", *TEXTS], [], tmp_path / "encoder", text, seed=0)
    folder = open_encoder(replace(text, encoder=str(tmp_path / "encoder")))
    torch.manual_seed(0)
    tokenizer = PairTokenizer(load_tokenizer(folder.path, 16), 8, 10)
    query = np.zeros(3, np.int32)
    return DistilledCrossEncoder(load_text_encoder(folder), tokenizer, query, ["red lamp"], TEXTS, (0.2, 0.8))


def test_the_loss_is_that_of_order_and_scores(cross):
    cross.eval()
    torch.nn.init.normal_(cross.head.weight)
    scores = torch.from_numpy(cross.score(np.arange(3), "fp32"))
    alone = grade_loss(scores, torch.tensor([0.8, 0.2, 0.35]), torch.ones(3), 0.8, 0.2)  # .1 counts as .2, the lowest
    order = distillation_loss(scores, TAUGHT, STEP.query, 0.6 / STEPS)
    assert cross.loss(STEP).item() == pytest.approx((alone + order).item(), rel=1e-4)


def test_steps_teach_the_teachers_order(cross):
    optimizer = torch.optim.AdamW(cross.parameters(), 1e-3)
    cross.train()
    for _ in range(100):
        loss = cross.loss(STEP)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert list(cross.score(np.arange(3), "fp32").argsort()) == [1, 2, 0]
