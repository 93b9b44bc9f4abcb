"""The fast gradient method: the step's gradient is that of the texts as they are plus that of the shifted ones."""

import copy

import numpy as np
import pytest
import torch

from ranking.adversarial import adversarial_loss, shifted, steepest
from ranking.batches import make_batch
from ranking.losses import listwise_softmax_loss
from tests.ranking.conftest import build_ranker

LENGTH = 0.3


@pytest.fixture
def batch(describe):
    examples = describe([[0, 1, 2], [1, 2, -1]], ["query : red", "blue hat"])
    return make_batch(examples, np.array([0, 1]), np.array([[1, 0, 0], [0, 1, 0]], np.float32))


def build(attention="context_once", adversarial=LENGTH):
    ranker = build_ranker(attention).train()
    torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight, generator=torch.Generator().manual_seed(2))
    ranker.adversarial = adversarial
    ranker.log = lambda *_, **__: None
    return ranker


def gradients(ranker, batch, *, whole=True):
    """Return the gradients of a step, or of the plain loss of lists."""
    ranker.zero_grad()
    step = ranker.training_step if whole else _plain_step(ranker)
    step(batch, 0)["loss"].backward()
    return {name: one.grad.clone() for name, one in ranker.named_parameters() if one.grad is not None}


def _plain_step(ranker):
    return lambda batch, _: {"loss": listwise_softmax_loss(ranker(batch), batch.gains, batch.kept)}


@pytest.mark.parametrize("attention", ["context_once", "full"])
def test_a_steps_gradient_is_the_plain_one_plus_that_of_shifted_words(batch, attention):
    found = gradients(build(attention), batch)
    ranker = build(attention)
    plain = gradients(ranker, batch, whole=False)
    table = ranker.cross_encoder.words.weight
    direction = table.grad / table.grad.norm()
    with torch.no_grad():  # by hand: the table itself is moved
        table += LENGTH * direction
    moved = gradients(ranker, batch, whole=False)
    assert found.keys() == plain.keys() == moved.keys()
    for name in found:
        assert torch.allclose(found[name], plain[name] + moved[name], atol=1e-6), name
    assert not torch.allclose(moved["cross_encoder.heads.text.weight"], plain["cross_encoder.heads.text.weight"])


def test_the_shift_is_of_its_length_and_raises_the_loss_as_the_gradient_says(batch):
    ranker = build()
    words = ranker.cross_encoder.words
    plain, harmed = adversarial_loss(words, lambda: ranker.eval().loss(batch), 1e-3)
    (gradient,) = torch.autograd.grad(plain, words.weight, retain_graph=True)
    assert steepest(gradient, LENGTH).norm().item() == pytest.approx(LENGTH, rel=1e-5)
    assert (harmed - plain).item() == pytest.approx(1e-3 * gradient.norm().item(), rel=0.05)
    assert steepest(torch.zeros(3, 2), LENGTH).tolist() == [[0.0, 0.0]] * 3  # texts that nobody listens to yet


def test_the_words_are_as_they_were_to_the_bit_and_nothing_stays_hooked_on(batch):
    ranker = build()
    before = copy.deepcopy(ranker.state_dict())
    gradients(ranker, batch)
    assert all(torch.equal(one, before[name]) for name, one in ranker.state_dict().items())
    words = ranker.cross_encoder.words
    with pytest.raises(RuntimeError, match="in the midst"), shifted(words, torch.ones_like(words.weight)):
        raise RuntimeError("in the midst")
    assert not words._forward_hooks


def test_words_that_are_not_trained_are_shifted_all_the_same(batch):
    ranker = build()
    ranker.cross_encoder.words.weight.requires_grad_(False)
    found, plain = gradients(ranker, batch), gradients(ranker, batch, whole=False)
    assert "cross_encoder.encoder.embeddings.word_embeddings.weight" not in found
    heads = "cross_encoder.heads.text.weight"
    assert not torch.allclose(found[heads], 2 * plain[heads], atol=1e-4)


def test_without_a_length_and_outside_training_a_step_is_as_ever(batch):
    off = build(adversarial=0.0)
    plain = gradients(off, batch, whole=False)
    assert all(torch.allclose(one, plain[name]) for name, one in gradients(off, batch).items())
    ranker = build()
    assert ranker.loss(batch).item() > 1.5 * ranker.eval().loss(batch).item()  # which looks once
