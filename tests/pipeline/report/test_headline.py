"""The words and the best of a column, from a metrics.json of three systems."""

import pytest

from pipeline.report.headline import differences, rows, sentence, terms


def number(value, spread=0.01):
    return {"value": value, "low": value - spread, "high": value + spread}


def having(value, p):
    return {**number(value), "p": p / 4, "p_holm": p}


def system(ndcg, recall=0.5):
    return {
        "ndcg@10": number(ndcg),
        "recall@10": number(recall),
        **{f"{name}@10": number(0.3) for name in ("mrr", "hit_rate", "coverage")},
        "novelty@10": number(9.0),
    }


@pytest.fixture
def metrics():
    return {
        "dataset": "shop",
        "split": "time",
        "targets": {"cart": 0.5, "purchase": 1.0},
        "window": {"from": "2026-03-22T20:03:30+00:00", "until": "2026-03-29T20:03:30+00:00"},
        "filter_seen": True,
        "repeats": "left out",
        "requests": 1234,
        "users": 1000,
        "items": 50,
        "catalogue": 40,
        "seed": 3,
        "intervals": {"confidence": 0.95, "resamples": 1000, "over": "users"},
        "hardware": "a laptop",
        "systems": {"mercato": system(0.4), "popularity": system(0.1), "bm25": system(0.3), "oracle": system(0.5)},
        "paired": {
            "mercato - popularity": {"ndcg@10": having(0.3, 0.0004), "recall@10": having(0.0, 0.6)},
            "mercato - bm25": {"ndcg@10": having(0.05, 0.08), "recall@10": having(-0.2, 0.05)},
        },
    }


def test_the_oracle_is_never_the_best_and_more_novelty_is_not_better(metrics):
    table = {row.system: row for row in rows(metrics)}
    recall, ndcg, _, _, coverage, novelty = table["mercato"].best
    assert (recall, ndcg, coverage, novelty) == (True, True, False, False)
    assert not any(table["oracle"].best)
    assert not table["bm25"].best[1]


def test_differences_are_put_into_words_by_their_corrected_p_values(metrics):
    words = {difference.other: difference.words for difference in differences(metrics)}
    assert words["popularity"] == {"ndcg": "better", "recall": "no difference seen"}
    assert words["bm25"] == {"ndcg": "no difference seen", "recall": "worse"}


def test_the_sentence_tells_whom_it_beats_and_how_far_the_oracle_is(metrics):
    assert sentence(metrics) == (
        "In NDCG@10, the shipped order (mercato) is better than popularity; not seen to differ from bm25. "
        "It reaches 80% of what the oracle shows to be reachable."
    )


def test_the_terms_hold_whatever_moves_a_number(metrics):
    said = terms(metrics)
    assert said["Targets (gain)"] == "cart 0.5, purchase 1"
    assert said["Test window"] == "2026-03-22 20:03 to 2026-03-29 20:03 UTC"
    assert said["filter_seen"] == "on"
    assert said["Requests"] == "1,234 requests of 1,000 users"
    assert said["Hardware"] == "a laptop"


def test_a_split_without_a_common_window_says_so(metrics):
    metrics["window"] = {"from": None, "until": None}
    assert terms(metrics)["Test window"] == "each user's last target event"
