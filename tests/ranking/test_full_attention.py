import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, BertForSequenceClassification

from ranking.full_attention import PairCrossEncoder, pack, score_pairs
from ranking.pair_reader import PairReader
from ranking.pairs import PairTokenizer

PAIRS = np.array([[0, 0], [1, 2], [0, 1], [1, 0]])
KINDS = {"bert": {"pad_token_id": 0}, "roberta": {"pad_token_id": 1, "type_vocab_size": 1}}
SMALL = {
    "vocab_size": 12,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}


def build_encoder(kind="bert", **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SMALL, **KINDS[kind], **settings)
    return AutoModel.from_config(config, add_pooling_layer=False, attn_implementation="sdpa").eval()


@pytest.fixture
def texts(pair_tokenizer):
    return pair_tokenizer.contexts(["red", "blue query : buy"]), pair_tokenizer.items(["shoe", "red hat", ""])


def alone(encoder, texts, pairs, join):
    """transformers' own forward over each pair by itself: all states, ``[tokens, hidden]`` each."""
    ids, types, lengths = join.pack(*texts, pairs)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        one = torch.from_numpy(ids[end - length : end])[None], torch.from_numpy(types[end - length : end])[None]
        kinds = {"token_type_ids": one[1]} if encoder.config.type_vocab_size > 1 else {}
        with torch.no_grad():
            yield encoder(input_ids=one[0], **kinds).last_hidden_state[0]


def test_a_pair_is_the_tokenizers_own(pair_tokenizer, texts):
    ids, types, lengths = pair_tokenizer.join.pack(*texts, np.array([[0, 1], [0, 2]]))
    # [CLS] red [SEP] red hat [SEP], then [CLS] red [SEP] [SEP]: an empty text keeps its end
    assert ids.tolist() == [2, 5, 3, 5, 8, 3, 2, 5, 3, 3]
    assert types.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    assert lengths.tolist() == [6, 4]


def test_a_template_with_two_tokens_between_the_texts_keeps_both():
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "1": 1, "</s>": 2, "red": 3}, unk_token="1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    pairs = PairTokenizer(tokenizer, 8, 8)
    ids, types, _ = pairs.join.pack(pairs.contexts(["red"]), pairs.items(["red red"]), np.array([[0, 0]]))
    assert ids.tolist() == tokenizer.encode("red", "red red").ids == [0, 3, 2, 2, 3, 3, 2]
    assert types.tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_packed_reading_gives_what_transformers_gives(pair_tokenizer, texts, kind, pooling):
    encoder = build_encoder(kind)
    with torch.no_grad():
        states = PairReader(encoder, pooling)(pack(*texts, PAIRS, pair_tokenizer.join))
    for state, whole in zip(states, alone(encoder, texts, PAIRS, pair_tokenizer.join), strict=True):
        expected = whole[0] if pooling == "cls" else whole.mean(dim=0)
        assert state.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_packed_and_padded_reading_have_equal_gradients(pair_tokenizer, texts):
    """So that what trains is the model that transformers would have trained."""
    packed, plain = build_encoder(), build_encoder()
    pull = torch.arange(len(PAIRS) * 16.0).reshape(len(PAIRS), 16).sin()
    (PairReader(packed)(pack(*texts, PAIRS, pair_tokenizer.join)) * pull).sum().backward()
    ids, types, lengths = pair_tokenizer.join.pack(*texts, PAIRS)
    for pair, (end, length) in enumerate(zip(np.cumsum(lengths), lengths, strict=True)):
        part = [torch.from_numpy(all_[end - length : end])[None] for all_ in (ids, types)]
        (plain(input_ids=part[0], token_type_ids=part[1]).last_hidden_state[0, 0] * pull[pair]).sum().backward()
    for (name, one), other in zip(packed.named_parameters(), plain.parameters(), strict=True):
        assert one.grad.numpy() == pytest.approx(other.grad.numpy(), abs=1e-4), name


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padding_in_the_middle_changes_nothing(pooling):
    reader = PairReader(build_encoder(), pooling)
    ids, types = torch.tensor([[2, 5, 3, 8, 3]]), torch.tensor([[0, 0, 0, 1, 1]])
    gap = [torch.cat([part[:, :3], torch.zeros(1, 2, dtype=torch.int64), part[:, 3:]], dim=1) for part in (ids, types)]
    with torch.no_grad():
        straight = reader.padded(ids, types, torch.ones_like(ids))
        gapped = reader.padded(*gap, torch.tensor([[1, 1, 1, 0, 0, 1, 1]]))
    assert gapped.numpy() == pytest.approx(straight.numpy(), abs=1e-6)


def test_scores_depend_neither_on_the_batch_nor_on_company(pair_tokenizer, texts):
    torch.manual_seed(1)
    model = PairCrossEncoder(PairReader(build_encoder()), dropout=0.1).eval()
    twice = np.concatenate([PAIRS, PAIRS[::-1]])
    whole = score_pairs(model, *texts, twice, join=pair_tokenizer.join, tokens_per_batch=1000)
    small = score_pairs(model, *texts, PAIRS, join=pair_tokenizer.join, tokens_per_batch=1)
    assert whole[: len(PAIRS)] == pytest.approx(small, abs=1e-6)
    assert np.array_equal(whole, np.concatenate([whole[:4], whole[:4][::-1]]))
    assert len(np.unique(small.round(5))) == len(PAIRS)


def test_a_published_cross_encoder_gives_its_own_scores(pair_tokenizer, texts, tmp_path):
    torch.manual_seed(0)
    theirs = BertForSequenceClassification(AutoConfig.for_model("bert", **SMALL, num_labels=1)).eval()
    theirs.save_pretrained(tmp_path)
    ours = PairCrossEncoder.from_classifier(str(tmp_path))
    found = score_pairs(ours, *texts, PAIRS, join=pair_tokenizer.join, tokens_per_batch=20)
    for score, pair in zip(found, PAIRS, strict=True):
        ids, types, _ = (torch.from_numpy(part)[None] for part in pair_tokenizer.join.pack(*texts, pair[None]))
        with torch.no_grad():
            assert score == pytest.approx(theirs(input_ids=ids, token_type_ids=types).logits.item(), abs=1e-5)


def test_a_classifier_of_several_labels_is_refused(tmp_path):
    BertForSequenceClassification(AutoConfig.for_model("bert", **SMALL, num_labels=3)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="with 3 labels, but one with a pooler and a single label was expected"):
        PairCrossEncoder.from_classifier(str(tmp_path))


def test_an_encoder_of_another_kind_is_refused():
    config = AutoConfig.for_model("distilbert", vocab_size=12, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    with pytest.raises(ValueError, match="a 'distilbert' encoder was given, but full attention is computed for bert"):
        PairReader(AutoModel.from_config(config))
