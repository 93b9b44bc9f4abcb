"""Probabilities and the order by value in a bundle's answers, beside the pipeline's."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from commerce.records import Requests
from pipeline.probabilities import Described
from ranking.lists import read_lists
from ranking.probabilities import SHOWN, Probabilities, feature_names
from ranking.value import expected_value, order_by_value
from serving.contents import PROBABILITIES
from serving.requests import Request
from serving.runtime import Runtime


@pytest.fixture
def told(exported, bundle):
    """A copy of the bundle that tells made-up probabilities: (model, runtime)."""
    names = feature_names(tuple(exported[0].config.retrieval.sources))
    draw = np.random.default_rng(0)
    features = draw.random((400, len(names))).astype(np.float32)
    happened = draw.random((400, 2)) < features[:, :2]
    model = Probabilities.fit(
        SHOWN, ["view", "purchase"], names, features, draw.integers(0, 5, 400), happened, kept=(0.9, 1.0)
    )
    (bundle / PROBABILITIES).write_text(model.to_json())
    return model, Runtime(bundle, check=False)


def asked(exported, rows=6):
    """The first test requests: (requests, as they are asked of a runtime, intents)."""
    run = exported[0].folder
    requests = Requests.read(run / "prepare" / "requests.parquet").of("test")
    intents = np.load(run / "embed" / "intents_test.npy")[:rows]
    requests = requests.where(np.arange(len(requests)) < rows)
    users = pq.read_table(run / "ingest" / "users.parquet")["user_id"].to_pylist()
    queries = pq.read_table(run / "prepare" / "queries.parquet")["text"].to_pylist()
    listed = [
        Request(users[user], query=queries[code] if code >= 0 else "", time=int(time))
        for user, code, time in zip(requests.user, requests.query, requests.time, strict=True)
    ]
    return requests, listed, intents


def test_the_runtime_tells_what_the_pipeline_would(exported, told):
    model, runtime = told
    requests, listed, intents = asked(exported)
    config = exported[0].config
    path = exported[0].folder / "retrieve" / "test.parquet"
    lists = read_lists(path, requests.request_id, config.retrieval.sources, config.retrieval.candidates)
    described = Described(requests, lists, (lists.items, lists.scores), intents.astype(np.float32))
    features = described.features(slice(0, len(requests)))
    for row, request in enumerate(listed):
        trace = runtime.trace(request, rerank=False)
        np.testing.assert_array_equal(trace.found.items[0, :20], lists.items[row, :20])
        expected = model.of(features[row], bool(request.query))
        np.testing.assert_allclose(trace.chances[:50], expected[:50], atol=1e-3)


def test_answers_name_what_a_probability_supposes(told):
    _, runtime = told
    answer = runtime.recommend(events=[], k=3)
    for item in answer.items:
        assert list(item.probabilities) == ["view_given_shown", "purchase_given_shown"]
        assert all(0 < share < 1 for share in item.probabilities.values())
    other = runtime.recommend(events=[], k=3, filter_seen=True)
    assert other.items[0].probabilities == {}, "they hold under the protocol that they were fitted under"


def test_a_list_by_revenue_falls_by_expected_revenue(told):
    model, runtime = told
    runtime.manifest["settings"].update(value="revenue", value_depth=5)
    runtime.contents.__dict__.pop("worth", None)
    plain = Runtime(runtime.folder, check=False).trace(Request(events=()))
    trace = runtime.trace(Request(events=()))
    place = {item: at for at, item in enumerate(trace.found.items[0].tolist())}
    rows = plain.chances[[place[item] for item in plain.items.tolist()]]
    prices = runtime.contents.worth[plain.items]
    values = expected_value("revenue", rows[None], model, prices[None])
    items, _ = order_by_value(plain.items[None], plain.scores[None], values, 5)
    assert trace.items.tolist() == items[0].tolist()
    assert set(trace.items[:5]) == set(plain.items[:5])
    assert np.all(np.diff(trace.scores) <= 0)


def test_a_bundle_from_before_tells_none_and_orders_by_score(exported):
    runtime = Runtime(exported[0].folder / "bundle")
    assert not (runtime.folder / PROBABILITIES).exists()
    for name in ("value", "value_depth"):
        runtime.manifest["settings"].pop(name)
    answer = runtime.recommend(events=[])
    assert answer.items[0].probabilities == {}
    assert json.dumps(dict(answer.intents))
