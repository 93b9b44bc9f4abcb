"""Rounds of training: what differs from one to the next."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

import pipeline.train_towers
from configs.schema import Config, TowersConfig
from pipeline.train_towers import _rounds
from towers.batches import BatchMaker
from towers.windows import WindowPlan


class Towers:
    """Stands for the module; keeps how it was told to learn."""

    told = "as configured"

    def refine(self, steps, rate):
        self.told = (steps, rate)


def test_rounds_after_the_first_refine_it_with_batches_and_negatives_of_their_own(monkeypatch, tmp_path):
    seen = []

    def train(module, data, settings, seed, folder, loggers):
        seen.append((module.told, settings.max_epochs, data.plan.seed, data.maker.mined, folder.name))

    def mine(module, data, prepared, config, file):
        file.write_text(f"found by round {len(seen)}")
        return []

    monkeypatch.setattr(pipeline.train_towers, "train", train)
    monkeypatch.setattr(pipeline.train_towers, "_mine", mine)
    monkeypatch.setattr(pipeline.train_towers, "training_loggers", lambda *_: [])
    monkeypatch.setattr(pipeline.train_towers.Mined, "read", lambda file: file.read_text())
    config = replace(Config(), towers=TowersConfig(rounds=3, max_epochs=9, round_epochs=4, round_rate=0.2))
    work = SimpleNamespace(
        config=config, run=SimpleNamespace(root=tmp_path), out=tmp_path / "out", scratch=lambda: tmp_path
    )
    work.out.mkdir()
    windows = np.arange(6)  # of one event each, two in a batch: three steps in an epoch
    plan = WindowPlan(windows, windows, windows + 1, length=4, batch=2, seed=config.run.seed)
    data = SimpleNamespace(plan=plan, maker=BatchMaker(None, None, None, None))
    _rounds(work, Towers(), data, None)
    assert seen == [
        ("as configured", 9, 0, None, "round-1"),
        ((12, 0.2), 4, 1, "found by round 1", "round-2"),
        ((12, 0.2), 4, 2, "found by round 2", "round-3"),
    ]
