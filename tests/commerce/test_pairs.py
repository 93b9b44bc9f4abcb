"""The table of graded pairs: what is read, what is put aside and why, and who is in which fold."""

import json

import numpy as np
import pytest

from commerce.checks import refuse_over_share
from commerce.pairs import Pairs, check_pairs, fold_numbers, lay_pairs
from configs.errors import InputError
from configs.schema import RelevanceConfig

LONG = "word " * 10_000


def settings(path, **changed):
    return RelevanceConfig(pairs=str(path), **changed)


def written(folder, rows, name="pairs.jsonl"):
    file = folder / name
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def pair(query="lamp", title="red lamp", grade=1, **others):
    return {"query": query, "title": title, "grade": grade, **others}


def read(warehouse, asked, seed=0):
    checked, notes = check_pairs(warehouse, asked)
    bad = {row["row"]: row["reason"] for row in checked.bad.to_pyarrow().to_pylist()}
    return lay_pairs(checked.good, asked, seed), bad, notes


def test_what_cannot_be_used_is_put_aside_with_its_reason(warehouse, tmp_path):
    rows = [
        pair(),
        pair(query="  "),
        pair(title=""),
        pair(title=None),
        pair(grade="good"),
        pair(grade="NaN"),
        pair(grade=-1),
        pair(grade=31),
        pair(grade="2.5", title="lamp 😀 台灯"),
        pair(title=LONG),
    ]
    found, bad, _ = read(warehouse, settings(written(tmp_path, rows)))
    assert bad == {
        1: "no query",
        2: "no product text",
        3: "no product text",
        4: "grade is no number",
        5: "grade is no number",
        6: "grade below 0",
        7: "grade above 30",
    }
    assert found.row.tolist() == [0, 8, 9]
    assert found.grade.tolist() == [1.0, 2.5, 1.0]
    assert found.tower_text[1] == "lamp 😀 台灯"
    assert len(found.tower_text[2].split()) == 10_000


def test_a_table_may_lack_descriptions_and_is_told_so(warehouse, tmp_path):
    rows = [pair(), pair(title="chair", description="wood")]
    with_it, _, notes = read(warehouse, settings(written(tmp_path, rows)))
    assert (with_it.tower_text, with_it.cross_text) == (["red lamp", "chair"], ["red lamp", "chair wood"])
    assert notes == []
    without, _, notes = read(warehouse, settings(written(tmp_path, [pair()])))
    assert without.cross_text == ["red lamp"]
    assert notes == ["the pairs table has no column description: product texts are made without it"]


def test_bad_rows_above_the_share_stop_the_run_and_name_the_first(warehouse, tmp_path):
    checked, _ = check_pairs(warehouse, settings(written(tmp_path, [pair(), pair(grade="good"), pair(grade="bad")])))
    with pytest.raises(InputError, match=r"2 of 3 rows put aside: 2 grade is no number \(first: row 1\)"):
        refuse_over_share(checked, 0.01, "quarantine.parquet")


def test_the_tables_own_columns_and_words_for_grades(warehouse, tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("q,name,label,text\nlamp,red lamp,E,bright\nlamp,chair,I,\nlamp,fan,?,cool\n")
    asked = settings(
        file,
        columns={"query": "q", "title": "name", "grade": "label"},
        grades={"E": 3.0, "I": 0.0},
        cross_text=["title", "text"],
    )
    found, bad, _ = read(warehouse, asked)
    assert bad == {2: "grade not in relevance.grades"}
    assert found.grade.tolist() == [3.0, 0.0]
    assert found.cross_text == ["red lamp bright", "chair"]
    assert found.tower_text == ["red lamp", "chair"]


def test_a_title_may_be_empty_where_other_text_is_read(warehouse, tmp_path):
    rows = [pair(title="", description="a lamp"), pair(title="", description="")]
    asked = settings(written(tmp_path, rows), tower_text=["title"])
    found, bad, _ = read(warehouse, asked)
    assert bad == {1: "no product text"}
    assert (found.tower_text, found.cross_text) == ([""], ["a lamp"])


def test_queries_that_differ_in_case_width_or_space_alone_are_one(warehouse, tmp_path):
    rows = [pair(query="Red  Lamp"), pair(query="red lamp "), pair(query="ｒｅｄ lamp"), pair(query="lamp")]
    found, _, _ = read(warehouse, settings(written(tmp_path, rows)))
    assert found.query.tolist() == [0, 0, 0, 1]
    assert found.queries == ["Red Lamp", "lamp"]


def test_a_grade_weighs_less_the_more_its_judges_differed(warehouse, tmp_path):
    rows = [pair(weight=2, variance=0), pair(weight=2, variance=1), pair(weight=0), pair(weight=1, variance=-1)]
    found, bad, _ = read(warehouse, settings(written(tmp_path, rows)))
    assert found.weight.tolist() == pytest.approx([4 / 3, 2 / 3])  # 2 and 1, scaled to a mean of 1
    assert bad == {2: "weight not above 0", 3: "variance below 0"}


def test_every_pair_of_a_query_is_in_one_fold_and_one_seed_gives_one_answer(warehouse, tmp_path):
    rows = [pair(query=f"query {number % 200}", title=f"title {number}") for number in range(600)]
    asked = settings(written(tmp_path, rows), validation_share=0.25)
    one, _, _ = read(warehouse, asked)
    for part in (one.fold, one.held_out, one.drawn):
        assert all(len(set(part[one.query == code].tolist())) == 1 for code in range(200))
    assert set(one.fold.tolist()) == {0, 1, 2, 3, 4}
    again, _, _ = read(warehouse, asked)
    other, _, _ = read(warehouse, asked, seed=1)
    assert np.array_equal(one.fold, again.fold)
    assert not np.array_equal(one.fold, other.fold)
    # Whether a query is held out has nothing to do with its fold: each fold holds some of both.
    assert all(0 < one.held_out[one.fold == fold].mean() < 1 for fold in range(5))


def test_the_tables_own_folds_count_and_none_may_part_a_query(warehouse, tmp_path):
    rows = [pair(query="a", fold=3), pair(query="b", fold=7), pair(query="c", fold="x"), pair(query="d", fold=1.5)]
    asked = settings(written(tmp_path, rows))
    found, bad, _ = read(warehouse, asked)
    assert (found.fold.tolist(), bad) == ([3, 7], {2: "fold is no number", 3: "fold is no number"})
    assert fold_numbers(found, asked) == [3, 7]
    parted = settings(written(tmp_path, [pair(query="a", fold=1), pair(query="A", fold=2), pair(query="b", fold=2)]))
    with pytest.raises(InputError, match=r"1 of 2 queries into several folds \(first: 'a', in 1 and 2\)"):
        read(warehouse, parted)


def test_folds_that_cannot_be_measured_are_refused(warehouse, tmp_path):
    asked = settings(written(tmp_path, [pair(query="a", fold=0), pair(query="b", fold=1)]))
    found, _, _ = read(warehouse, asked)
    asked.measured_folds = [1]
    assert fold_numbers(found, asked) == [1]
    asked.measured_folds = [2]
    with pytest.raises(InputError, match=r"relevance\.measured_folds names 2, which holds no query"):
        fold_numbers(found, asked)
    alone, _, _ = read(warehouse, settings(written(tmp_path, [pair(fold=0)])))
    with pytest.raises(InputError, match="all 1 queries are in fold 0, so none is left to train on"):
        fold_numbers(alone, settings("unused"))


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        ([{"query": "a", "name": "b", "grade": 1}], {}, "the pairs table has no column title"),
        ([pair()], {"columns": {"grade": "labl"}}, "relevance.columns.grade=labl: the pairs table has no column labl"),
        ([pair()], {"tower_text": ["title", "brand"]}, "the pairs table has no column brand"),
    ],
)
def test_a_missing_column_is_named_before_any_work(warehouse, tmp_path, rows, changed, message):
    with pytest.raises(InputError, match=message):
        check_pairs(warehouse, settings(written(tmp_path, rows), **changed))


def test_no_table_and_an_empty_one_are_refused(warehouse, tmp_path):
    with pytest.raises(InputError, match=r"relevance\.pairs is not set"):
        check_pairs(warehouse, RelevanceConfig())
    (tmp_path / "empty.csv").write_text("query,title,grade\n")
    with pytest.raises(InputError, match="the pairs table is empty"):
        check_pairs(warehouse, settings(tmp_path / "empty.csv"))


def test_pairs_are_read_back_as_they_were(warehouse, tmp_path):
    found, _, _ = read(warehouse, settings(written(tmp_path, [pair(query="b"), pair(query="a"), pair(query="B")])))
    found.write(tmp_path / "pairs.parquet")
    again = Pairs.read(tmp_path / "pairs.parquet")
    assert (again.queries, again.tower_text, again.texts) == (["b", "a"], found.tower_text, ["b", "a", "b"])
    assert np.array_equal(again.query, found.query)
