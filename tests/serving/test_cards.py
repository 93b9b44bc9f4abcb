import json

import pyarrow.parquet as pq
import pytest

from pipeline.cards.write import CARDS


@pytest.fixture
def cards(exported):
    run, _ = exported
    return {name: (run.folder / "bundle" / name).read_text(encoding="utf-8") for name in CARDS}


def test_cards_lie_in_the_sealed_bundle_and_beside_it(exported, cards):
    run, outcome = exported
    sealed = json.loads((run.folder / "bundle" / "manifest.json").read_text())["files"]
    for name in CARDS:
        assert name in sealed
        assert (run.folder / name).read_text(encoding="utf-8") == cards[name]
        assert run.folder / name in outcome.published


def test_cards_name_no_user(exported, cards):
    users = pq.read_table(exported[0].folder / "ingest" / "user_ids.parquet")["id"].to_pylist()
    assert len(users) > 100
    assert not [user for user in users for card in cards.values() if user in card]


def test_the_data_card_counts_what_the_run_read(exported, cards):
    folder, card = exported[0].folder, cards["data_card.md"]
    summary = json.loads((folder / "ingest" / "summary.json").read_text())
    assert f"| events | {summary['events']:,} |" in card
    assert f"| users | {summary['users']:,} |" in card
    assert f"| purchase | {summary['actions']['purchase']:,} |" in card
    windows = json.loads((folder / "prepare" / "windows.json").read_text())["windows"]
    assert f"| {windows['test']['events']:,} |" in next(line for line in card.splitlines() if line.startswith("| test"))
    assert "user features: age_band, region, household_size." in card


def test_the_model_card_tells_what_this_run_lacks(cards):
    card = cards["model_card.md"]
    assert "Against popularity, item_knn, bm25" in card
    assert "`user: new` (1)" in card
    assert "The intent head: no request" in card
