import lightning as L
import numpy as np
import pytest
import torch

from ranking.batches import TrainingBatches
from ranking.cross_encoder import _listed
from ranking.module import Ranker
from ranking.rerank import score_lists

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def lesson(describe):
    """Whoever asks for red wants the red shoe, whoever asks for blue the blue hat: only the texts tell."""
    contexts = ["query : red", "query : blue"] * 40
    items = [[0, 1]] * 80
    gains = np.array([[1, 0], [0, 1]] * 40, dtype=np.float32)
    return describe(items, contexts), gains


def fit(ranker, examples, gains, epochs, tokens_per_batch=120):
    batches = TrainingBatches(
        examples,
        gains,
        tokens=ranker.cross_encoder.training_tokens(examples),
        tokens_per_batch=tokens_per_batch,
        batch_lists=len(examples),
        seed=0,
    )
    ranker.steps = epochs * len(batches.rows(0))
    torch.manual_seed(0)
    ranker.train()
    trainer = L.Trainer(max_epochs=epochs, **QUIET)
    trainer.fit(ranker, batches)
    return trainer


def test_it_learns_from_the_texts_alone(ranker, describe):
    examples, gains = lesson(describe)
    ranker.learning_rate = ranker.head_learning_rate = 0.005
    # All at once: in a few lists, red or blue is the more frequent wish, and that is learned first.
    fit(ranker, examples, gains, epochs=60, tokens_per_batch=2000)
    scores = score_lists(ranker, examples, tokens_per_batch=200, precision="fp32")
    assert (scores.argmax(axis=1) == gains.argmax(axis=1)).all()


def test_the_same_seed_trains_the_same_ranker(describe, ranker):
    import copy

    examples, gains = lesson(describe)
    other = copy.deepcopy(ranker)
    for one in (ranker, other):
        fit(one, examples, gains, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(ranker.parameters(), other.parameters(), strict=True))


def test_a_checkpoint_needs_nothing_but_its_file(ranker, describe, tmp_path):
    examples, gains = lesson(describe)
    fit(ranker, examples, gains, epochs=1).save_checkpoint(tmp_path / "ranker.ckpt", weights_only=True)
    again = Ranker.load_from_checkpoint(tmp_path / "ranker.ckpt", map_location="cpu")
    before, after = (score_lists(one, examples, tokens_per_batch=200, precision="fp32") for one in (ranker, again))
    assert after == pytest.approx(before, abs=1e-6)
    assert again.features == ranker.features
    assert again.sources == ranker.sources


def test_biases_and_norms_are_exempt_from_decay_and_the_language_model_is_slow(ranker):
    groups = ranker.configure_optimizers()["optimizer"].param_groups
    rates = {(group["initial_lr"], group["weight_decay"]) for group in groups}
    assert rates == {(1e-3, 0.01), (1e-3, 0.0), (1e-2, 0.01), (1e-2, 0.0)}
    exempt = {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    names = {name for name, parameter in ranker.named_parameters() if id(parameter) in exempt}
    assert names == {name for name, parameter in ranker.named_parameters() if parameter.ndim == 1}


def test_a_score_that_is_no_number_is_refused(ranker, describe):
    with torch.no_grad():
        ranker.cross_encoder.heads.by_intent.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="gave no number for some candidate in 2 of 2 lists"):
        score_lists(ranker, describe([[0], [1]], ["red", "red"]), tokens_per_batch=100, precision="fp32")


def test_an_item_in_many_lists_gets_the_same_gradient_every_time():
    """Two threads must not add up the gradients of one item in the order in which they happen to come."""
    states = torch.randn(12, 64, requires_grad=True)
    places = torch.randint(12, (60, 50))
    weights = torch.randn(60, 50, 64)
    first = torch.autograd.grad((_listed(states, places) * weights).sum(), states)[0]
    for _ in range(30):
        again = torch.autograd.grad((_listed(states, places) * weights).sum(), states)[0]
        assert torch.equal(again, first)
    assert torch.equal(_listed(states, places), states[places])
