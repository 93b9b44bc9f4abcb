"""Training on graded pairs: what a step holds, that it learns, and that a kill changes nothing."""

import lightning as L
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import learning.graded_training
from learning.finite import LossError
from learning.graded_losses import graded_softmax_loss
from learning.graded_training import GradedPairs, GradedSteps, Pace, PairScorer, train_graded


class Known(PairScorer):
    """Scores pairs by a number each pair brings along, times a weight that is to become positive."""

    def __init__(self, numbers, start=-0.5):
        super().__init__()
        self.numbers, self.weight = torch.tensor(numbers), nn.Parameter(torch.tensor(start))
        self.dropout = nn.Dropout(0.5)

    def loss(self, batch):
        scores = self.dropout(self.numbers[batch.rows]) * self.weight
        return graded_softmax_loss(scores, batch.grades, batch.weights, batch.query)

    def score(self, rows, precision):
        return (self.numbers[rows] * self.weight).detach().numpy()


def pace(**changed):
    given = {
        "epochs": 3,
        "list_products": 4,
        "batch_lists": 2,
        "learning_rate": 0.1,
        "rates": {},
        "weight_decay": 0.0,
        "average": 0.0,
        "precision": "fp32",
        "seed": 0,
        "setting": "relevance.tower_learning_rate",
    }
    return Pace(**{**given, **changed})


def pairs_of(query, grades, trained=None, validated=()):
    query = np.array(query, np.int32)
    rows = np.arange(len(query)) if trained is None else np.array(trained)
    return GradedPairs(
        query, np.array(grades, np.float32), np.ones(len(query), np.float32), rows, np.array(validated, np.int64)
    )


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(2, 9), st.integers(1, 5))
def test_every_epoch_holds_every_pair_once_in_as_many_steps(sizes, list_products, batch_lists):
    query = np.repeat(np.arange(len(sizes)), sizes)
    steps = GradedSteps(
        pairs_of(query, np.ones(len(query))), pace(list_products=list_products, batch_lists=batch_lists)
    )
    for epoch in range(2):
        rows = np.concatenate([steps[step].rows for step in range(epoch * len(steps), (epoch + 1) * len(steps))])
        assert sorted(rows.tolist()) == list(range(len(query)))


def test_a_step_holds_lists_of_a_query_and_any_step_can_be_made_by_itself():
    query = np.repeat(np.arange(10), 8)
    steps = GradedSteps(pairs_of(query, np.ones(80)), pace())
    assert len(steps) == 10
    for step in range(10):
        _, counts = np.unique(query[steps[step].rows], return_counts=True)
        assert set(counts.tolist()) <= {4, 8}  # whole lists of four
    again = GradedSteps(pairs_of(query, np.ones(80)), pace())
    assert np.array_equal(again[17].rows, steps[17].rows)
    assert not np.array_equal(steps[17].rows, steps[7].rows)


def _learnable():
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=80).astype(np.float32)
    return numbers, pairs_of(np.repeat(np.arange(10), 8), (numbers > 0).astype(float), range(64), range(64, 80))


def _judge(numbers):
    return lambda scores: float(np.corrcoef(scores, numbers[64:])[0, 1])


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    numbers, pairs = _learnable()
    scorer = Known(numbers)
    curve = train_graded(scorer, pairs, _judge(numbers), pace(), tmp_path)
    assert scorer.weight.item() > 0
    assert [row["validation"] for row in curve][-1] == pytest.approx(1.0)
    assert [row["epoch"] for row in curve] == [0, 1, 2]


def test_the_weights_of_the_best_epoch_are_those_that_are_left(tmp_path):
    numbers, pairs = _learnable()
    values = iter([0.1, 0.9, 0.5])
    seen = []

    def judge(scores):
        seen.append(scores.copy())
        return next(values)

    scorer = Known(numbers)
    train_graded(scorer, pairs, judge, pace(), tmp_path)
    assert np.array_equal(scorer.score(np.arange(64, 80), "fp32"), seen[1])


class _Stop(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 11:
            raise KeyError("killed")


def test_a_training_cut_off_and_resumed_is_bit_identical(tmp_path, monkeypatch):
    numbers, pairs = _learnable()
    monkeypatch.setattr(learning.graded_training, "_CHECKPOINT_STEPS", 5)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, cut = Known(numbers), Known(numbers)
    curve = train_graded(whole, pairs, _judge(numbers), pace(average=0.1), tmp_path / "whole")
    real = L.Trainer
    monkeypatch.setattr(L, "Trainer", lambda callbacks, **kw: real(callbacks=[*callbacks, _Stop()], **kw))
    with pytest.raises(KeyError, match="killed"):
        train_graded(cut, pairs, _judge(numbers), pace(average=0.1), tmp_path / "cut")
    monkeypatch.setattr(L, "Trainer", real)
    fresh = Known(numbers)
    assert train_graded(fresh, pairs, _judge(numbers), pace(average=0.1), tmp_path / "cut") == curve
    assert fresh.weight.item() == whole.weight.item()
    done = Known(numbers)  # one that is over is not taken up again
    assert train_graded(done, pairs, None, pace(average=0.1), tmp_path / "cut") == curve
    assert done.weight.item() == whole.weight.item()


def test_a_loss_that_is_no_number_stops_at_once(tmp_path):
    numbers, pairs = _learnable()
    with pytest.raises(LossError, match=r"relevance\.tower_learning_rate"):
        train_graded(Known(numbers, start=float("nan")), pairs, _judge(numbers), pace(), tmp_path)
