import numpy as np
import pyarrow.parquet as pq
import pytest

from commerce.histories import Histories
from commerce.records import Requests, read_ranked
from configs.errors import InputError
from retrieval.index import ItemIndex
from serving.manifest import read_manifest, seal
from serving.requests import Event, Request
from serving.runtime import Runtime
from serving.user_keys import UserKeyError

DAY = 86_400 * 1_000_000


@pytest.fixture(scope="module")
def runtime(exported):
    return Runtime(exported[0].folder / "bundle")


@pytest.fixture(scope="module")
def asked(exported):
    """Twelve test requests and the ids of their users and queries."""
    prepared, ingested = exported[0].folder / "prepare", exported[0].folder / "ingest"
    requests = Requests.read(prepared / "requests.parquet").of("test")
    users = pq.read_table(ingested / "users.parquet")["user_id"].to_pylist()
    queries = pq.read_table(prepared / "queries.parquet")["text"].to_pylist()
    rows = np.unique(np.linspace(0, len(requests) - 1, 12).astype(int))
    listed = [
        (
            row,
            Request(users[requests.user[row]], query=queries[code] if code >= 0 else "", time=int(requests.time[row])),
        )
        for row, code in zip(rows, requests.query[rows], strict=True)
    ]
    assert any(request.query for _, request in listed)
    return requests, listed


def test_vectors_and_intents_are_those_of_the_embed_stage(exported, runtime, asked):
    embedded = exported[0].folder / "embed"
    vectors, intents = np.load(embedded / "users_test.npy"), np.load(embedded / "intents_test.npy")
    for row, request in asked[1]:
        trace = runtime.trace(request)
        assert trace.vector @ vectors[row] > 0.9999
        np.testing.assert_allclose(trace.intents, intents[row], atol=1e-4)


def test_without_the_reranker_the_order_is_that_of_the_retrieve_stage(exported, runtime, asked):
    from ranking.lists import read_lists

    requests, listed = asked
    offline = read_lists(
        exported[0].folder / "retrieve" / "test.parquet", requests.request_id, runtime.contents.sources, 50
    )
    for row, request in listed:
        trace = runtime.trace(request, rerank=False)
        expected = offline.candidates(row)
        np.testing.assert_allclose(trace.scores[:50], expected.score, atol=1e-3)
        assert np.mean(trace.items[:50] == expected.item) > 0.9  # ties and near ties may change places


def test_with_the_reranker_the_order_is_that_of_the_rank_stage(exported, runtime, asked):
    from pipeline.rank import rank
    from pipeline.run_folder import RunFolder
    from pipeline.stage import Work

    run = exported[0]
    root = RunFolder(run.folder)
    folder = root.open_temporary("rank")
    rank(Work(run.config, root, folder, "rank", "k"))
    requests, listed = asked
    items, scores = read_ranked(folder / "test.parquet", requests.request_id)
    for row, request in listed:
        trace = runtime.trace(request)
        assert trace.reranked == run.config.ranking.depth
        np.testing.assert_allclose(trace.scores[:10], scores[row, :10], atol=1e-3)
        assert trace.items[:5].tolist() == items[row, :5].tolist()


def test_only_what_came_before_the_moment_is_seen(exported, runtime, asked):
    histories = Histories.open(exported[0].folder / "prepare" / "histories")
    requests, listed = asked
    row, request = listed[0]
    visible = runtime.trace(request).visible.events
    assert len(visible) == requests.history_end[row] - histories.offsets[requests.user[row]]
    assert visible.time.max(initial=0) < request.time


def test_events_given_answer_as_the_stored_history_does(runtime, asked):
    texts = runtime.contents.query_texts

    def told(request):
        return all(texts[code] for code in runtime.trace(request).visible.events.query.tolist() if code >= 0)

    # Of a search that few users typed the bundle has no words, which a caller does have.
    request = next(request for _, request in asked[1] if told(request))
    stored = runtime.trace(request).visible.events
    assert len(stored)
    actions = ("search", "impression", "view", "favorite", "cart", "purchase")
    events = [
        Event(
            actions[action],
            int(time),
            runtime.item_id(int(item)) if item >= 0 else None,
            texts[int(query)] if query >= 0 else "",
        )
        for item, action, time, query in zip(stored.item, stored.action, stored.time, stored.query, strict=True)
    ]
    given = Request(request.user, tuple(events), query=request.query, time=request.time)
    one, other = runtime.trace(request), runtime.trace(given)
    np.testing.assert_array_equal(one.vector, other.vector)
    assert one.items.tolist() == other.items.tolist()


def test_somebody_unknown_gets_an_answer_and_is_told_so(runtime):
    answer = runtime.recommend("nobody at all", k=5)
    assert len(answer.items) == 5
    assert not answer.user_known
    assert "does not know user nobody at all" in answer.notes[0]


def test_unknown_items_and_later_events_are_left_out_and_counted(runtime):
    known = runtime.item_id(3)
    events = [Event("view", 10 * DAY, known), Event("view", 11 * DAY, "no such item"), Event("view", 90 * DAY, known)]
    answer = runtime.recommend(events=events, time=20 * DAY, k=3)
    assert answer.user_known
    assert any("1 of 3 events are not before the moment" in note for note in answer.notes)
    assert any(
        "1 of 3 events are of items the bundle does not know (first: no such item)" in note for note in answer.notes
    )


def test_an_event_of_a_moment_ago_counts_at_once(runtime):
    before = (Event("view", 20 * DAY, runtime.item_id(3)),)
    just_now = Event("purchase", 21 * DAY - 1, runtime.item_id(7))
    one, other = (runtime.trace(Request(events=events, time=21 * DAY)) for events in (before, (*before, just_now)))
    assert not np.allclose(one.vector, other.vector)
    answer = runtime.answer(Request(events=(*before, just_now), time=21 * DAY, k=80, filter_seen=False))
    again = next(item for item in answer.items if item.item_id == just_now.item_id)
    assert ("repeats", 1) in [(reason.source, reason.rank) for reason in again.reasons]


def test_an_empty_history_is_an_answerable_request(runtime):
    assert len(runtime.recommend(events=[], k=4).items) == 4


def test_more_items_than_there_are_give_what_there_is(runtime):
    answer = runtime.recommend(events=[], k=10_000)
    assert len(answer.items) <= len(np.unique(runtime.contents.variants)) < runtime.items
    assert len(answer.items) > 60
    assert answer.notes[-1].startswith("10,000 items were asked for, but only")
    assert len({item.item_id for item in answer.items}) == len(answer.items)


def test_scores_fall_and_every_item_has_a_reason(runtime, asked):
    answer = runtime.answer(asked[1][0][1])
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    for item in answer.items:
        assert item.reasons
        assert item.fields["title"]
        assert [reason.rank for reason in item.reasons] == sorted(reason.rank for reason in item.reasons)


def test_excluded_and_seen_items_do_not_come_up(runtime, asked):
    request = asked[1][0][1]
    first = runtime.answer(request).items[0].item_id
    again = runtime.recommend(request.user, time=request.time, query=request.query, exclude=[first], k=50)
    assert first not in [item.item_id for item in again.items]
    events = [Event("purchase", DAY, runtime.item_id(item)) for item in range(20)]
    fresh = runtime.recommend(events=events, filter_seen=True, k=80)
    assert not {item.item_id for item in fresh.items} & {event.item_id for event in events}
    assert fresh.reranked == 0  # its gate never judged lists without what the user had
    kept = runtime.recommend(events=events, filter_seen=False, k=80)
    assert {item.item_id for item in kept.items} & {event.item_id for event in events}


def test_one_variant_stands_in_an_answer_reranked_or_not(exported, runtime, asked):
    folder = exported[0].folder
    declared = pq.read_table(folder / "ingest" / "relations.parquet").to_pylist()
    pairs = {(row["item"], row["other"]) for row in declared if row["relation"] == "variant"}
    assert pairs
    for rerank in (True, False):
        for _, request in asked[1]:
            shown = runtime.trace(request, rerank=rerank).items.tolist()
            assert len(shown) > 60
            assert not {(one, other) for one in shown for other in shown} & pairs
    assert read_manifest(folder / "bundle")["settings"]["variants"] == "one"


def test_the_manifest_says_whether_variants_may_stand_together(bundle, runtime):
    facts = {name: value for name, value in runtime.manifest.items() if name not in ("format", "files")}
    facts["settings"] = {**facts["settings"], "variants": "all"}
    seal(bundle, facts)
    answer = Runtime(bundle).recommend(events=[], k=10_000)
    assert len(answer.items) > len(np.unique(runtime.contents.variants))
    assert answer.notes[-1].endswith("(the catalogue has 90)")


def test_a_query_and_a_profile_change_the_user_vector(runtime):
    plain = runtime.trace(Request(events=())).vector
    assert not np.allclose(plain, runtime.trace(Request(events=(), query="red tea")).vector)
    known = runtime.contents.vocabulary.categorical["age_band"][0]
    profiled = runtime.trace(Request(events=(), profile={"age_band": known}))
    assert not np.allclose(plain, profiled.vector)
    assert known in profiled.visible.profile


def test_a_request_about_nobody_is_refused(runtime):
    with pytest.raises(InputError, match="needs a user id, or events"):
        runtime.recommend()
    with pytest.raises(InputError, match="at least one item"):
        runtime.recommend("u1", k=0)
    with pytest.raises(InputError, match="action 'looked' is unknown"):
        Event("looked", 0, "x")


def test_without_the_key_stored_users_cannot_be_asked_for(bundle, monkeypatch):
    monkeypatch.delenv("MERCATO_HASH_KEY")
    runtime = Runtime(bundle)
    with pytest.raises(UserKeyError, match="MERCATO_HASH_KEY"):
        runtime.recommend("u000001")
    assert runtime.recommend("u000001", events=[]).items


def test_another_key_is_not_taken_for_an_unknown_user(bundle, monkeypatch):
    monkeypatch.setenv("MERCATO_HASH_KEY", "quite another key")
    with pytest.raises(UserKeyError, match="is not the one it was made with"):
        Runtime(bundle).recommend("u000001")
    given = Runtime(bundle, key=b"key-of-the-tests")
    assert given.recommend("u000001").user_known


def test_another_index_takes_the_place_of_the_bundle_s(exported, runtime, asked):
    class Told:
        """Stands for an index elsewhere: answers by the bundle's own and counts."""

        def __init__(self):
            self.asked = 0

        def search(self, vectors, k, allowed=None):
            self.asked += len(vectors)
            return ItemIndex.load(exported[0].folder / "bundle" / "index").search(vectors, k, allowed)

    there = Told()
    other = Runtime(exported[0].folder / "bundle", vectors=there)
    for _, request in asked[1][:3]:
        assert other.trace(request).items.tolist() == runtime.trace(request).items.tolist()
    assert there.asked == 3


def test_a_filter_by_fields_holds_for_every_source(runtime, asked):
    table = runtime.contents.item_fields.table
    where = {"price": {"max": 30}, "category": [runtime.contents.item_fields.of(0)["category"].split(" > ")[0]]}
    only = table.passing(where)
    assert 0 < only.sum() < runtime.items
    for _, request in asked[1][:4]:
        answer = runtime.recommend(request.user, query=request.query, time=request.time, k=20, where=where)
        assert answer.items
        for item in answer.items:
            assert only[runtime.contents.item_ids.code(item.item_id)]
            assert item.fields["price"] <= 30
    with pytest.raises(InputError, match="no item passes"):
        runtime.recommend(asked[1][0][1].user, where={"price": {"max": -1}})


def test_a_filter_is_part_of_a_request_s_json():
    request = Request("u1", where={"price": {"max": 3}})
    assert Request.from_json(request.as_json()) == request
