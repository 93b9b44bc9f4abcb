import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.graph import wrapped


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        ("Steel kettle", ["Steel kettle"]),
        ("Dunehill minimalist bamboo sports socks", ["Dunehill minimalist bamboo", "sports socks"]),
        ("龙井绿茶特级春茶明前手工炒制礼盒装", ["龙井绿茶特级春茶明前手工炒制礼盒装"]),  # 17 characters fit
        ("龙井绿茶特级春茶明前手工炒制礼盒装二百克", ["龙井绿茶特级春茶明前手工炒制礼盒装", "二百克"]),
        ("", [""]),
    ],
)
def test_titles_break_between_words_and_between_chinese_characters(title, lines):
    assert wrapped(title) == lines


@given(st.text(alphabet="ab W龙井 ", max_size=120))
def test_two_lines_at_most_and_nothing_is_lost_without_an_ellipsis(title):
    lines = wrapped(title)
    assert len(lines) <= 2
    shown = "".join(lines).replace(" ", "")
    whole = title.replace(" ", "")
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
