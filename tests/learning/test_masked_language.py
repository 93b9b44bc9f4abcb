import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from configs.schema import TextConfig
from learning.encoder_folder import EncoderError, EncoderFolder, open_encoder
from learning.masked_language import MaskedBatch, MaskedModel, Masking, load_masked_model
from learning.tokens import load_tokenizer, token_ids

SMALL = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "pad_token_id": 0, "bos_token_id": 2}
SMALL |= {"num_hidden_layers": 1, "num_attention_heads": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
KINDS = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "modernbert"]
BATCH = MaskedBatch(
    torch.tensor([[2, 5, 4, 3], [2, 4, 3, 0]]),
    torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    torch.tensor([[-100, 5, 9, -100], [-100, 7, -100, -100]]),
)


@pytest.mark.parametrize("kind", KINDS)
def test_scoring_hidden_tokens_alone_gives_the_loss_of_the_whole_model(kind):
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(kind, **SMALL)).eval()
    whole = model(input_ids=BATCH.ids, attention_mask=BATCH.mask, labels=BATCH.labels).loss
    assert MaskedModel(model, "mean", new_head=False)(BATCH).item() == pytest.approx(3 * whole.item(), rel=1e-5)


def test_a_head_that_is_not_known_is_refused():
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model("electra", **SMALL, embedding_size=16))
    with pytest.raises(EncoderError, match=r"head of a ElectraForMaskedLM is not known; set text\.adapt_steps=0"):
        MaskedModel(model, "mean", new_head=False)


def test_a_model_that_reads_one_way_is_refused(tmp_path):
    shape = AutoConfig.for_model("qwen2", **SMALL, num_key_value_heads=2)
    AutoModel.from_config(shape).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="cannot learn by guessing hidden tokens"):
        load_masked_model(EncoderFolder(tmp_path, "last", "", "", 24))


def test_a_folder_without_a_head_gets_one_whose_words_are_the_encoders(shop_encoder):
    folder, _, text = shop_encoder
    model = load_masked_model(open_encoder(text, folder))
    assert model.new_head
    inside = model.model.bert.embeddings.word_embeddings.weight
    assert model.model.cls.predictions.decoder.weight is inside
    assert not model.is_of_head("model.bert.embeddings.word_embeddings.weight")
    assert model.is_of_head("model.cls.predictions.bias")
    model.model.save_pretrained(folder.parent / "whole")
    again = load_masked_model(EncoderFolder(folder.parent / "whole", "mean", "", "", 24))
    assert not again.new_head


def test_the_share_asked_for_is_hidden_never_ends_or_padding(shop_encoder):
    folder, titles, text = shop_encoder
    opened = open_encoder(text, folder)
    rows = token_ids(load_tokenizer(folder, 24), titles) * 40
    masking = Masking(opened, 0.15)
    batch, same, other = (masking.batch(rows, seed) for seed in (1, 1, 2))
    assert torch.equal(batch.labels, same.labels)
    assert torch.equal(batch.ids, same.ids)
    assert not torch.equal(batch.labels, other.labels)
    hidden = batch.labels >= 0
    inner = sum(len(row) - 2 for row in rows)
    assert batch.hidden / inner == pytest.approx(0.15, abs=0.01)
    assert batch.mask.sum(1).tolist() == list(map(len, rows))
    assert not hidden[:, 0].any()
    assert not hidden[batch.mask == 0].any()
    for row, one in zip(rows, hidden, strict=True):
        assert not one[len(row) - 1]
    mask_token = load_tokenizer(folder, 24).token_to_id("[MASK]")
    assert (batch.ids[hidden] == mask_token).float().mean() == pytest.approx(0.8, abs=0.03)


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path, shop_encoder):
    folder, *_ = shop_encoder
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}'
    )
    with pytest.raises(EncoderError, match="no mask token"):
        Masking(open_encoder(TextConfig(encoder=str(tmp_path))), 0.15)
