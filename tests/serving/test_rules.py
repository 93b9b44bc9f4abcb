"""The shop's own rules in a bundle's answers; what they do to a list, tests/ranking/test_after.py says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from configs.load import load_config
from pipeline.asking import Shop
from pipeline.run_folder import RunFolder
from pipeline.shop_rules import arrange_lists, read_rules
from ranking.after import Rules
from serving.contents import RULES
from serving.new_items import add_items
from serving.requests import Request
from serving.runtime import Runtime

ASKED = {"after.per_category": 1, "after.pinned": "{i000007: 2}", "after.suppressed": "[i000001]"}


def rules_of(shop_config, **asked):
    config = load_config(shop_config[0], [*shop_config[1:], *(f"{name}={value}" for name, value in asked.items())])
    return read_rules(RunFolder(Path(config.run.folder)), config)


@pytest.fixture
def ruled(exported, bundle, shop_config):
    """A copy of the bundle with rules in it."""
    rules = rules_of(shop_config, **ASKED)
    rules.save(bundle / RULES)
    return rules, Runtime(bundle, check=False)


def test_answers_keep_the_rules_and_one_variant_a_list(ruled):
    rules, runtime = ruled
    answer = runtime.recommend(events=[], k=10)
    shown = [item.item_id for item in answer.items]
    codes = [runtime.contents.item_ids.code(item) for item in shown]
    assert shown[1] == "i000007"
    assert "i000001" not in [runtime.item_id(item) for item in runtime.trace(Request(events=(), k=80)).items]
    assert len(set(rules.category[codes])) == 10
    assert len(set(runtime.contents.variants[codes])) == 10
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)


def test_a_pinned_item_that_a_filter_keeps_out_is_not_shown_and_the_answer_says_so(ruled):
    answer = ruled[1].recommend(events=[], exclude=["i000007"])
    assert "i000007" not in [item.item_id for item in answer.items]
    assert any("pinned item may not be shown" in note for note in answer.notes)


def test_rank_and_runtime_arrange_alike(exported, ruled, shop_config):
    rules, runtime = ruled
    run = exported[0]
    from commerce.records import Requests

    requests = Requests.read(run.folder / "prepare" / "requests.parquet").of("test")
    requests = requests.where(np.arange(len(requests)) < 5)
    shop = Shop.open(run.folder / "prepare", {"view": 1.0})
    for row in range(len(requests)):
        user = run_user(run, int(requests.user[row]))
        query = int(requests.query[row])
        asked = Request(user, query=shop.queries[query] if query >= 0 else "", time=int(requests.time[row]))
        trace = runtime.trace(asked)
        before = np.pad(trace.ranked, (0, 1), constant_values=-1)[None]
        scores = np.where(before >= 0, -np.arange(before.shape[1], dtype=np.float32), -np.inf).astype(np.float32)
        scores[0, : len(trace.ranked)] = runtime_scores(runtime, asked)
        one = requests.where(np.arange(len(requests)) == row)
        arranged = arrange_lists(
            (before, scores),
            rules,
            one,
            shop,
            runtime.contents.item_vectors,
            runtime.contents.variants,
            filter_seen=False,
        )
        assert arranged.items[0][arranged.items[0] >= 0].tolist() == trace.items.tolist()


def runtime_scores(runtime, asked):
    """Return the scores before the rules: those of the same bundle without them."""
    plain = Runtime(runtime.folder, check=False)
    plain.contents.__dict__["rules"] = None
    return plain.trace(asked).scores


def run_user(run, code):
    import pyarrow.parquet as pq

    return pq.read_table(run.folder / "ingest" / "users.parquet")["user_id"].to_pylist()[code]


def test_items_added_later_stand_under_the_rules(exported, bundle, shop_config, tmp_path):
    rules = rules_of(shop_config, **ASKED)
    rules.save(bundle / RULES)
    from serving.golden import record_again
    from serving.manifest import read_manifest, seal

    manifest = read_manifest(bundle)
    facts = {name: value for name, value in manifest.items() if name not in ("format", "files", "golden")}
    seal(bundle, {**facts, "golden": []})
    runtime = Runtime(bundle)
    seal(bundle, {**facts, "golden": record_again(runtime, runtime, manifest["golden"])})
    category = str(rules.category_names[0])
    (tmp_path / "new.csv").write_text(f"item_id,title,category\nnew1,A thing,Any > {category}\nnew2,Another,\n")
    add_items(bundle, tmp_path / "new.csv")
    grown = Rules.load(bundle / RULES)
    assert grown.category[-2:].tolist() == [0, -1]
    assert len(grown.group) == len(grown.category) == Runtime(bundle).items


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"after.pinned": "{i00007: 2}"}, r"after.pinned names 'i00007', which the shop does not have; did you mean"),
        ({"after.suppressed": "[nothing]"}, "after.suppressed names 'nothing'"),
        (
            {
                "after.floors": "{independant: 0.2}",
                "data.item_categorical": "[category,brand,seller_group]",
                "evaluate.item_group": "seller_group",
            },
            "did you mean independent",
        ),
    ],
)
def test_rules_about_what_the_shop_does_not_have_are_refused(exported, shop_config, asked, said):
    with pytest.raises(InputError, match=said):
        rules_of(shop_config, **asked)


def test_rules_that_contradict_themselves_are_refused(shop_config):
    for asked, said in (
        ({"after.pinned": "{i000007: 12}"}, "from 1 to after.top=10"),
        ({"after.pinned": "{i000007: 2, i000008: 2}"}, "a place of its own"),
        ({"after.pinned": "{i000007: 2}", "after.suppressed": "[i000007]"}, "choose one"),
        ({"after.floors": "{a: 0.7, b: 0.4}"}, "add up to 1"),
        ({"after.floors": "{a: 0.7}"}, "evaluate.item_group"),
        ({"after.diversity": 1}, "after.diversity"),
        ({"after.per_category": 1, "data.item_category": ""}, "data.item_category"),
    ):
        with pytest.raises(InputError, match=said):
            rules_of(shop_config, **asked)


def test_no_rules_are_no_file(exported):
    assert not (exported[0].folder / "bundle" / RULES).exists()
    assert Runtime(exported[0].folder / "bundle").contents.rules is None


def test_a_rule_taken_out_is_off(shop_config, exported):
    rules = rules_of(shop_config, **ASKED)
    assert rules.active == ("categories", "pins", "suppressed")
    assert replace(rules, per_category=0).active == rules.without("categories").active == ("pins", "suppressed")
