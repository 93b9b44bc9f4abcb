from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from commerce.bazaar import write_bazaar, writer
from commerce.bazaar.log import CAUSES
from commerce.columns import ACTIONS
from configs.schema import BazaarConfig

TINY = BazaarConfig(users=90, items=160, days=40, image_vectors=0.2)
NAMES = ("events", "items", "users", "relations", "sessions")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    shop = write_bazaar(TINY, tmp_path_factory.mktemp("bazaar"))
    return shop, {name: pq.read_table(getattr(shop, name)) for name in NAMES}


def test_one_seed_is_one_shop_however_it_is_streamed(written, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_CELLS", 16 * 160)  # blocks of 16 shoppers instead of one block
    _, tables = written
    again = write_bazaar(TINY, tmp_path)
    for name in NAMES:
        assert pq.read_table(getattr(again, name)).equals(tables[name]), name
    assert pq.ParquetFile(again.events).num_row_groups > 5


def test_another_seed_is_another_shop(written, tmp_path):
    other = write_bazaar(replace(TINY, seed=8), tmp_path)
    assert not pq.read_table(other.items).equals(written[1]["items"])


def test_the_row_counts_told_are_those_of_the_files(written):
    shop, tables = written
    assert shop.rows == {name: len(tables[name]) for name in NAMES}
    assert shop.rows["items"] == 160
    assert shop.rows["users"] == 90 + 3 * 15  # shoppers and three rings of false accounts


def test_events_are_of_known_users_and_items_and_hold_every_action(written):
    _, tables = written
    events = tables["events"]
    assert set(pc.unique(events["action"]).to_pylist()) == set(ACTIONS)
    assert set(pc.unique(events["user_id"]).to_pylist()) <= set(tables["users"]["user_id"].to_pylist())
    items = set(pc.unique(events["item_id"]).to_pylist()) - {None}
    assert items <= set(tables["items"]["item_id"].to_pylist())
    search = pc.equal(events["action"], "search")
    assert pc.all(pc.equal(search, pc.is_null(events["item_id"]))).as_py()
    assert pc.all(pc.equal(search, pc.is_valid(events["query"]))).as_py()


def test_every_purchase_and_nothing_else_has_its_cause(written):
    events = written[1]["events"]
    purchase = pc.equal(events["action"], "purchase")
    assert pc.all(pc.equal(purchase, pc.is_valid(events["cause"]))).as_py()
    assert set(pc.unique(events["cause"]).to_pylist()) - {None} == set(CAUSES)


def test_impressions_and_their_views_carry_request_and_position(written):
    events = written[1]["events"].to_pandas()
    shown = events[events.action == "impression"].set_index(["request_id", "position"]).item_id
    viewed = events[(events.action == "view") & events.position.notna()].set_index(["request_id", "position"]).item_id
    assert shown.index.is_unique
    assert (shown.loc[viewed.index] == viewed).all()


def test_items_are_met_only_while_they_are_available(written):
    events, items = (written[1][name].to_pandas() for name in ("events", "items"))
    joined = events.dropna(subset="item_id").merge(items, on="item_id")
    assert items.available_from.notna().any()
    assert not (joined.timestamp < joined.available_from).any()
    assert not (joined.timestamp >= joined.available_until).any()


def test_bare_items_have_a_vector_and_the_others_words(written):
    items = written[1]["items"].to_pandas()
    bare = items.image_vector.notna()
    assert 0.05 < bare.mean() < 0.4
    assert items[bare][["brand", "category"]].isna().all(axis=None)
    assert items[~bare][["brand", "category"]].notna().all(axis=None)
    assert items[~bare].category.str.contains(" > ").all()
    assert set(items.image_vector[bare].map(len)) == {16}


def test_relations_name_variants_substitutes_and_complements_of_known_items(written):
    tables = written[1]
    relations, items = tables["relations"].to_pandas(), tables["items"].to_pandas().set_index("item_id")
    assert set(relations.relation) == {"variant", "substitute", "complement"}
    variants = relations[relations.relation == "variant"]
    one, two = (items.loc[variants[name]].product_id.to_numpy() for name in ("item_id", "other_id"))
    assert (one == two).all()
    assert (relations.item_id != relations.other_id).all()


def test_shuffled_ids_keep_popularity_and_lose_the_categories_of_sessions(written, tmp_path):
    shuffled = write_bazaar(replace(TINY, shuffle_ids=True), tmp_path)
    before, after = written[1]["events"].to_pandas(), pq.read_table(shuffled.events).to_pandas()
    counts = before.item_id.value_counts().sort_index()
    assert counts.equals(after.item_id.value_counts().sort_index())
    category = pq.read_table(shuffled.items).to_pandas().set_index("item_id").category

    def categories(events):
        """Categories viewed on a list that was searched for."""
        searched = events.request_id[events.action == "search"]
        viewed = events[(events.action == "view") & events.request_id.isin(searched)]
        return viewed.assign(category=viewed.item_id.map(category)).groupby("request_id").category.nunique().mean()

    assert categories(before) < 1.1
    assert categories(after) > 1.6


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"items": 79}, "80 or more"),
        ({"users": 0}, "bazaar.users must be at least 1"),
        ({"queries": 1.2}, "bazaar.queries is a share"),
        ({"taste": -1.0}, "bazaar.taste must be at least 0, got -1"),
    ],
)
def test_impossible_shops_are_refused_in_a_sentence(settings, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        write_bazaar(BazaarConfig(**settings), tmp_path)


def test_a_longer_list_than_a_category_is_shown_as_far_as_it_goes(tmp_path):
    shop = write_bazaar(replace(TINY, items=80, users=40, list_length=60), tmp_path)
    events = pq.read_table(shop.events)
    assert np.nanmax(events["position"].to_numpy(zero_copy_only=False)) < 60
    assert pc.sum(pc.equal(events["action"], "purchase")).as_py() > 0
