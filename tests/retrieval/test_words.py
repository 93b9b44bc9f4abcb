from hypothesis import given
from hypothesis import strategies as st

from retrieval.words import words


def test_texts_become_words_in_both_languages():
    assert words("Red SHOES, 3.5mm!") == ["red", "shoes", "3", "5mm"]
    assert words("Nike跑步鞋") == ["nike", "跑步", "鞋"]
    assert words(" ,. - ") == []


def test_what_hyphens_join_is_kept_whole_in_parts_and_without_them():
    assert words("WH-1000XM4") == ["wh-1000xm4", "wh", "1000xm4", "wh1000xm4"]
    assert words("a T-shirt-") == ["a", "t-shirt", "t", "shirt", "tshirt"]


def test_digits_alone_are_not_joined_to_another_number():
    assert words("age 3-4") == ["age", "3-4", "3", "4"]


def test_width_and_the_kind_of_hyphen_do_not_count():
    assert words("ＷＨ－１０００ＸＭ４") == words("wh‑1000xm4") == words("WH-1000XM4")
    assert words("索尼WH-1000XM4耳机")[1:5] == words("WH-1000XM4")


def test_a_trade_mark_is_no_part_of_the_name():
    assert words("Sony™ BRAVIA® LED") == words("Sony BRAVIA LED")
    assert words("™") == []


@given(st.text())
def test_words_are_plain_and_case_does_not_count(text):
    found = words(text)
    assert all(word.strip("-") == word and not word.isspace() and word for word in found)
