import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ranking.pairs import PairTokenizer


def test_context_and_item_are_two_whole_texts(pair_tokenizer):
    # [CLS]=2 red=5 shoe=7 [SEP]=3; the file's padding to 40 tokens is not followed.
    assert pair_tokenizer.contexts(["red shoe"]).ids.tolist() == [2, 5, 7, 3]
    assert pair_tokenizer.items(["hat"]).ids.tolist() == [2, 8, 3]


def test_texts_are_cut_with_their_special_tokens_counted(pair_tokenizer):
    context = pair_tokenizer.contexts(["red " * 20])
    item = pair_tokenizer.items(["hat " * 20])
    assert context.ids.tolist() == [2, 5, 5, 5, 5, 5, 5, 3]
    assert item.ids.tolist() == [2, 8, 8, 8, 3]


def test_texts_lie_end_to_end_and_an_empty_one_keeps_its_special_tokens(pair_tokenizer):
    tokens = pair_tokenizer.items(["hat", "", "red shoe"])
    assert [tokens.of(row).tolist() for row in range(3)] == [[2, 8, 3], [2, 3], [2, 5, 7, 3]]
    assert np.array_equal(tokens.lengths, [3, 2, 4])


def test_limits_without_room_for_a_word_are_refused(pair_tokenizer):
    with pytest.raises(ValueError, match=r"leave no room beside 2 special tokens; raise them"):
        PairTokenizer(pair_tokenizer._tokenizer, context_tokens=2, item_tokens=4)


def test_a_tokenizer_without_a_first_special_token_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"1": 0, "</s>": 1}, unk_token="1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    with pytest.raises(ValueError, match="a special token before it was expected"):
        PairTokenizer(tokenizer, context_tokens=8, item_tokens=4)
