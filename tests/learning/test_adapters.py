import pytest
import torch
from transformers import AutoConfig, AutoModel

from learning.adapters import add_adapters, merge_adapters
from learning.encoder_folder import EncoderError
from learning.language_model import TextEncoder, recompute

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 0,
}
OF_GROUPS = {"num_key_value_heads": 2, "head_dim": 8}
KINDS = {
    "bert": ({}, {"query", "value"}),
    "xlm-roberta": ({}, {"query", "value"}),
    "mpnet": ({}, {"q", "v"}),
    "qwen3": (OF_GROUPS, {"q_proj", "v_proj"}),
}
IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = (IDS > 0).long()


def encoder_of(kind):
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **SMALL, **KINDS[kind][0]))
    model.pooler = None
    return TextEncoder(model, "mean").eval()


def adapted(kind="bert", **changes):
    encoder = encoder_of(kind)
    add_adapters(encoder, **{"rank": 2, "alpha": 4.0, "dropout": 0.0, "modules": [], **changes})
    return encoder


@pytest.mark.parametrize("kind", KINDS)
def test_only_adapters_of_queries_and_values_are_trained_and_start_at_nothing(kind):
    encoder = adapted(kind)
    torch.testing.assert_close(encoder(IDS, MASK), encoder_of(kind)(IDS, MASK), atol=1e-6, rtol=0)
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == KINDS[kind][1]
    assert len(trained) == 2 * 2 * 2  # layers, maps, A and B
    encoder(IDS, MASK)[:, 0].sum().backward()
    with_gradient = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert with_gradient == trained


@pytest.mark.parametrize("kind", KINDS)
def test_merging_keeps_the_vectors_and_leaves_a_plain_model(kind):
    encoder, plain = adapted(kind), encoder_of(kind)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    before = encoder(IDS, MASK)
    assert (before - plain(IDS, MASK)).abs().max() > 1e-2
    merge_adapters(encoder)
    assert [name for name, _ in encoder.named_parameters()] == [name for name, _ in plain.named_parameters()]
    torch.testing.assert_close(encoder(IDS, MASK), before, atol=1e-5, rtol=0)


def test_named_layers_take_the_place_of_queries_and_values():
    encoder = adapted(modules=["intermediate.dense", "key"])
    layers = {name.split(".lora_")[0] for name, one in encoder.named_parameters() if one.requires_grad}
    assert {name.rpartition("layer.")[2] for name in layers} == {
        f"{layer}.{name}" for layer in (0, 1) for name in ("intermediate.dense", "attention.self.key")
    }


def test_a_layer_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(EncoderError, match=r"no linear layers called q_proj; .*lora_modules: dense, key, query, value"):
        adapted(modules=["q_proj", "key"])


@pytest.mark.parametrize("train", [encoder_of, adapted])
def test_computing_blocks_again_changes_no_gradient(train):
    kept, again = train("bert"), train("bert")
    recompute(again)
    for encoder in (kept, again):
        encoder.train()
        torch.manual_seed(1)  # dropout draws the same both times
        encoder(IDS, MASK)[:, 0].sum().backward()
    for (name, one), two in zip(kept.named_parameters(), again.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(one.grad, two.grad, atol=1e-7, rtol=0)
