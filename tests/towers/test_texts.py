from dataclasses import replace

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel

from commerce.mined import MinedWriter
from learning.adapters import add_adapters
from learning.language_model import TextEncoder
from learning.optimizer import decays
from tests.towers.training import Encoder
from towers.data import Steps
from towers.mined import Mined
from towers.texts import TunedTexts, mix
from towers.train import save_model, train

ROWS = [[1, 2], [], [3], [4, 5, 6]]


@pytest.fixture
def texts():
    tuned = TunedTexts(Encoder().eval(), ROWS, torch.zeros(4, 4), most=2)
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


def test_equal_texts_are_encoded_once():
    tuned = TunedTexts(Encoder(), [[1, 2], [], [3], [1, 2]], torch.zeros(4, 4), most=2)
    seen = []
    tuned.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    codes, vectors = tuned.fresh(torch.tensor([3, 0, 2, 1]))
    assert codes.tolist() == [0, 2, 3]  # two distinct texts, so the bound of two leaves none out
    assert sum(seen) == 2
    assert torch.equal(vectors[0], vectors[2])
    tuned.refresh()
    assert sum(seen) == 4
    assert torch.equal(tuned.vectors[0], tuned.vectors[3])
    assert not tuned.vectors[1].any()


def test_texts_lose_words_where_they_are_trained_and_nowhere_else():
    row = list(range(1, 12))
    tuned = TunedTexts(Encoder(), [row], torch.zeros(1, 4), most=2, dropped=0.5)
    seen = []
    tuned.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][0].tolist()))
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        tuned.fresh(torch.tensor([0]))
    tuned.refresh()
    assert seen[0] == seen[2] != seen[1]  # another step, other words; the same step again, the same words
    assert 3 <= len(seen[0]) < 11
    assert (seen[0][0], seen[0][-1]) == (1, 11)
    assert seen[3] == row


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
    encoder = Encoder()
    items = TunedTexts(encoder, [[1 + n % 11, 1 + n % 7] for n in range(20)], torch.zeros(20, 4), most=8)
    queries = TunedTexts(encoder, [[1], [2]], torch.zeros(2, 4), most=8)
    items.refresh()
    queries.refresh()
    module.tune(items, queries)
    return module, data, settings


def _adapted(small, **changes):
    """As ``_tuned``, with adapters in a tiny transformer."""
    module, data, settings = small(tuning="lora", lora_learning_rate=0.05, max_epochs=3, **changes)
    torch.manual_seed(5)
    shape = BertConfig(
        vocab_size=12, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, pad_token_id=0
    )
    encoder = TextEncoder(BertModel(shape, add_pooling_layer=False), "mean")
    add_adapters(encoder, rank=2, alpha=4.0, dropout=0.3, modules=[])
    items = TunedTexts(encoder, [[1 + n % 11, 1 + n % 7] for n in range(20)], torch.zeros(20, 4), 8, dropped=0.2)
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


@pytest.mark.parametrize("make", [_tuned, _adapted])
def test_a_cut_off_training_of_the_encoder_resumes_bit_identically(small, tmp_path, monkeypatch, make):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    module, data, settings = make(small)
    whole = train(module, data, settings, 0, tmp_path / "whole")
    cut, data, settings = make(small)
    real = L.Trainer
    monkeypatch.setattr(L, "Trainer", lambda callbacks, **kw: real(callbacks=[*callbacks, _Stop()], **kw))
    with pytest.raises(KeyError, match="killed"):
        train(cut, data, settings, 0, tmp_path / "cut")
    monkeypatch.setattr(L, "Trainer", real)
    fresh, data, settings = make(small)
    torch.manual_seed(77)
    assert train(fresh, data, settings, 0, tmp_path / "cut").curve == whole.curve
    for (name, one), two in zip(module.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_adapters_alone_are_trained_and_kept(small, tmp_path):
    module, data, settings = _adapted(small)
    encoder = module.item_texts.encoder
    before = {name: parameter.detach().clone() for name, parameter in encoder.named_parameters()}
    best = train(module, data, settings, 0, tmp_path)
    changed = {name for name, parameter in encoder.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if "lora_" in name}
    kept = torch.load(best.file, weights_only=False)
    texts = {name.rpartition("encoder.")[2] for name in kept["state_dict"] if name.startswith(("item_t", "query_t"))}
    assert all("lora_" in name or name.endswith("vectors") for name in texts)
    groups = torch.load(tmp_path / "last.ckpt", weights_only=False)["optimizer_states"][0]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.05, 0.01}
    held = sum(len(group["params"]) for group in groups)
    assert held == sum(parameter.requires_grad for parameter in module.parameters())


def test_bf16_computes_beside_weights_and_gradients_in_fp32(small):
    module, data, _ = _tuned(small, dropout=0.0, id_drop=0.0)
    module.item_texts.encoder.dropout.p = 0.0
    batch = Steps(data.plan, data.maker, 0, 1)[0]
    losses, gradients = [], []
    for narrow in (False, True):
        module.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            loss = module.loss(batch)[0]
        loss.backward()
        losses.append(loss.item())
        gradients.append(module.item_texts.encoder.tokens.weight.grad.clone())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert gradients[1].dtype == module.item_texts.encoder.tokens.weight.dtype == torch.float32
    assert F.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0) > 0.98


def test_mined_negatives_are_encoded_anew_beside_the_targets(small, tmp_path, monkeypatch):
    module, data, _ = _tuned(small)
    positions = data.maker.targets.position
    with MinedWriter(tmp_path / "mined.parquet") as file:
        file.write(positions, np.full((len(positions), 1), 19, np.int32), np.zeros((len(positions), 1), np.float32))
    maker = replace(data.maker, mined=Mined.read(tmp_path / "mined.parquet"))
    batch = Steps(data.plan, maker, 0, 1)[0]
    asked = []
    monkeypatch.setattr(module.item_texts, "fresh", lambda codes: asked.append(set(codes.tolist())) or _none(codes))
    module.loss(batch)
    assert asked == [set(batch.encoded[batch.target].tolist()) | {19}]


def _none(codes):
    return codes[:0], torch.zeros(0, 4)
