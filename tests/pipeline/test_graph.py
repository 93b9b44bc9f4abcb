"""``mercato graph`` on a run of six items: 8 of a word each, one of them new, one that nothing goes with."""

import json
import re

import pyarrow as pa
import pytest
from click.testing import CliRunner

from commerce.records import GRAPH, write_table
from pipeline.graph import graph

TITLES = {
    "kettle/1": "Steel kettle, 1.7 l",
    "tea": "龙井绿茶 特级 春茶 明前 手工炒制 礼盒装 二百五十克 杭州西湖产区",
    "cup": "<b>Cup</b> & saucer",
    "pot": "Kettle of iron",
    "new": "Glass kettle",
    "lone": "Umbrella",
}
EDGES = [
    ("kettle/1", "tea", "complement", "cosine", 0.5, 9, "log"),
    ("kettle/1", "tea", "complement", "swing", 3.0, 9, "log"),
    ("kettle/1", "cup", "complement", "cosine", 0.25, 4, "log"),
    ("kettle/1", "cup", "complement", "declared", 1.0, 0, "declared"),
    ("kettle/1", "pot", "substitute", "cosine", 0.125, 1234, "log"),
    ("new", "kettle/1", "substitute", "text", 0.75, 0, "text"),
    ("new", "tea", "complement", "text", 0.375, 0, "text"),
]


@pytest.fixture
def run(tmp_path):
    for stage in ("prepare", "retrieve"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "manifest.json").write_text("{}")
    lines = [json.dumps({"item_id": item, "title": title}, ensure_ascii=False) for item, title in TITLES.items()]
    (tmp_path / "prepare" / "item_fields.jsonl").write_text("\n".join(lines), encoding="utf-8")
    columns = dict(zip(GRAPH.names, map(list, zip(*EDGES, strict=True)), strict=True))
    write_table(pa.table(columns), GRAPH, "graph", tmp_path / "retrieve" / "graph.parquet")
    return tmp_path


def page(run, *arguments):
    done = CliRunner().invoke(graph, [str(run), *arguments])
    assert done.exit_code == 0, done.exception
    return done.output, (run / "graph" / f"{arguments[0].replace('/', '%2F')}.html").read_text(encoding="utf-8")


def drawn(html):
    """Of each fan: its title, and the ids of its lines' kinds and dashes."""
    figures = re.findall(r'<figure class="figure fan">(.*?)</figure>', html, flags=re.DOTALL)
    return [(re.search(r"<figcaption>(.*?) <small>", one)[1], one) for one in figures]


def test_the_page_draws_each_kind_and_loads_nothing(run):
    said, html = page(run, "kettle/1")
    assert "Steel kettle, 1.7 l; neighbours: 2 of kind complement, 1 of kind substitute" in said
    fans = drawn(html)
    assert [title for title, _ in fans] == ["Goes with it", "Looked at instead"]
    assert fans[0][1].count('class="edge complement"') == 2
    assert "1,234 users, cosine 0.125" in fans[1][1]
    assert not re.search(r'(?:src|href)="(?!#|data:)|https?://|@import|<script', html)
    # The file name keeps what no file may be called.
    assert [path.name for path in (run / "graph").iterdir()] == ["kettle%2F1.html"]


def test_what_the_shop_declares_comes_first_and_an_item_once(run):
    _, html = page(run, "kettle/1")
    complements = drawn(html)[0][1]
    assert complements.index("&lt;b&gt;Cup&lt;/b&gt; &amp; saucer") < complements.index("龙井")
    assert complements.count('class="leaf complement"') == 2
    assert complements.count('class="inside"') == 1
    assert "<b>Cup" not in html


def test_the_same_edges_give_the_same_page(run):
    assert page(run, "kettle/1") == page(run, "kettle/1")


def test_the_measure_and_the_number_are_choices(run):
    said, html = page(run, "kettle/1", "--measure", "swing", "-k", "1")
    assert "1 of kind complement" in said
    assert "swing" in html
    assert "substitute" not in said  # nothing is counted by swing there


def test_an_item_that_nobody_met_is_said_to_be_guessed_by_its_text(run):
    _, html = page(run, "new")
    assert "Nobody met this item" in html
    assert html.count('stroke-dasharray="6 5"') == 2
    assert "Nobody met this item" not in page(run, "kettle/1")[1]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("kettle/2", r"knows no item 'kettle/2'; near ids are kettle/1"),
        ("42", r"knows no item '42'; its ids look like kettle/1, tea, cup, pot, new"),
        ("lone", r"item 'lone' has no edges in .*graph\.parquet: too few users met it .*\(graph\.min_support\)"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_message(run, item, message):
    done = CliRunner().invoke(graph, [str(run), item])
    assert done.exit_code != 0
    assert re.search(message, str(done.exception))
    assert "\n" not in str(done.exception)


def test_a_run_without_a_graph_says_how_to_get_one(run):
    (run / "retrieve" / "graph.parquet").unlink()
    done = CliRunner().invoke(graph, [str(run), "tea"])
    assert "run `mercato retrieve CONFIG` with graph.neighbours above 0" in str(done.exception)
