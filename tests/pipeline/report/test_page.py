"""The page of a tiny run: whole, offline, without ids, with every foreign word escaped."""

from html.parser import HTMLParser
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.report.compose import write_report
from pipeline.run_folder import RunFolder

NETWORK = ("src", "href", "srcset", "action", "data", "poster", "background")
HEADINGS = ("h1", "h2", "h3", "h4")


class Tags(HTMLParser):
    """Notes tags with their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(tiny_run):
    run, _ = tiny_run
    return (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page).tags


@pytest.fixture
def changed(tiny_run, tmp_path):
    """A run folder like the tiny one, whose file of titles may be written anew."""
    run, _ = tiny_run
    for path in run.folder.iterdir():
        if path.name not in ("ingest", "report.html"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "ingest").mkdir()
    for path in (run.folder / "ingest").iterdir():
        if path.name != "items.parquet":
            (tmp_path / "ingest" / path.name).symlink_to(path)
    pq.write_table(pq.read_table(run.folder / "ingest" / "items.parquet"), tmp_path / "ingest" / "items.parquet")
    return RunFolder(tmp_path)


def test_the_stage_publishes_it_and_says_where(tiny_run, page):
    run, said = tiny_run
    assert f"report: {run.folder / 'report.html'}" in said
    assert len(page) < 8_000_000


def test_it_names_every_system_and_the_terms(tiny_run, page):
    run, _ = tiny_run
    metrics = run.metrics()
    for word in (*metrics["systems"], *metrics["segments"].keys()):
        assert word.partition(": ")[2] in page
        assert word.partition(": ")[0] in page
    assert f"{metrics['requests']:,} requests of {metrics['users']:,} users" in page
    assert metrics["hardware"] in page


def test_it_shows_twenty_users_without_any_id(tiny_run, page):
    run, _ = tiny_run
    assert page.count('<details class="person"') == 20
    ids = pq.read_table(run.folder / "ingest" / "user_ids.parquet")["id"].to_pylist()
    assert len(ids) >= 300
    assert [user for user in ids if str(user) in page] == []


def test_it_loads_nothing_from_the_network(page, tags):
    targets = [(name, attributes[name]) for _, attributes in tags for name in NETWORK if name in attributes]
    assert [target for target in targets if not target[1].startswith(("#", "data:"))] == []
    assert "@import" not in page.partition("</style>")[0]
    assert "url(" not in page.partition("</style>")[0]


def test_links_lead_to_places_on_the_page(tags):
    places = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(places) == len(set(places))
    links = {attributes["href"][1:] for tag, attributes in tags if tag == "a"}
    assert links <= set(places)


def test_headings_leave_out_no_level(tags):
    levels = [HEADINGS.index(tag) for tag, _ in tags if tag in HEADINGS]
    assert levels.count(0) == 1
    assert max(b - a for a, b in pairwise(levels)) == 1


def test_every_plot_says_what_it_shows_and_has_its_numbers_as_a_table(page, tags):
    plots = [attributes for _, attributes in tags if "data-plot" in attributes]
    assert len(plots) >= 10
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in plots)
    assert page.count("<summary>The numbers</summary>") == len(plots)


def test_what_lists_are_made_of_is_drawn_beside_popularity(tags):
    plots = [attributes["id"] for _, attributes in tags if "data-plot" in attributes]
    after = plots[plots.index("main-popularity") + 1 :][:4]
    assert after == [
        f"main-{name}" for name in ("category-diversity", "vector-diversity", "tail-share", "exposure-parity")
    ]


def test_it_says_what_each_candidate_source_adds(tiny_run, page):
    sources = tiny_run[0].metrics()["sources"]
    card = page.partition('id="main-sources"')[2].partition("</section>")[0]
    assert sources["sources"]
    for name, source in sources["sources"].items():
        assert f'<th scope="row">{name}</th>' in card
        assert f"{source['recall']['value']:+.4f}" in card
    assert f"{sources['requests']:,} requests of {sources['users']:,} users" in card


def test_titles_with_markup_are_shown_not_run(changed):
    path = changed.root / "ingest" / "items.parquet"
    items = pq.read_table(path)
    place = items.schema.get_field_index("title")
    evil = pa.array(['</script><script>alert("1")</script><b>&'] * len(items))
    pq.write_table(items.set_column(place, "title", evil), path)
    text = write_report(changed, changed.root / "evaluate", seed=0).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&lt;b&gt;&amp;" in text


def test_items_without_a_title_are_shown_by_their_code(changed):
    path = changed.root / "ingest" / "items.parquet"
    items = pq.read_table(path)
    place = items.schema.get_field_index("title")
    none = pc.if_else(pa.scalar(False), items["title"], pa.scalar(None, pa.string()))
    pq.write_table(items.set_column(place, "title", none), path)
    text = write_report(changed, changed.root / "evaluate", seed=0).read_text(encoding="utf-8")
    assert "item without a title (" in text


def test_the_same_run_makes_the_same_page(changed, page):
    seed = 0
    assert write_report(changed, changed.root / "evaluate", seed).read_text(encoding="utf-8") == page


def test_a_run_measured_twice_has_both_parts(changed):
    for name in ("evaluate", "retrieve"):
        folder = (changed.root / name).resolve()
        (changed.root / name).unlink()
        (changed.root / name).mkdir()
        for path in folder.iterdir():
            (changed.root / name / path.name).symlink_to(path)
    evaluated = changed.root / "evaluate"
    (evaluated / "metrics_new_items.json").symlink_to(evaluated / "metrics.json")
    (evaluated / "rankings_new_items").symlink_to(evaluated / "rankings")
    (changed.root / "retrieve" / "test_new.parquet").symlink_to(changed.root / "retrieve" / "test.parquet")
    found = Tags(write_report(changed, evaluated, seed=0).read_text(encoding="utf-8")).tags
    parts = [attributes["id"] for tag, attributes in found if tag == "section" and attributes["class"] == "part"]
    assert parts == ["main", "new-items", "models", "words"]
    places = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(places) == len(set(places))
