import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from pipeline.cli import commands
from serving.explain import explain, is_sensitive
from serving.explain_command import explanation_lines
from serving.requests import Event, Request
from serving.runtime import Runtime
from serving.score_parts import score_parts

DAY = 86_400 * 1_000_000


@pytest.fixture(scope="module")
def runtime(exported):
    return Runtime(exported[0].folder / "bundle")


@pytest.fixture(scope="module")
def asked(exported, runtime):
    """A request of somebody with a history, a profile and search terms."""
    users = pq.read_table(exported[0].folder / "ingest" / "users.parquet")["user_id"].to_pylist()
    longest = max(users[:40], key=lambda user: len(runtime.trace(Request(user)).visible.events))
    return Request(longest, query="yoga mat")


def test_worths_and_popularity_add_up_to_how_far_the_item_was_lifted(runtime, asked):
    listed = runtime.trace(asked)
    found = explain(runtime, asked, runtime.item_id(int(listed.items[2])))
    assert found.place == 3
    assert found.shown
    assert not found.why_not
    deep = runtime.trace(replace(asked, k=runtime.items))
    place = int(np.flatnonzero(deep.ranked == listed.items[2])[0]) + 1
    told = sum(reason.worth for reason in (*found.reasons, *found.against))
    # The middle of the whole list is where an item of which nothing is said would stand; what speaks for nobody, or
    # less than a hundredth of a doubling, is left out.
    lifted = np.log2(runtime.items / 2 / place)
    assert told == pytest.approx(lifted, abs=0.06) or "popular" not in {reason.kind for reason in found.reasons}
    worths = [reason.worth for reason in found.reasons]
    assert worths == sorted(worths, reverse=True)


def test_a_purchase_repeated_weekly_is_the_reason_for_the_item(runtime):
    end = int(runtime.manifest["window"]["end"])
    weekly = [Event("purchase", end - week * 7 * DAY, "i000005") for week in range(1, 5)]
    found = explain(runtime, Request(events=tuple(weekly), user=None), "i000005")
    assert found.reasons[0].kind == "again"
    assert "bought it before" in found.reasons[0].words
    assert "the user met it before" in [one.source for one in found.found_by]
    # One of four alike need not bring the user nearer; the only one does.
    once = explain(runtime, Request(events=tuple(weekly[:1]), user=None), "i000005")
    assert "bought" in once.events[0].words


def test_parts_of_a_blended_score_add_up_to_it(runtime, asked):
    request = replace(asked, k=80)
    trace = runtime.trace(request, rerank=False)
    item = int(trace.items[4])
    parts = score_parts(runtime, request, trace, item)
    assert sum(part.value for part in parts) == pytest.approx(float(trace.scores[4]), rel=1e-5)
    assert all(part.words.startswith("found: ") for part in parts)


def test_features_are_told_where_the_reranker_read_the_item(runtime, asked):
    trace = runtime.trace(asked)
    words = [part.words for part in score_parts(runtime, asked, trace, int(trace.items[0]))]
    assert any(not said.startswith("found: ") for said in words)
    last = int(trace.found.items[0][trace.reranked])  # the first that it did not read
    assert all(part.words.startswith("found: ") for part in score_parts(runtime, asked, trace, last))


def test_a_reranker_that_reads_no_intent_owes_nothing_to_it(exported, asked):
    runtime = Runtime(exported[0].folder / "bundle")
    trace = runtime.trace(asked)
    other = replace(trace, intents=np.roll(trace.intents, 1))
    item = int(trace.items[0])
    assert score_parts(runtime, asked, trace, item) != score_parts(runtime, asked, other, item)
    runtime.contents.reranker_reads -= {"intent"}
    assert score_parts(runtime, asked, trace, item) == score_parts(runtime, asked, other, item)


def test_why_an_item_is_not_there(runtime, asked):
    far = runtime.item_id(int(runtime.trace(asked).items[30]))
    assert explain(runtime, asked, far).why_not == ("it stands at place 31, and 10 items were asked for",)
    cases = [
        (replace(asked, exclude=(far,)), far, "the request excludes it"),
        (replace(asked, where={"price": {"max": 0.01 + _price(runtime, far) / 2}}), far, "does not pass the filter"),
    ]
    since, until = runtime.contents.availability
    late = np.flatnonzero(since > int(runtime.manifest["window"]["start"]))
    if len(late):
        before = replace(asked, time=int(since[late[0]]) - 1)
        cases.append((before, runtime.item_id(int(late[0])), "it is available from"))
    gone = np.flatnonzero(until < int(runtime.manifest["window"]["end"]))
    if len(gone):
        cases.append((asked, runtime.item_id(int(gone[0])), "it has not been available since"))
    for request, item, said in cases:
        if said == "does not pass the filter":
            cheapest = min(range(runtime.items), key=lambda code: runtime.contents.item_fields.of(code)["price"])
            request = replace(request, where={"price": {"max": runtime.contents.item_fields.of(cheapest)["price"]}})
        found = explain(runtime, request, item)
        assert not found.shown
        assert any(said in why for why in found.why_not), found.why_not


def _price(runtime, item):
    return runtime.contents.item_fields.of(runtime.contents.item_ids.code(item))["price"]


def test_what_the_user_had_is_left_out_where_that_is_asked(runtime):
    end = int(runtime.manifest["window"]["end"])
    request = Request(events=(Event("purchase", end - DAY, "i000005"),), filter_seen=True)
    found = explain(runtime, request, "i000005")
    assert found.place is None
    assert found.why_not == ("the user has had it, and such items are left out",)


def test_sensitive_items_are_never_named(exported, asked):
    runtime = Runtime(exported[0].folder / "bundle")
    listed = runtime.trace(asked).items[:10]
    shown = [item for item in listed if runtime.contents.item_fields.of(int(item))["category"]]
    assert not is_sensitive(runtime, int(shown[0]))
    category = runtime.contents.item_fields.of(int(shown[0]))["category"]
    runtime.manifest["settings"]["sensitive_categories"] = [category.split(" > ")[0]]
    with pytest.raises(InputError, match="sensitive"):
        explain(runtime, asked, runtime.item_id(int(shown[0])))
    hidden = [
        runtime.contents.item_fields.of(code)["title"]
        for code in range(runtime.items)
        if str(runtime.contents.item_fields.of(code)["category"]).startswith(category.split(" > ")[0])
    ]
    other = next(item for item in map(int, shown) if _title(runtime, item) not in hidden)
    told = "\n".join(explanation_lines(explain(runtime, asked, runtime.item_id(other))))
    assert not [title for title in hidden if title in told]


def _title(runtime, item):
    return runtime.contents.item_fields.of(item)["title"]


def test_an_unknown_item_is_refused(runtime, asked):
    with pytest.raises(InputError, match="does not know item 'nothing'"):
        explain(runtime, asked, "nothing")


def test_the_verb_speaks_plainly_and_as_json(exported, runtime, asked):
    bundle = str(exported[0].folder / "bundle")
    item = runtime.item_id(int(runtime.trace(asked).items[1]))
    plain = ["explain", bundle, "--user", asked.user, "--item", item, "--query", asked.query]
    told = CliRunner().invoke(commands, plain)
    assert told.exit_code == 0, told.output
    assert f"({item}) stands at place 2." in told.output
    assert "What its score is made of" in told.output
    told = json.loads(CliRunner().invoke(commands, [*plain, "--json"]).output)
    assert told["item_id"] == item
    assert told["reasons"]


def test_somebody_unknown_gets_an_explanation_too(runtime):
    listed = runtime.trace(Request(events=()))
    found = explain(runtime, Request(events=()), runtime.item_id(int(listed.items[0])))
    assert [reason.kind for reason in found.reasons] == ["popular"]
    assert found.events == ()
