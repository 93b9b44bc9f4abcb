"""A small training in a process of its own, which tells every step's loss and may be killed at one of them."""

import json
import os
import signal
from dataclasses import asdict, replace
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import towers.train
from towers.data import TowerData
from towers.lessons import Lessons
from towers.masks import Equivalents
from towers.mined import Mined
from towers.module import TwoTower
from towers.texts import TunedTexts


class Encoder(nn.Module):
    """Stands for a text encoder: the mean of its tokens' vectors, with dropout while it is trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.tokens = nn.Embedding(12, 4)
        self.dropout = nn.Dropout(0.3)

    def forward(self, ids, mask):
        states = self.dropout(self.tokens(ids)) * mask[:, :, None]
        return F.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=1)


def with_mined(data):
    """Give two thirds of the targets some negatives, one to three each, and declare every item like the third next."""
    targets, random = data.maker.targets, np.random.default_rng(5)
    listed = np.flatnonzero(np.arange(len(targets)) % 3 > 0)
    items = random.integers(0, 20, (len(listed), 3)).astype(np.int32)
    items[::2, 2] = -1
    items[::3, 1:] = -1
    items[items == targets.item[listed][:, None]] = -1
    alike = Equivalents.of(np.arange(17), np.arange(3, 20), 20)
    data.maker = replace(data.maker, mined=Mined(targets.position[listed], items), equivalents=alike)


def with_lessons(data):
    """Give two thirds of the targets a lesson of two to four items."""
    targets, random = data.maker.targets, np.random.default_rng(7)
    listed = np.flatnonzero(np.arange(len(targets)) % 3 > 0)
    items = np.array([random.permutation(20)[:4] for _ in listed], dtype=np.int32)
    items[::2, 2:] = -1
    scores = random.normal(size=items.shape).astype(np.float32)
    data.maker = replace(data.maker, lessons=Lessons(targets.position[listed], items, scores))


def write_task(file, module, data, settings):
    """Write what a training needs into a file."""
    facts = (dict(module.hparams["shape"]), module.facts, module.state_dict(), module.steps)
    torch.save((facts, (data.plan, data.maker, data.validation), settings), file)


def read_task(file, **changes):
    """Return (module, data, settings) of ``write_task``, with some settings changed."""
    (shape, facts, weights, steps), data, settings = torch.load(file, weights_only=False)
    settings = replace(settings, **changes)
    module = TwoTower(shape, asdict(settings))
    module.load_state_dict(weights)
    module.attach(facts, steps=steps)
    if settings.tuning == "full":
        rows = [[1 + code % 11, 1 + code % 7] for code in range(20)]
        encoder = Encoder()
        module.tune(
            TunedTexts(encoder, rows, facts.items.text, settings.tuned_texts),
            TunedTexts(encoder, [[1], [2]], facts.queries, settings.tuned_texts),
        )
    return module, TowerData(*data), settings


def train_task(task, folder, losses, killed_at=0, **changes):
    """Train, telling each step's loss in the file ``losses``; killed after a step where ``killed_at`` says so."""

    class Told(towers.train.Best):
        def on_train_batch_end(self, trainer, *args):
            super().on_train_batch_end(trainer, *args)
            step = trainer.global_step
            if trainer.is_global_zero:
                with losses.open("a") as file:
                    file.write(json.dumps([step, float(trainer.callback_metrics["train/loss"])]) + "\n")
            if step == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    module, data, settings = read_task(task, **changes)
    with patch.object(towers.train, "Best", Told):
        best = towers.train.train(module, data, settings, 0, folder)
    return best.curve, module.state_dict()


def read_losses(file):
    """Return the loss by step, the last one told of each."""
    return dict(json.loads(line) for line in file.read_text().splitlines())
