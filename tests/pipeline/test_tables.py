import pytest

from configs.errors import InputError
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
    "paired": {"mercato - popularity": measures(0.3) | {"ndcg@10": interval(0.3) | {"p": 0.0002, "p_holm": 0.0004}}},
    "segments": {"user: new": {name: measures(0.2) for name in ("mercato", "popularity", "oracle")}},
    "segment_sizes": {"user: new": {"requests": 77, "users": 70}},
    "intent": None,
}


def test_verdicts_follow_from_the_corrected_p_value_not_from_the_interval():
    apart = {"value": 0.015, "low": 0.01, "high": 0.02, "p": 0.01, "p_holm": 0.06}
    assert verdict(METRICS, apart) == "no difference seen"
    assert verdict(METRICS, {**apart, "p_holm": 0.05}) == "better"
    assert verdict(METRICS, {**apart, "value": -0.015, "p_holm": 0.01}) == "worse"


def test_differences_that_were_not_tested_are_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"no p_holm beside.*run `mercato evaluate CONFIG` again"):
        metrics_lines({**METRICS, "paired": {"mercato - popularity": measures(0.3)}})


def test_a_line_per_comparison_the_rule_and_the_share_of_the_oracle():
    first, second, third = verdicts(METRICS, 10)
    assert first == "mercato - popularity  NDCG@10 +0.3000 (+0.2900 to +0.3100)  p 0.0004  better"
    assert "p up to 0.05 in a randomisation test over users, corrected (Holm) for the 1 differences" in second
    assert third == "mercato reaches 80% of the NDCG@10 that the oracle shows to be reachable"


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
