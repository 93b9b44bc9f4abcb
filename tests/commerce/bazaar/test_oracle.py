from dataclasses import replace

import numpy as np
import pytest

from commerce.bazaar.oracle import Oracle
from commerce.columns import ACTION_CODES, INTENTS
from commerce.histories import Histories
from commerce.metrics import Relevant, find, ndcg


def ndcg_of(asked, listed):
    requests = asked.requests
    return float(ndcg(find(listed, Relevant(requests.offsets, requests.items, requests.gains)), 10).mean())


def popularity(asked):
    """Rank by the weighed targets before the test week."""
    histories = asked.histories
    weight = np.zeros(len(ACTION_CODES))
    weight[[ACTION_CODES["view"], ACTION_CODES["cart"], ACTION_CODES["purchase"]]] = 0.2, 0.5, 1.0
    early = (histories.time < asked.test_start) & (histories.item >= 0)
    items = asked.shop.config.items
    counts = np.bincount(histories.item[early], weights=weight[histories.action[early]], minlength=items)
    return np.tile(np.argsort(-counts, kind="stable")[:10].astype(np.int32), (len(asked.requests), 1))


def item_knn(asked):
    """Rank by cosine of sessions in common with the shopper's last items, each half as heavy ten items back."""
    histories, requests = asked.histories, asked.requests
    early = (histories.time < asked.test_start) & (histories.item >= 0)
    sessions, place = np.unique(histories.session[early], return_inverse=True)
    met = np.zeros((len(sessions), asked.shop.config.items), dtype=np.float32)
    met[place, histories.item[early]] = 1.0
    together = met.T @ met
    length = np.sqrt(np.maximum(np.diag(together), 1.0))
    together = together / length[:, None] / length
    np.fill_diagonal(together, 0.0)
    score = np.zeros((len(requests), asked.shop.config.items))
    for row in range(len(requests)):
        items = histories.events(int(requests.user[row]), int(requests.history_end[row])).item
        items = items[items >= 0][::-1][:50]
        score[row] = 0.5 ** (np.arange(len(items)) / 10) @ together[items]
    return np.argsort(-score, axis=1, kind="stable")[:, :10].astype(np.int32)


@pytest.fixture(scope="module")
def answer(asked):
    return asked.oracle().rank(asked.histories, asked.requests, 10)


def test_popularity_and_item_knn_stay_far_below_the_oracle(asked, answer):
    oracle = ndcg_of(asked, answer[0])
    assert oracle > 0.4
    assert ndcg_of(asked, popularity(asked)) <= 0.4 * oracle
    assert ndcg_of(asked, item_knn(asked)) <= 0.75 * oracle


def test_lists_are_distinct_available_items_in_order_of_score(asked, answer):
    items, scores = answer
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in items.tolist())
    catalogue, time = asked.shop.catalogue, asked.requests.time[:, None]
    assert (catalogue.available_from[items] <= time).all()
    assert (time < catalogue.available_until[items]).all()


def test_what_comes_after_a_request_does_not_change_its_answer(asked, answer):
    histories, requests = asked.histories, asked.requests
    row = int(np.argsort(requests.time)[len(requests) // 2])
    one = requests.where(np.arange(len(requests)) == row)
    later = histories.time >= requests.time[row]
    other = np.where(later & (histories.item >= 0), (histories.item + 7) % asked.shop.config.items, histories.item)
    action = np.where(later & (histories.item >= 0), ACTION_CODES["purchase"], histories.action)
    changed = Histories(
        histories.offsets,
        other.astype(np.int32),
        action.astype(np.uint8),
        histories.time,
        histories.query,
        histories.session,
    )
    assert np.array_equal(asked.oracle().rank(changed, one, 10)[0][0], answer[0][row])
    oracle = asked.oracle()
    assert np.array_equal(oracle.intents(changed, one), oracle.intents(histories, one))


def test_codes_may_come_in_any_order(asked, answer):
    items = asked.shop.config.items
    order = np.random.default_rng(0).permutation(items)  # the item at code c is number order[c]
    code_of = np.argsort(order)
    histories, requests = asked.histories, asked.requests
    recoded = np.where(histories.item >= 0, code_of[histories.item], -1).astype(np.int32)
    renamed = replace(histories, item=recoded)
    users = [f"u{code:06d}" for code in range(histories.users)]
    oracle = Oracle(asked.shop.config, [f"i{number:06d}" for number in order], users, asked.texts)
    few = requests.where(np.arange(len(requests)) < 40)
    listed, scores = oracle.rank(renamed, few, 10)
    assert scores == pytest.approx(answer[1][:40], rel=1e-5)
    assert (order[listed] == answer[0][:40]).mean() > 0.99


def test_ids_of_another_shop_are_refused(asked):
    with pytest.raises(ValueError, match="not all its own"):
        Oracle(asked.shop.config, ["i000000", "i000001"], [], [])


def test_a_shopper_without_a_past_gets_an_answer(asked):
    requests, histories = asked.requests, asked.histories
    unknown = replace(requests.where(np.arange(len(requests)) < 3), history_end=histories.offsets[requests.user[:3]])
    items, scores = asked.oracle().rank(histories, unknown, 10)
    assert (items >= 0).all()
    assert np.isfinite(scores).all()
    assert asked.oracle().intents(histories, unknown).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def macro_f1(said, label):
    of = [2 * ((said == c) & (label == c)).sum() / max(1, (said == c).sum() + (label == c).sum()) for c in range(3)]
    return float(np.mean(of))


def test_where_tastes_depend_on_intents_an_oracle_that_tells_them_is_the_better_one(leaning):
    requests, histories = leaning.requests, leaning.histories
    told, blind = (leaning.oracle(tells_intents=tells).rank(histories, requests, 10)[0] for tells in (True, False))
    assert ndcg_of(leaning, told) > ndcg_of(leaning, blind) + 0.02


def test_intent_can_be_told_from_the_past_better_than_by_shares_or_the_last_action(asked, labelled):
    known = labelled >= 0
    label = labelled[known]
    chance = asked.oracle().intents(asked.histories, asked.requests)[known]
    share = np.bincount(label, minlength=3) / len(label)
    log_loss = -np.log(chance[np.arange(len(label)), label]).mean()
    assert log_loss < -np.log(share[label]).mean() - 0.1
    ends, users = asked.requests.history_end[known], asked.requests.user[known]
    empty = ends == asked.histories.offsets[users]
    last = np.where(empty, ACTION_CODES["view"], asked.histories.action[np.maximum(ends - 1, 0)])
    bought = np.isin(last, [ACTION_CODES["cart"], ACTION_CODES["purchase"]])
    rule = np.select([bought, last == ACTION_CODES["favorite"]], [INTENTS.index("buy"), INTENTS.index("compare")], 0)
    found = macro_f1(chance.argmax(axis=1), label)
    assert found > macro_f1(np.full(len(label), share.argmax()), label) + 0.2
    assert found > macro_f1(rule, label) + 0.2
