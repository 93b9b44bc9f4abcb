import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce import noise
from commerce.noise import KINDS, noised, noised_share

TEXTS = st.text(st.sampled_from(list("abcXYZ019 -\t鞋红电脑无线耳机é🙂")), max_size=40)
TITLES = ["Wireless over-ear headphones WH-1000XM4, black", "无线蓝牙耳机 降噪", "red shoe", "红色 running 鞋 42"]


@given(text=TEXTS, kind=st.sampled_from(KINDS), strength=st.floats(0, 1), seed=st.integers(0, 5))
def test_noise_keeps_the_number_of_words_and_is_the_same_every_time(text, kind, strength, seed):
    once = noised(text, kind, strength, seed)
    assert len(once.split()) == len(text.split())
    assert noised(text, kind, strength, seed) == once
    assert [one for one in once if one.isspace()] == [one for one in text if one.isspace()]
    assert noised(text, kind, 0.0, seed) == text


@given(text=TEXTS, seed=st.integers(0, 5))
def test_another_order_has_the_same_characters(text, seed):
    assert Counter(noised(text, "order", 1.0, seed)) == Counter(text)


@pytest.mark.parametrize("text", TITLES)
@pytest.mark.parametrize("kind", KINDS)
def test_full_strength_changes_english_and_chinese(text, kind):
    changed = {noised(text, kind, 1.0, seed) for seed in range(5)}
    assert text not in changed
    if kind != "order":  # which draws nothing else
        assert len(changed) > 1 or kind == "script"


def test_of_two_words_in_another_order_the_second_comes_first():
    assert noised("red shoe", "order", 1.0, 0) == "shoe red"
    assert noised("无线耳机", "order", 1.0, 0) == "耳机无线"


def test_a_slip_is_one_letter_dropped_doubled_swapped_or_the_key_beside():
    dropped, doubled, swapped = {"at", "ct", "ca"}, {"ccat", "caat", "catt"}, {"act", "cta"}
    beside = {"xat", "vat", "dat", "fat", "cst", "czt", "cqt", "cwt", "car", "cay", "ca5", "ca6", "cag"}
    found = {noised("cat", "typos", 1.0, seed) for seed in range(400)}
    assert found <= dropped | doubled | swapped | beside
    assert all(found & some for some in (dropped, doubled, swapped, beside))
    assert {noised("机", "typos", 1.0, seed) for seed in range(20)} == {"机机"}  # one character stays at least


def test_another_script_reads_the_same():
    found = {noised("hat case", "script", 1.0, seed) for seed in range(40)}
    assert "ｈａｔ ｃａｓｅ" in found
    assert "hаt саsе" in found  # Cyrillic а, с and е
    assert {
        unicodedata.normalize("NFKC", one).replace("а", "a").replace("с", "c").replace("е", "e") for one in found
    } == {"hat case"}
    assert noised("电脑", "script", 1.0, 0) == "電腦"
    assert noised("電腦", "script", 1.0, 0) == "电脑"
    assert len(noise._SIMPLIFIED) == len(noise._TRADITIONAL) == len(set(noise._SIMPLIFIED))
    assert not set(noise._SIMPLIFIED) & set(noise._TRADITIONAL)


def test_strength_is_the_share_of_words_that_change():
    words = [f"word{number}" for number in range(2000)]
    for kind in ("typos", "script"):
        changed = [
            one != other for one, other in zip(words, noised(" ".join(words), kind, 0.3, 1).split(), strict=True)
        ]
        assert sum(changed) / len(words) == pytest.approx(0.3, abs=0.04)


def test_a_share_of_texts_gets_noise_of_every_kind():
    texts = [f"product number {number} of the shop" for number in range(3000)]
    changed = [noised_share(text, 0.4, 1.0, 0) != text for text in texts]
    assert sum(changed) / len(texts) == pytest.approx(0.4, abs=0.03)
    assert [noised_share(text, 0.0, 1.0, 0) for text in texts] == texts
    kinds = {
        kind for kind in KINDS for text in texts[:200] if noised_share(text, 1.0, 1.0, 0) == noised(text, kind, 1.0, 0)
    }
    assert kinds == set(KINDS)
