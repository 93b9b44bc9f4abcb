"""The stage on a shop of six users and eight items, all of whose files are written here."""

import json
import os
from dataclasses import asdict, dataclass
from math import log2
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.columns import DAY
from commerce.edges import Edges
from commerce.given_rankings import read_given
from commerce.histories import Histories
from commerce.records import Requests, write_ranked
from configs.errors import InputError
from configs.load import load_config
from pipeline.asked import whole_users
from pipeline.evaluate import evaluate
from pipeline.evaluate_ranking import evaluate_ranking
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from pipeline.user_hashes import hashed

USERS, ITEMS = 6, 8
PURCHASE = 5
# User u bought items u and u + 1 before the test window and buys u + 2 in it; user 0 buys item 0 again besides, and
# user 5, who came late, buys only item 6 again.
BOUGHT = {0: [0, 1], 1: [1, 2], 2: [2, 3], 3: [3, 4], 4: [4, 5], 5: [5, 6]}
CHOSEN = {0: [2, 0], 1: [3], 2: [4], 3: [5], 4: [6], 5: [6]}
START = 100 * DAY
NO_SOURCES = ["evaluate.source_requests=0"]  # nothing here has an index; they have tests of their own


@dataclass
class Run:
    config_file: Path
    root: Path

    def evaluate(self, *overrides):
        config = load_config(
            self.config_file, [f"run.folder={self.root}", "evaluate.bootstrap=50", *NO_SOURCES, *overrides]
        )
        out = RunFolder(self.root).open_temporary("evaluate")
        outcome = evaluate(Work(config, RunFolder(self.root), out, "evaluate", "key"))
        return outcome, json.loads((self.root / "metrics.json").read_text())

    def ship(self, lists, name="test"):
        """Write the order of system mercato: lists by request."""
        width = max(map(len, lists.values()))
        items = np.array([[*row, *[-1] * (width - len(row))] for row in lists.values()], np.int32)
        scores = -np.broadcast_to(np.arange(width, dtype=np.float32), items.shape)
        write_ranked(self.root / "rank" / f"{name}.parquet", np.array(list(lists)), items, scores)


def requests():
    chosen = [CHOSEN[user] for user in range(USERS)]
    none = np.full(USERS, -1)
    return Requests(
        request_id=np.arange(20, 20 + USERS),  # those of other windows come before
        window=np.full(USERS, "test"),
        half=np.full(USERS, ""),
        user=np.arange(USERS, dtype=np.int32),
        time=np.full(USERS, START),
        history_end=np.arange(1, USERS + 1) * 2,
        query=none.astype(np.int32),
        session=none,
        intent=none.astype(np.int8),
        offsets=np.cumsum([0, *map(len, chosen)]),
        items=np.concatenate(chosen).astype(np.int32),
        gains=np.ones(sum(map(len, chosen)), np.float32),
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    root = tmp_path / "run"
    # The report has tests of its own.
    monkeypatch.setattr("pipeline.evaluate.write_report", lambda run, *_: run.root / "report.html")
    for stage in ("ingest", "prepare", "embed", "index", "retrieve", "rank"):
        (root / stage).mkdir(parents=True)
        (root / stage / "manifest.json").write_text("{}")
    prepared, embedded, statistics = root / "prepare", root / "embed", root / "retrieve" / "statistics" / "test"
    bought = np.concatenate(list(BOUGHT.values())).astype(np.int32)
    events = len(bought)
    Histories(
        offsets=np.arange(USERS + 1) * 2,
        item=bought,
        action=np.full(events, PURCHASE, np.uint8),
        time=START - 10 * DAY + np.arange(events) * DAY // 4,
        query=np.full(events, -1, np.int32),
        session=np.arange(events),
    ).save(prepared / "histories")
    requests().write(prepared / "requests.parquet")
    (prepared / "users_features").mkdir()
    np.save(prepared / "users_features" / "categorical.npy", np.zeros((USERS, 0), np.int32))
    cut = np.arange(1, USERS + 1) * 2
    for name in ("cuts.npz", "learned.npz"):
        np.savez(prepared / name, ranker=cut, validation=cut, test=cut)
    forever = np.iinfo(np.int64)
    np.savez(
        prepared / "availability.npz", **{"from": np.full(ITEMS, forever.min), "until": np.full(ITEMS, forever.max)}
    )
    pq.write_table(
        pa.table({"query": pa.array([], pa.int32()), "text": pa.array([], pa.string())}), prepared / "queries.parquet"
    )
    pq.write_table(
        pa.table({"item": np.arange(ITEMS, dtype=np.int32), "text": [f"thing {i}" for i in range(ITEMS)]}),
        prepared / "item_texts.parquet",
    )
    window = {"from": START, "until": START + 7 * DAY, "events": 7}
    (prepared / "windows.json").write_text(json.dumps({"windows": {"test": window}}))
    # Vectors that put item u + 2 first for user u, then items by their code's distance.
    items = np.eye(ITEMS, dtype=np.float32)
    np.save(embedded / "item_vectors.npy", items)
    np.save(embedded / "users_test.npy", items[[user + 2 for user in range(USERS)]])
    np.save(embedded / "intents_test.npy", np.full((USERS, 3), 1 / 3, np.float32))
    statistics.mkdir(parents=True)
    np.save(statistics / "popularity.npy", np.bincount(bought, minlength=ITEMS).astype(np.float32))
    after = np.minimum(np.arange(ITEMS) + 1, ITEMS - 1).astype(np.int32)
    Edges(np.arange(ITEMS + 1), after, np.ones(ITEMS, np.float32)).save(statistics / "associations.npz")
    ids = pa.table({"code": np.arange(USERS, dtype=np.int32), "id": [f"u{user}" for user in range(USERS)]})
    pq.write_table(ids, root / "ingest" / "user_ids.parquet")
    ids = pa.table({"code": np.arange(ITEMS, dtype=np.int32), "id": [f"i{item}" for item in range(ITEMS)]})
    pq.write_table(ids, root / "ingest" / "item_ids.parquet")
    (tmp_path / "shop.yaml").write_text("data:\n  reader: tables\n")
    made = Run(tmp_path / "shop.yaml", root)
    made.ship({20 + user: [7, user + 2] if user < 5 else [7] for user in range(USERS)})
    return made


def test_values_are_those_worked_out_on_paper(run):
    _, metrics = run.evaluate()
    towers, mercato = metrics["systems"]["towers"], metrics["systems"]["mercato"]
    # Towers: first for users 0 to 4; user 0's other item 0 and user 5's item 6 (their item is 7) are the first of the
    # items that score 0, on place 2, and the seventh, on place 8.
    assert towers["recall@5"]["value"] == pytest.approx((1 + 4 + 0) / 6, abs=1e-6)
    assert towers["ndcg@10"]["value"] == pytest.approx((1 + 4 + 1 / log2(9)) / 6, abs=1e-6)
    # Shipped: each first on place 2, user 0's other item and user 5's only one not at all.
    assert mercato["mrr@10"]["value"] == pytest.approx(5 / 2 / 6, abs=1e-6)
    assert mercato["recall@10"]["value"] == pytest.approx((1 / 2 + 4) / 6, abs=1e-6)
    difference = metrics["paired"]["mercato - towers"]["recall@10"]
    assert difference["value"] == pytest.approx((1 / 2 + 4) / 6 - 1, abs=1e-6)


def test_the_contract_of_metrics_json(run):
    outcome, metrics = run.evaluate("run.seed=4")
    contract = "format dataset split targets window filter_seen repeats requests users items seed hardware systems"
    assert {*contract.split(), "paired", "segments", "intent"} <= set(metrics)
    # Nobody searched, so there is no bm25.
    assert list(metrics["systems"]) == ["mercato", "towers", "popularity", "item_knn", "personal_frequency"]
    baselines = ("popularity", "item_knn", "personal_frequency")
    pairs = [f"{ours} - {baseline}" for ours in ("mercato", "towers") for baseline in baselines]
    assert list(metrics["paired"]) == [*pairs, "mercato - towers"]
    assert metrics["targets"] == {"purchase": 1.0}
    assert (metrics["requests"], metrics["users"], metrics["items"], metrics["seed"]) == (6, 6, 8, 4)
    assert metrics["window"] == {"from": "1970-04-11T00:00:00+00:00", "until": "1970-04-18T00:00:00+00:00"}
    assert metrics["intent"] is None
    for systems in metrics["segments"].values():
        assert set(systems) == set(metrics["systems"])
    assert outcome.published == [run.root / "metrics.json", run.root / "report.html"]
    assert "NDCG@10" in "\n".join(outcome.lines)


def test_whom_to_rank_for_is_written(run):
    run.evaluate()
    header, first, *rest = (run.root / ".evaluate.tmp" / "requests.csv").read_text().splitlines()
    assert header == "request_id,user_id,timestamp,query"
    # Prediction files name nobody: the user is under the keyed hash.
    assert first == f"20,{hashed(os.environ['MERCATO_HASH_KEY'].encode(), 'u0')},1970-04-11T00:00:00.000000Z,"
    assert len(rest) == USERS - 1


def test_filter_seen_takes_out_what_users_had_and_drops_who_has_nothing_left(run):
    run.ship({20 + user: [user + 2, 7] for user in range(USERS) if user < 5})
    _, metrics = run.evaluate("evaluate.filter_seen=true")
    assert metrics["requests"] == 5  # user 5 only bought what they had
    assert metrics["requests_dropped"] == 1
    assert "1 of 6 requests" in metrics["repeats"]
    # User 0's item 0 no longer counts either, so everybody has one relevant item, and it is first.
    assert metrics["systems"]["towers"]["ndcg@10"] == {"value": 1, "low": 1, "high": 1}
    assert metrics["systems"]["mercato"]["ndcg@10"] == {"value": 1, "low": 1, "high": 1}
    assert metrics["systems"]["personal_frequency"]["recall@100"]["value"] == 0


def test_new_items_are_measured_beside(run):
    run.ship({20 + user: [user + 2] for user in range(USERS) if user < 5}, "test_new")
    outcome, metrics = run.evaluate("evaluate.new_items_too=true")
    beside = json.loads((run.root / "metrics_new_items.json").read_text())
    assert (metrics["filter_seen"], metrics["requests"]) == (False, 6)
    assert (beside["filter_seen"], beside["requests"]) == (True, 5)
    assert beside["systems"]["mercato"]["ndcg@10"]["value"] == 1
    assert [path.name for path in outcome.published] == ["metrics.json", "metrics_new_items.json", "report.html"]


def test_given_lists_are_measured_under_both_protocols(run, tmp_path):
    """User u's list: item u, had before, then u + 2, bought in the window; user 5 buys again only what they had."""
    run.ship({20 + user: [user + 2] for user in range(USERS) if user < 5}, "test_new")
    run.evaluate("evaluate.new_items_too=true")
    overrides = [f"run.folder={run.root}", "evaluate.bootstrap=50", "evaluate.new_items_too=true"]
    config = load_config(run.config_file, overrides)
    folder, settings = RunFolder(run.root), {"evaluate": asdict(config.evaluate)}
    folder.commit("evaluate", run.root / ".evaluate.tmp", {"settings": settings})
    rows = [f"u{user},i{item},{rank}" for user in range(5) for rank, item in enumerate((user, user + 2))]
    (tmp_path / "theirs.csv").write_text("user_id,item_id,rank\n" + "\n".join(rows))
    said = []
    evaluate_ranking(config, read_given(tmp_path / "theirs.csv"), tmp_path / "theirs.csv", "theirs", said.append)
    whole, new = (
        json.loads((run.root / "evaluations" / f"theirs{part}.json").read_text()) for part in ("", "_new_items")
    )
    # User 0 chose both of theirs, users 1 to 4 the second; user 5 has no list.
    assert whole["systems"]["theirs"]["mrr@10"]["value"] == pytest.approx((1 + 4 / 2) / 6, abs=1e-6)
    assert any(note.startswith("NO LIST for 1 of 6") for note in whole["ranking"]["notes"])
    # Without what users had, everybody's own is first, as it is in the shipped lists.
    assert new["systems"]["theirs"]["mrr@10"]["value"] == 1
    assert "left out: 5 items that their user had before (filter_seen is on)" in new["ranking"]["notes"]
    assert new["paired"]["theirs - mercato"]["ndcg@10"] == {"value": 0, "low": 0, "high": 0, "p": 1, "p_holm": 1}
    assert said.count("Items new to their user alone:") == 1


def test_requests_that_nothing_was_shipped_for_score_zero(run):
    run.ship({20: [2, 0]})
    _, metrics = run.evaluate()
    assert metrics["systems"]["mercato"]["recall@10"]["value"] == pytest.approx(1 / 6, abs=1e-6)


def test_items_are_ranked_only_while_available(run):
    available = np.full(ITEMS, START)
    available[2] += 1  # user 0's own comes a microsecond too late
    path = run.root / "prepare" / "availability.npz"
    np.savez(path, **{"from": available, "until": np.full(ITEMS, START + DAY)})
    with pytest.raises(ValueError, match="system mercato lists an item while not available, 1 times"):
        run.evaluate()
    run.ship({20: [0]})
    _, metrics = run.evaluate()
    assert metrics["catalogue"] == ITEMS - 1
    # Item 0 is now first of those that score 0: place 1 for user 0, whose best two would hold both.
    expected = (1 / (1 + 1 / log2(3)) + 4 + 1 / log2(8)) / 6
    assert metrics["systems"]["towers"]["ndcg@10"]["value"] == pytest.approx(expected, abs=1e-6)


def test_a_list_with_an_item_twice_is_refused(run):
    run.ship({20: [3, 3]})
    with pytest.raises(ValueError, match="lists an item twice, 1 times"):
        run.evaluate()


def test_a_list_with_an_item_had_is_refused_where_those_are_left_out(run):
    run.ship({20: [1]})
    with pytest.raises(ValueError, match="although the user had it, 1 times"):
        run.evaluate("evaluate.filter_seen=true")


def test_blocks_change_nothing(run, monkeypatch):
    _, whole = run.evaluate("evaluate.filter_seen=true")
    monkeypatch.setattr("pipeline.systems._BLOCK_CELLS", 1)
    _, small = run.evaluate("evaluate.filter_seen=true", "retrieval.block=1")
    assert small == whole


def test_a_share_of_the_users_may_stand_for_all(run):
    _, metrics = run.evaluate("evaluate.max_requests=3")
    assert metrics["requests"] == 3
    _, again = run.evaluate("evaluate.max_requests=3")
    assert again == metrics
    run.ship({20: []})
    for seed in range(3):  # whoever is drawn is answered with their own vector, which puts their own item first
        _, metrics = run.evaluate("evaluate.max_requests=3", "evaluate.filter_seen=true", f"run.seed={seed}")
        assert metrics["systems"]["towers"]["ndcg@10"]["value"] == 1


def test_one_user_at_least_is_measured():
    many = Requests(**{**vars(requests()), "user": np.zeros(USERS, np.int32)})
    assert whole_users(many, 1, seed=0).all()
    assert whole_users(requests(), 1, seed=0).sum() == 1


def test_nothing_to_measure_is_said_with_the_remedy(run):
    only_known = requests().where(np.arange(USERS) == 5)
    only_known.write(run.root / "prepare" / "requests.parquet")
    np.save(run.root / "embed" / "users_test.npy", np.ones((1, ITEMS), np.float32))
    with pytest.raises(InputError, match="all 1 of them had only items that their user had before"):
        run.evaluate("evaluate.filter_seen=true")


def test_lists_with_two_variants_are_refused_where_retrieval_keeps_one(run):
    run.ship({request: [2, 3, 4] for request in range(20, 26)})
    variants = np.arange(ITEMS, dtype=np.int32)
    np.save(run.root / "retrieve" / "variants.npy", variants)
    run.evaluate("retrieval.variants=one")
    variants[4] = 3
    np.save(run.root / "retrieve" / "variants.npy", variants)
    run.evaluate()
    with pytest.raises(ValueError, match="mercato lists an item beside a variant"):
        run.evaluate("retrieval.variants=one")
