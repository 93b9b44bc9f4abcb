"""What a tower answers with: vectors of two texts a product, and queries that move."""

from dataclasses import replace

import numpy as np
import pytest

from commerce.pairs import Pairs
from configs.schema import RelevanceConfig, TextConfig
from learning.encode import folder_vectors
from learning.encoder_folder import open_encoder
from learning.language_model import load_text_encoder
from learning.shop_encoder import train_shop_encoder
from pipeline.relevance.answers import Products, folder_answers, tower_scores
from retrieval.feedback import unit, with_feedback

SHORT = ["red lamp", "red lamp", "", "blue chair", "red lamp"]
WHOLE = ["red lamp of oak", "red lamp of tin", "a stool", "", "red lamp of oak"]
PAIRS = Pairs(
    row=np.arange(5),
    query=np.array([0, 0, 1, 1, 1], np.int32),
    queries=["lamp", "chair"],
    tower_text=SHORT,
    cross_text=WHOLE,
    grade=np.ones(5, np.float32),
    weight=np.ones(5, np.float32),
    fold=np.zeros(5, np.int32),
    drawn=np.zeros(5),
    held_out=np.zeros(5, bool),
)
SETTINGS = RelevanceConfig(precision="fp32", tower_tokens=8, tower_whole_tokens=16, tower_feedback=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    text = TextConfig(encoder="train", precision="fp32", max_tokens=16, train_dim=64, train_layers=1, train_steps=2)
    train_shop_encoder([*SHORT, *WHOLE, "lamp chair"], [], folder / "encoder", text, seed=0)
    return replace(text, encoder=str(folder / "encoder"), cache=str(folder / "cache"))


def read(text, texts, kind, most):
    told = replace(text, max_tokens=most)
    return folder_vectors(texts, open_encoder(told), told, kind=kind, progress=False)


def scores(text, settings):
    folder = open_encoder(text)
    return tower_scores(PAIRS, load_text_encoder(folder), folder, settings, np.arange(5))


def test_a_product_is_both_of_its_texts_and_an_empty_one_is_the_other():
    products = Products.of(PAIRS)
    assert products.short == ["red lamp", "red lamp", "a stool", "blue chair"]
    assert products.whole == ["red lamp of oak", "red lamp of tin", "a stool", "blue chair"]
    assert products.place.tolist() == [0, 1, 2, 3, 0]


def test_without_the_whole_text_and_feedback_a_pair_scores_the_cosine_of_query_and_title(text):
    plain = replace(SETTINGS, tower_whole_tokens=0, tower_feedback=0)
    asked, known = read(text, PAIRS.queries, "query", 8), read(text, ["red lamp", "a stool", "blue chair"], "item", 8)
    expected = (asked[PAIRS.query] * known[[0, 0, 1, 2, 0]]).sum(axis=1)
    assert scores(text, plain) == pytest.approx(expected, abs=1e-5)


def test_a_product_lies_in_the_middle_of_its_texts_and_a_query_moves_among_them(text):
    products = Products.of(PAIRS)
    known = unit(read(text, products.short, "item", 8) + read(text, products.whole, "item", 16))
    asked = with_feedback(read(text, PAIRS.queries, "query", 8), known, 2, 0.3, 20.0)
    expected = (asked[PAIRS.query] * known[products.place]).sum(axis=1)
    assert scores(text, SETTINGS) == pytest.approx(expected, abs=1e-5)
    still = scores(text, replace(SETTINGS, tower_feedback=0))
    assert np.abs(still - expected).max() > 1e-4


def test_the_untuned_encoder_answers_the_same_way(text):
    asked, known = folder_answers(Products.of(PAIRS), PAIRS.queries, text, SETTINGS)
    expected = (asked[PAIRS.query] * known[Products.of(PAIRS).place]).sum(axis=1)
    assert scores(text, SETTINGS) == pytest.approx(expected, abs=1e-5)


def test_some_rows_score_as_they_do_among_all(text):
    folder = open_encoder(text)
    some = tower_scores(PAIRS, load_text_encoder(folder), folder, SETTINGS, np.array([4, 1]))
    assert some == pytest.approx(scores(text, SETTINGS)[[4, 1]], abs=1e-6)
