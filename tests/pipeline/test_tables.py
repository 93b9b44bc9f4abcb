import pytest

from pipeline.tables import cut_off, metrics_lines, protocol, verdict, verdicts


def interval(value, reach=0.01):
    return {"value": value, "low": value - reach, "high": value + reach}


def measures(ndcg, k=10):
    names = ("recall", "mrr", "hit_rate", "map", "coverage", "novelty", "gini")
    return {f"ndcg@{k}": interval(ndcg), **{f"{name}@{k}": interval(0.5) for name in names}}


METRICS = {
    "dataset": "corner shop",
    "split": "time",
    "targets": {"cart": 0.5, "purchase": 1.0},
    "window": {"from": "2026-01-01", "until": "2026-01-08"},
    "filter_seen": True,
    "repeats": "left out: 3 of 9 requests were dropped",
    "requests": 1234,
    "users": 1000,
    "items": 50,
    "seed": 7,
    "intervals": {"confidence": 0.95, "resamples": 1000, "over": "users"},
    "systems": {"mercato": measures(0.4), "popularity": measures(0.1), "oracle": measures(0.5)},
    "paired": {"mercato - popularity": measures(0.3)},
    "segments": {"user: new": {name: measures(0.2) for name in ("mercato", "popularity", "oracle")}},
    "segment_sizes": {"user: new": {"requests": 77, "users": 70}},
    "intent": None,
}


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.02, "better"),
        (-0.02, -0.01, "worse"),
        (-0.01, 0.02, "no difference seen"),
        (0, 0, "no difference seen"),
    ],
)
def test_verdicts_follow_from_the_interval_alone(low, high, words):
    assert verdict({"value": 0.015, "low": low, "high": high}) == words


def test_a_line_per_comparison_and_the_share_of_the_oracle():
    first, second = verdicts(METRICS, 10)
    assert first == "mercato - popularity  NDCG@10 +0.3000 (+0.2900 to +0.3100)  better"
    assert second == "mercato reaches 80% of the NDCG@10 that the oracle shows to be reachable"


def test_the_protocol_names_all_that_moves_the_numbers():
    said = protocol(METRICS)
    for part in (
        "split time",
        "window 2026-01-01 to 2026-01-08",
        "cart 0.5, purchase 1",
        "filter_seen on",
        "repeats left out: 3 of 9 requests were dropped",
        "1,234 requests of 1,000 users",
        "50 items",
        "seed 7",
    ):
        assert part in said


def test_windows_of_each_users_own_are_said_so():
    assert "each user's last target event" in protocol({**METRICS, "window": {"from": None, "until": None}})


def test_the_console_shows_every_system_with_its_interval():
    lines = metrics_lines(METRICS, segments=True)
    (row,) = [line for line in lines if line.lstrip().startswith("popularity")]
    assert "0.1000 (0.0900-0.1100)" in row
    assert any("user: new" in line and "77" in line for line in lines)
    assert not any("user: new" in line for line in metrics_lines(METRICS))
    assert all(len(line) <= 116 for line in lines)


def test_the_intent_head_stands_beside_the_rules():
    scores = {"macro_f1": 0.5, "log_loss": 1.0}
    intent = {"requests": 9, "head": scores, "class_prior": scores, "last_action": scores}
    assert any("intent head 0.500 / 1.000" in line for line in metrics_lines({**METRICS, "intent": intent}))


def test_without_ten_the_smallest_cut_off_is_shown():
    assert cut_off(METRICS) == 10
    assert cut_off({"systems": {"mercato": {"ndcg@50": {}, "ndcg@5": {}}}}) == 5


def test_names_of_segments_are_shown_as_they_are_with_what_was_joined():
    name, note = "user:group = [red]", "user:group: 3 of 4 values are joined as other: [a], b"
    metrics = {**METRICS, "segments": {name: METRICS["segments"]["user: new"]}, "segment_notes": [note]}
    metrics["segment_sizes"] = {name: {"requests": 77, "users": 70}}
    lines = metrics_lines(metrics, segments=True)
    assert any(name in line for line in lines)
    assert note in lines
