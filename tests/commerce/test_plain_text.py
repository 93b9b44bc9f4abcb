from hypothesis import given
from hypothesis import strategies as st

from commerce.plain_text import narrow, plain


def test_case_width_white_space_and_marks_do_not_count():
    assert plain("  ＳＯＮＹ\u3000 Bravia\n") == plain("sony bravia") == "sony bravia"
    assert plain("Sony\u2122Bravia") == "sony bravia"
    assert plain("Straße") == plain("STRASSE")


def test_full_width_letters_and_digits_become_narrow_and_punctuation_stays():
    assert narrow("连衣裙，Ｍ码 １５Ｐｒｏ！ 100%") == "连衣裙，M码 15Pro！ 100%"


@given(st.text())
def test_a_narrow_text_is_plainly_the_same(text):
    assert len(narrow(text)) == len(text)
    assert plain(narrow(text)) == plain(text)


@given(st.text())
def test_a_plain_text_has_single_spaces_and_no_mark(text):
    found = plain(text)
    assert found == " ".join(found.split())
    assert not {"\u2122", "\u2120"} & set(found)


@given(st.text())
def test_a_plain_text_is_plain_already(text):
    assert plain(plain(text)) == plain(text)
    assert plain(f"  {text}\t") == plain(text)
