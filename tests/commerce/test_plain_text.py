from hypothesis import given
from hypothesis import strategies as st

from commerce.plain_text import plain


def test_case_width_white_space_and_marks_do_not_count():
    assert plain("  ＳＯＮＹ\u3000 Bravia\n") == plain("sony bravia") == "sony bravia"
    assert plain("Sony\u2122Bravia") == "sony bravia"
    assert plain("Straße") == plain("STRASSE")


@given(st.text())
def test_a_plain_text_has_single_spaces_and_no_mark(text):
    found = plain(text)
    assert found == " ".join(found.split())
    assert not {"\u2122", "\u2120"} & set(found)


@given(st.text())
def test_a_plain_text_is_plain_already(text):
    assert plain(plain(text)) == plain(text)
    assert plain(f"  {text}\t") == plain(text)
