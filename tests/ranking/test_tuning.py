import copy

import pytest
import torch

from configs.schema import RankingConfig
from learning.adapters import merge_inserted
from ranking.batches import make_batch
from ranking.cross_encoder import CrossEncoder, empty_encoder
from ranking.full_attention import FullCrossEncoder
from ranking.pairs import PairJoin
from ranking.tuning import choose_weights
from tests.ranking.conftest import FEATURES, build_config


def build(tuning):
    torch.manual_seed(0)
    encoder = empty_encoder(build_config())
    choose_weights(encoder, RankingConfig(tuning=tuning, frozen_layers=1, layers=2, lora_rank=2))
    torch.manual_seed(1)
    model = CrossEncoder(encoder, len(FEATURES), 8, 0.0)
    torch.nn.init.normal_(model.heads.text.weight, generator=torch.Generator().manual_seed(1))
    return model


@pytest.fixture
def batch(describe):
    import numpy as np

    examples = describe([[0, 1], [1, 2]], ["red", "blue hat"])
    return make_batch(examples, np.array([0, 1]), np.array([[1, 0], [0, 1]], np.float32))


def step(model, batch):
    """One step of descent; returns the names of the language model's weights that moved, and the scores after it."""
    before = copy.deepcopy(dict(model.named_parameters()))
    (model.lists(batch)[:, 0] ** 2).sum().backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).step()
    return {
        name for name, now in model.named_parameters() if not torch.equal(now, before[name]) and "heads." not in name
    }


def test_all_modes_begin_as_the_same_model(batch):
    scores = [build(tuning).lists(batch) for tuning in ("full", "lora", "frozen_lower")]
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
    assert torch.equal(scores[0], scores[2])


def test_frozen_lower_layers_stay_and_the_upper_one_learns(batch):
    moved = step(build("frozen_lower"), batch)
    assert moved
    assert all(name.startswith("meeting.") for name in moved)


def test_everything_moves_in_full_tuning(batch):
    moved = step(build("full"), batch)
    assert any("embeddings.word" in name for name in moved)
    assert any("encoder.encoder.layer.0" in name for name in moved)


def test_adapters_alone_learn_and_are_merged_into_the_plain_model(batch):
    model = build("lora")
    for _ in range(2):  # B is zero at first, so A moves from the second step on
        moved = step(model, batch)
    assert {name.split(".")[-3] for name in moved} == {"lora_A", "lora_B"}
    assert {name.split(".")[0] for name in moved} == {"encoder", "meeting"}  # the layer of the meeting has them too
    learned = model.lists(batch)
    merge_inserted(model)
    assert torch.allclose(model.lists(batch), learned, atol=1e-5)
    assert set(model.state_dict()) == set(build("full").state_dict())


def test_nothing_left_to_train_is_refused():
    with pytest.raises(ValueError, match=r"ranking.frozen_layers=2 leaves none of ranking.layers=2 to train"):
        RankingConfig(tuning="frozen_lower", frozen_layers=2, layers=2)


@pytest.mark.parametrize("attention", ["context_once", "full"])
def test_text_dropout_is_drawn_in_training_alone(batch, attention):
    def scores(dropout, training):
        encoder = empty_encoder(build_config())
        choose_weights(encoder, RankingConfig(text_dropout=dropout))
        shape = encoder, len(FEATURES), 8, 0.0
        model = CrossEncoder(*shape) if attention == "context_once" else FullCrossEncoder(*shape, PairJoin(1, []))
        torch.nn.init.normal_(model.heads.text.weight, generator=torch.Generator().manual_seed(1))
        return [model.train(training).lists(batch) for _ in range(2)]

    assert not torch.allclose(*scores(0.5, training=True))
    for dropout, training in ((0.5, False), (0.0, True), (None, True)):  # the folder declares none
        assert torch.equal(*scores(dropout, training=training))


def test_text_dropout_is_a_share_below_one():
    with pytest.raises(ValueError, match=r"ranking.text_dropout must be below 1, got 1"):
        RankingConfig(text_dropout=1.0)
    with pytest.raises(ValueError, match=r"ranking.adversarial must be at least 0, got -1"):
        RankingConfig(adversarial=-1.0)
