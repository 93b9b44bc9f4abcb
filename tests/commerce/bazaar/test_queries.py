import numpy as np

from commerce.bazaar.queries import NO_BRAND, NO_STYLE, number_of, text_of, understand
from commerce.bazaar.words import BRANDS, LEAVES, STYLES


def test_words_are_understood_as_they_were_meant():
    random = np.random.default_rng(0)
    leaf = random.integers(0, len(LEAVES), 200)
    brand = random.integers(0, len(BRANDS) + 1, 200)
    style = random.integers(0, len(STYLES) + 1, 200)
    numbers = number_of(leaf, brand, style, random.integers(0, 2, 200), random.integers(0, 2, 200))
    meaning = understand([text_of(int(number)) for number in numbers])
    assert np.array_equal(meaning.leaf, leaf)
    assert np.array_equal(meaning.brand, np.where(brand == NO_BRAND, -1, brand))
    assert np.array_equal(meaning.style, np.where(style == NO_STYLE, -1, style))


def test_a_query_reads_naturally_in_both_languages():
    assert text_of(int(number_of(0, 0, 1, 0, 0))) == "Aurora vintage running shoes"
    assert text_of(int(number_of(0, 0, 1, 0, 1))) == "极光复古跑步鞋"


def test_words_of_another_shop_mean_nothing():
    meaning = understand(["left-handed screwdriver", ""])
    assert (meaning.leaf == -1).all()
    assert (meaning.brand == -1).all()
