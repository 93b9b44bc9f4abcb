import numpy as np
import pytest

from commerce.histories import Histories
from configs.errors import InputError
from configs.schema import TextConfig
from learning.encode import folder_vectors
from learning.encoder_folder import open_encoder
from learning.search_pairs import search_pairs
from learning.shop_encoder import train_shop_encoder, train_tokenizer
from learning.tokens import load_tokenizer, token_ids, unknown_id


def test_han_letters_stand_alone_and_common_words_stay_whole():
    tokenizer = train_tokenizer(["desk lamp 台灯"] * 5, vocabulary=500)
    assert tokenizer.encode("Desk LAMP 台灯").tokens == ["[CLS]", "desk", "lamp", "台", "灯", "[SEP]"]


def test_a_latin_word_never_met_is_spelt_out():
    tokenizer = train_tokenizer(["desk lamp 台灯"] * 5, vocabulary=500)
    assert tokenizer.encode("Zyx 90").tokens[1:-1] == ["z", "##y", "##x", "9", "##0"]


def test_a_pair_of_texts_keeps_its_two_segments(shop_encoder):
    folder, *_ = shop_encoder
    assert set(load_tokenizer(folder, 24).encode("red", "lamp").type_ids) == {0, 1}


def test_the_folder_is_read_like_any_other_and_knows_its_texts(shop_encoder, tmp_path):
    folder, titles, text = shop_encoder
    text.cache = str(tmp_path)
    tokenizer = load_tokenizer(folder, text.max_tokens)
    unknown = unknown_id(tokenizer)
    assert not any(unknown in row for row in token_ids(tokenizer, titles))
    vectors = folder_vectors(titles, open_encoder(text, folder), text, kind="item", progress=False)
    alike = vectors @ vectors[titles.index("Umbrio desk lamp red")]
    assert alike[titles.index("Umbrio desk lamp white")] > alike[titles.index("恒狐 瑜伽垫 藏青")]


def test_one_seed_gives_one_encoder(tmp_path):
    texts = ["red lamp", "white lamp", "台灯", "red shoes"]
    text = TextConfig(encoder="train", train_dim=64, train_layers=1, train_steps=3)
    for name in ("one", "two"):
        train_shop_encoder(texts, [], tmp_path / name, text, seed=5)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_shop_without_texts_is_told_so(tmp_path):
    with pytest.raises(InputError, match=r"only 1 distinct texts came; check data\.item_text"):
        train_shop_encoder(["", "lamp", "lamp"], [], tmp_path, TextConfig(encoder="train"), seed=0)


def test_searches_are_paired_with_what_was_chosen_next_in_their_session():
    # User 0 searches, views, buys and searches again; user 1's purchase answers nobody's search.
    search, view, purchase = 0, 2, 5
    histories = Histories(
        offsets=np.array([0, 4, 5]),
        item=np.array([-1, 1, 2, -1, 0], dtype=np.int32),
        action=np.array([search, view, purchase, search, purchase], dtype=np.uint8),
        time=np.array([1, 2, 3, 4, 1]),
        query=np.array([0, -1, -1, 1, -1], dtype=np.int32),
        session=np.array([0, 0, 0, 0, 1]),
    )
    texts, queries = ["shoes", "mat", "lamp"], ["light", "sport"]
    ends = histories.offsets[1:]
    assert search_pairs(histories, ends, texts, queries, {"purchase": 1.0}) == [("light", "lamp")]
    assert search_pairs(histories, np.array([2, 5]), texts, queries, {"purchase": 1.0}) == []  # bought after the cut
