import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from learning.optimizer import decays
from towers.texts import TunedTexts, mix
from towers.train import save_model, train


class _Encoder(nn.Module):
    """Stands for a text encoder: the mean of its tokens' vectors, with dropout while it is trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.tokens = nn.Embedding(12, 4)
        self.dropout = nn.Dropout(0.3)

    def forward(self, ids, mask):
        states = self.dropout(self.tokens(ids)) * mask[:, :, None]
        return F.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=1)


ROWS = [[1, 2], [], [3], [4, 5, 6]]


@pytest.fixture
def texts():
    tuned = TunedTexts(_Encoder().eval(), ROWS, torch.zeros(4, 4), most=2)
    tuned.refresh()
    return tuned


def test_fresh_texts_are_distinct_bounded_and_never_empty(texts):
    codes, vectors = texts.fresh(torch.tensor([3, 3, 1, 3]))
    assert codes.tolist() == [3]
    assert vectors.requires_grad
    for seed in range(5):
        torch.manual_seed(seed)
        codes, vectors = texts.fresh(torch.tensor([0, 2, 3]))
        assert len(set(codes.tolist())) == len(codes) == len(vectors) == 2
    codes, vectors = texts.fresh(torch.tensor([1]))
    assert (len(codes), tuple(vectors.shape)) == (0, (0, 4))


def test_gradient_reaches_the_tokens_of_fresh_texts_alone(texts):
    codes, vectors = texts.fresh(torch.tensor([2]))
    mixed = mix(texts.vectors, codes, vectors)
    assert torch.equal(mixed[[0, 1, 3]], texts.vectors[[0, 1, 3]])
    (mixed * torch.arange(16.0).view(4, 4)).sum().backward()
    touched = texts.encoder.tokens.weight.grad.abs().sum(1) > 0
    assert touched.nonzero().flatten().tolist() == [3]


def test_refreshed_texts_are_as_the_encoder_gives_them_without_dropout(texts):
    assert texts.encoder.training
    texts.encoder.eval()
    expected = texts.encoder(torch.tensor([[4, 5, 6]]), torch.ones(1, 3, dtype=torch.int64))[0]
    assert torch.allclose(texts.vectors[3], expected)
    assert not texts.vectors[1].any()


def _tuned(small, **changes):
    module, data, settings = small(encoder_learning_rate=0.05, max_epochs=3, **changes)
    encoder = _Encoder()
    items = TunedTexts(encoder, [[1 + n % 11, 1 + n % 7] for n in range(20)], torch.zeros(20, 4), most=8)
    queries = TunedTexts(encoder, [[1], [2]], torch.zeros(2, 4), most=8)
    items.refresh()
    queries.refresh()
    module.tune(items, queries)
    return module, data, settings


@pytest.mark.parametrize("negatives", ["pool", "all"])
def test_the_encoder_is_trained_along_at_its_own_rate(small, tmp_path, negatives):
    module, data, settings = _tuned(small, negatives=negatives)
    before = module.item_texts.encoder.tokens.weight.detach().clone()
    groups = module.configure_optimizers()["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    assert rates[id(module.item_texts.encoder.tokens.weight)] == 0.05
    assert rates[id(module.item.text.weight)] == 0.01
    assert decays(module)["item_texts.encoder.tokens.weight"]
    best = train(module, data, settings, 0, tmp_path)
    assert best.curve[-1]["train_loss"] < best.curve[0]["train_loss"]
    assert not torch.allclose(module.item_texts.encoder.tokens.weight, before, atol=1e-2)
    save_model(module, best.file, tmp_path / "model.ckpt")
    kept = torch.load(tmp_path / "model.ckpt", weights_only=False)["state_dict"]
    assert not any("texts" in name for name in kept)  # the encoder is a folder of its own


class _Stop(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 7:
            raise KeyError("killed")


def test_a_cut_off_training_of_the_encoder_resumes_bit_identically(small, tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    module, data, settings = _tuned(small)
    whole = train(module, data, settings, 0, tmp_path / "whole")
    cut, data, settings = _tuned(small)
    real = L.Trainer
    monkeypatch.setattr(L, "Trainer", lambda callbacks, **kw: real(callbacks=[*callbacks, _Stop()], **kw))
    with pytest.raises(KeyError, match="killed"):
        train(cut, data, settings, 0, tmp_path / "cut")
    monkeypatch.setattr(L, "Trainer", real)
    fresh, data, settings = _tuned(small)
    torch.manual_seed(77)
    assert train(fresh, data, settings, 0, tmp_path / "cut").curve == whole.curve
    for (name, one), two in zip(module.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
