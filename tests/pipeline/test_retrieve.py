"""A checkerboard shop through `index` and `retrieve`: user u buys tiles of their own colour, u itself last."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.columns import ACTION_CODES, DAY
from commerce.histories import Histories
from commerce.records import Requests, read_table
from configs.schema import Config
from pipeline.index import index
from pipeline.retrieve import retrieve
from pipeline.run_folder import RunFolder
from pipeline.search_terms import write_texts
from pipeline.stage import Work
from retrieval.lexical import LexicalSource

SIZE = 20
NAMES = [f"tile-{item}" for item in range(SIZE)]
WINDOWS = ("ranker", "validation", "test")
OWN = [[item for item in range(SIZE) if item % 2 == user % 2 and item != user] for user in range(SIZE)]


def write_shop(root):
    """Nine purchases a user before the windows; each window asks at the same moment, tile u being right."""
    prepared, embedded, ingested = root / "prepare", root / "embed", root / "ingest"
    prepared.mkdir(parents=True)
    embedded.mkdir()
    ingested.mkdir()
    pq.write_table(pa.table({"code": np.arange(SIZE), "id": NAMES}), ingested / "item_ids.parquet")
    relations = pa.table({"item": [0], "other": [2], "relation": ["variant"], "source": ["catalogue"]})
    pq.write_table(relations, ingested / "relations.parquet")
    had = len(OWN[0])
    items = [[*own, user] for user, own in enumerate(OWN)]
    offsets = np.arange(SIZE + 1) * (had + 1)
    Histories(
        offsets=offsets,
        item=np.array(items, np.int32).ravel(),
        action=np.full(SIZE * (had + 1), ACTION_CODES["purchase"], np.uint8),
        time=np.tile(np.arange(had + 1) * DAY, SIZE),
        query=np.full(SIZE * (had + 1), -1, np.int32),
        session=np.zeros(SIZE * (had + 1), np.int64),
    ).save(prepared / "histories")
    end = offsets[1:] - 1
    (prepared / "users_features").mkdir()
    np.save(prepared / "users_features" / "categorical.npy", np.zeros((SIZE, 0), np.int32))
    np.savez(prepared / "learned.npz", **dict.fromkeys(WINDOWS, end))
    far = np.iinfo(np.int64)
    np.savez(
        prepared / "availability.npz", **{"from": np.full(SIZE, far.min), "until": np.full(SIZE, far.max, np.int64)}
    )
    pq.write_table(
        pa.table({"query": pa.array([], pa.int32()), "text": pa.array([], pa.string())}), prepared / "queries.parquet"
    )
    write_texts(prepared, ["tile"] * SIZE, {window: [""] * SIZE for window in WINDOWS} | {"test": ["roof"] * SIZE})
    everyone = np.tile(np.arange(SIZE, dtype=np.int32), 3)
    window = np.repeat(WINDOWS, SIZE)
    Requests(
        request_id=np.arange(3 * SIZE),
        window=window,
        half=np.where(window == "validation", np.where(everyone < SIZE // 2, "fit", "gate"), ""),
        user=everyone,
        time=np.full(3 * SIZE, had * DAY),
        history_end=np.tile(end, 3),
        query=np.full(3 * SIZE, -1, np.int32),
        session=np.full(3 * SIZE, -1),
        intent=np.full(3 * SIZE, -1, np.int8),
        offsets=np.arange(3 * SIZE + 1),
        items=everyone,
        gains=np.ones(3 * SIZE, np.float32),
    ).write(prepared / "requests.parquet")
    colours = np.eye(2, dtype=np.float32)[np.arange(SIZE) % 2]
    np.save(embedded / "item_vectors.npy", colours)
    for name in WINDOWS:
        np.save(embedded / f"users_{name}.npy", colours)
    for folder in (ingested, prepared, embedded):
        (folder / "manifest.json").write_text("{}")


def run(root, *, filter_seen=False, new_items_too=True, **retrieval):
    config = Config()
    config.run.name, config.run.threads = "tiles", 1
    config.evaluate.filter_seen, config.evaluate.new_items_too = filter_seen, new_items_too
    for name, value in {"per_source": 12, "candidates": 8, "block": 7, **retrieval}.items():
        setattr(config.retrieval, name, value)
    folder = RunFolder(root)
    lines = []
    for name, stage in (("index", index), ("retrieve", retrieve)):
        out = folder.open_temporary(name)
        lines = stage(Work(config, folder, out, name, "key")).lines
        folder.commit(name, out, {})
    return root / "retrieve", lines


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiles")
    write_shop(root)
    return run(root)


def blended(path):
    rows = read_table("candidates", path).to_pylist()
    lists = {}
    for row in rows:
        if row["source"] == "blend":
            assert row["rank"] == len(lists.setdefault(row["request_id"], []))
            lists[row["request_id"]].append(row["item"])
    return lists


def test_every_window_and_protocol_has_its_candidates(written):
    folder, _ = written
    files = {path.stem for path in folder.glob("*.parquet")} - {"graph"}
    assert files == {"ranker", "validation", "test", "validation_new", "test_new"}
    for name in files:
        start = WINDOWS.index(name.split("_")[0]) * SIZE
        lists = blended(folder / f"{name}.parquet")
        assert sorted(lists) == list(range(start, start + SIZE))
        assert {len(items) for items in lists.values()} == {8}


def test_new_items_leave_out_what_a_user_had_and_find_the_missing_tile(written):
    folder, _ = written
    for request, items in blended(folder / "test_new.parquet").items():
        assert items[0] == request - 2 * SIZE
        assert not set(OWN[request - 2 * SIZE]) & set(items)
    kept = blended(folder / "test.parquet")
    assert any(set(OWN[request - 2 * SIZE]) & set(items) for request, items in kept.items())


def test_candidates_keep_their_sources_and_ranks(written):
    folder, _ = written
    rows = [row for row in read_table("candidates", folder / "test_new.parquet").to_pylist() if row["request_id"] == 45]
    right = {row["source"]: row["rank"] for row in rows if row["item"] == 5}
    assert right == {"blend": 0, "vectors": 0, "associations": 0, "tastes": 0, "popularity": right["popularity"]}
    shown = {row["item"] for row in rows if row["source"] == "blend"}
    assert {row["item"] for row in rows} == shown


def test_each_protocol_has_a_blend_of_its_own(written):
    folder, lines = written
    blends = json.loads((folder / "blend.json").read_text())
    assert set(blends) == {"keep_seen", "filter_seen", "keep_seen_query", "filter_seen_query"}
    for name, blend in blends.items():
        assert set(blend["weights"]) == {"vectors", "associations", "tastes", "repeats", "popularity"}
        assert blend["requests"] == (0 if name.endswith("_query") else SIZE // 2)  # nobody searched
    assert blends["filter_seen"]["ndcg"]["blend"] == 1.0
    assert sum("blend (" in line for line in lines) == 2


def test_counts_of_each_window_are_read_by_numpy_alone(written):
    folder, _ = written
    for window in WINDOWS:
        counts = np.load(folder / "statistics" / window / "popularity.npy", allow_pickle=False)
        assert counts.tolist() == [9.0] * SIZE  # the last purchases lie in the windows
        with np.load(folder / "statistics" / window / "associations.npz", allow_pickle=False) as edges:
            assert len(edges["offsets"]) == SIZE + 1


def test_equal_weights_and_fewer_sources_are_a_setting(tmp_path):
    write_shop(tmp_path)
    folder, lines = run(
        tmp_path,
        filter_seen=True,
        new_items_too=False,
        blend="equal",
        sources=["associations", "popularity", "lexical"],
    )
    assert json.loads((folder / "blend.json").read_text())["filter_seen"] == {
        "weights": {"associations": 1.0, "popularity": 1.0, "lexical": 1.0},
        "rank_constant": 60.0,
        "requests": 0,
        "ndcg": {},
    }
    assert {path.stem for path in folder.glob("*.parquet")} == {"ranker", "validation", "test", "graph"}
    assert "blend (filter_seen): associations 1, popularity 1, lexical 1, rank constant 60" in lines
    for window, found in (("validation", 0), ("test", SIZE)):  # as roofs they are known for the test window alone
        lexical = LexicalSource.load(folder / "statistics" / window / "lexical")
        assert len(lexical.match("a tile")[0]) == SIZE
        assert len(lexical.match("roof")[0]) == found


def test_the_graph_joins_tiles_of_a_colour_under_the_shops_own_ids(written):
    folder, lines = written
    rows = read_table("graph", folder / "graph.parquet").to_pylist()
    assert {row["measure"] for row in rows} == {"swing", "lift", "cosine", "declared"}
    (declared,) = [row for row in rows if row["source"] == "declared"]
    assert (declared["item"], declared["other"], declared["kind"]) == ("tile-0", "tile-2", "variant")
    counted = [row for row in rows if row["source"] == "log"]
    assert {row["kind"] for row in counted} == {"complement"}  # nobody viewed anything
    assert {row["item"] for row in counted} == set(NAMES)
    assert all(NAMES.index(row["item"]) % 2 == NAMES.index(row["other"]) % 2 for row in counted)
    # Of ten tiles of a colour, each user had all but their own, so any two were had by eight.
    assert {row["support"] for row in counted} == {8}
    assert any(line.startswith("graph.parquet:") and "before the test window" in line for line in lines)


def test_one_variant_alone_stands_in_a_list_which_stays_as_long(written, tmp_path):
    write_shop(tmp_path)
    folder, lines = run(tmp_path, variants="one")
    assert "one variant a list: 2 items in 1 groups of declared variants" in lines
    both = {0, 2}
    for name in ("ranker", "validation", "test", "validation_new", "test_new"):
        lists = blended(folder / f"{name}.parquet")
        assert {len(items) for items in lists.values()} == {8}
        assert not any(both <= set(items) for items in lists.values())
    assert any(both <= set(items) for items in blended(written[0] / "test.parquet").values())


def test_without_declared_variants_one_is_all(written, tmp_path):
    write_shop(tmp_path)
    relations = pa.table({"item": [0], "other": [2], "relation": ["substitute"], "source": ["catalogue"]})
    pq.write_table(relations, tmp_path / "ingest" / "relations.parquet")
    folder, _ = run(tmp_path, variants="one")
    for name in ("test", "test_new"):
        one, other = (read_table("candidates", root / f"{name}.parquet") for root in (folder, written[0]))
        assert one.equals(other)
