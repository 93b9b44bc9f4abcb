"""Rounds of training: what differs from one to the next."""

from dataclasses import replace
from types import SimpleNamespace

import pipeline.train_towers
from configs.schema import Config, TowersConfig
from pipeline.train_towers import _rounds
from towers.batches import BatchMaker
from towers.windows import WindowPlan


class Towers:
    """Stands for the module; keeps what rates it was told to learn at."""

    rate = 1.0

    def slow_down(self, rate):
        self.rate = rate


def test_rounds_after_the_first_learn_slowly_from_other_batches(monkeypatch, tmp_path):
    seen = []

    def train(module, data, settings, seed, folder, loggers):
        seen.append((module.rate, data.plan.seed, data.maker.mined, folder.name))

    def mine(module, data, prepared, config, file):
        file.write_text(f"found by round {len(seen)}")
        return []

    monkeypatch.setattr(pipeline.train_towers, "train", train)
    monkeypatch.setattr(pipeline.train_towers, "_mine", mine)
    monkeypatch.setattr(pipeline.train_towers, "training_loggers", lambda *_: [])
    monkeypatch.setattr(pipeline.train_towers.Mined, "read", lambda file: file.read_text())
    config = replace(Config(), towers=TowersConfig(rounds=3, round_rate=0.2))
    work = SimpleNamespace(
        config=config, run=SimpleNamespace(root=tmp_path), out=tmp_path / "out", scratch=lambda: tmp_path
    )
    work.out.mkdir()
    plan = WindowPlan(users=(), start=(), stop=(), length=4, batch=2, seed=config.run.seed)
    data = SimpleNamespace(plan=plan, maker=BatchMaker(None, None, None, None))
    _rounds(work, Towers(), data, None)
    assert seen == [
        (1.0, 0, None, "round-1"),
        (0.2, 1, "found by round 1", "round-2"),
        (0.2, 2, "found by round 2", "round-3"),
    ]
