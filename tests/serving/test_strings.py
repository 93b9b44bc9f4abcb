import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.strings import Strings


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=30))
def test_codes_and_strings_find_each_other(strings):
    table = Strings.of(strings)
    assert [table[code] for code in range(len(table))] == strings
    assert [table.code(string) for string in strings] == list(range(len(strings)))


def test_an_unknown_string_has_code_minus_one():
    table = Strings.of(["b", "a", "丝绸"])
    assert table.code("c") == -1
    assert table.code("") == -1
    assert Strings.of([]).code("a") == -1


def test_what_is_saved_is_opened_again(tmp_path):
    Strings.of(["b", "a", "丝绸"]).save(tmp_path / "ids")
    table = Strings.open(tmp_path / "ids")
    assert table.code("丝绸") == 2
    assert table[0] == "b"
    with pytest.raises(IndexError):
        table[3]


def test_empty_tables_are_saved_too(tmp_path):
    Strings.of([]).save(tmp_path / "ids")
    assert len(Strings.open(tmp_path / "ids")) == 0
