import numpy as np
import pytest

from commerce.records import Requests
from configs.schema import Config
from pipeline.cards.untested import Tested, untested

HOUR = 3_600_000_000


def asked(queries=(-1, 4), intents=(0, 1), hours=(0, 24 * 20)):
    size = len(queries)
    return Requests(
        request_id=np.arange(size),
        window=np.full(size, "test"),
        half=np.full(size, ""),
        user=np.arange(size, dtype=np.int32),
        time=np.array(hours, np.int64) * HOUR,
        history_end=np.zeros(size, np.int64),
        session=np.zeros(size, np.int64),
        query=np.array(queries, np.int32),
        intent=np.array(intents, np.int8),
        offsets=np.arange(size + 1),
        items=np.zeros(size, np.int32),
        gains=np.ones(size, np.float32),
    )


def config(**evaluate):
    found = Config()
    found.data.user_categorical, found.data.sensitive = ["region", "gender"], ["gender"]
    for name, value in evaluate.items():
        setattr(found.evaluate, name, value)
    return found


def metrics(**changed):
    return {
        "requests": 2,
        "seed": 3,
        "filter_seen": True,
        "window": {"from": "2026-01-01", "until": "2026-02-01"},
        "systems": {name: {} for name in ("mercato", "popularity", "item_knn", "bm25")},
        "segment_sizes": {"user: new": {"users": 60}, "item: cold": {"users": 60}},
        "intent": {"requests": 2},
        **changed,
    }


def told(settings=None, measured=None, requests=None, reranker=True):
    return "\n".join(
        untested(Tested(settings or config(), measured or metrics(), requests or asked(intents=(0, 2)), reranker))
    )


def test_a_shop_without_a_log_has_tested_nothing():
    (sentence,) = untested(Tested(Config(), {}, None, reranker=False))
    assert sentence.startswith("Everything: the shop has no log")


def test_no_user_features_but_sensitive_ones_leave_profiles_untested():
    bare = config()
    bare.data.user_categorical = ["gender"]
    assert "Profiles: no user features" in told(bare)
    assert "Profiles" not in told()


@pytest.mark.parametrize(
    ("queries", "sentence"),
    [
        ((-1, -1), "Search: no request of the test window has search terms."),
        ((3, 4), "Recommendation without search terms: every request of the test window has some."),
    ],
)
def test_a_window_of_one_kind_of_request_leaves_the_other_untested(queries, sentence):
    assert sentence in told(requests=asked(queries))
    assert sentence not in told()


def test_an_intent_that_no_request_has_is_named():
    assert "Intent buy: no request" in told(requests=asked(intents=(0, 1)))
    assert "Intent compare: no request" in told(requests=asked(intents=(0, 2)))


def test_absent_and_small_segments_are_told_apart():
    found = told(measured=metrics(segment_sizes={"user: new": {"users": 49}}))
    assert "New items by themselves" in found
    assert "`user: new` (49)" in found
    assert "fewer than 50 users" not in told()


def test_settings_that_leave_something_out_are_told():
    assert "1 of 2 test requests (`evaluate.max_requests`)" in told(
        config(max_requests=1), metrics(requests=1), asked(intents=(0, 2))
    )
    assert "Finding items new to their user" in told(measured=metrics(filter_seen=False))
    assert "Users told apart by gender" in told()
    assert "Users told apart" not in told(config(segments=["user:gender"]))
    assert "Whether groups of items" in told()
    assert "Whether groups" not in told(config(item_group="seller"))
    assert "The reranker in service" in told(reranker=False)


def test_a_short_window_says_nothing_of_other_weeks():
    assert "Other weeks" in told(requests=asked(hours=(0, 24 * 13)))
    assert "Other weeks" not in told()
