"""Which lists are trained on; drawn in blocks they are those that were drawn from all lists at once."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.candidates import CandidateWriter
from commerce.metrics import Relevant
from commerce.records import Requests
from ranking.lists import Lists, gains_of, read_lists, stream_lists
from ranking.training_lists import Block, TrainingLists

NAMES = ("items", "scores", "source_rank", "source_score", "place")


def relevant(*lists):
    counts = [len(one) for one in lists]
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    return Relevant(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items, np.ones(len(items), np.float32))


def plain(items):
    items = np.array(items, dtype=np.int32)
    scores = np.where(items >= 0, 1.0, 0.0).astype(np.float32)
    return Lists.whole(items, scores, np.zeros((*items.shape, 1), np.int32), np.zeros((*items.shape, 1), np.float32))


def in_blocks(lists, size):
    """Return a function that reads lists as a stream does, at most ``size`` together, empty ones not at all."""

    def read(rows):
        there = np.flatnonzero(lists.counts[rows] > 0)
        for start in range(0, len(there), size):
            places = there[start : start + size]
            yield places, lists.of(rows[places])

    return read


def joined(blocks):
    rows, lists, gains = zip(*blocks, strict=True)
    columns = (np.concatenate([getattr(one, name) for one in lists]) for name in NAMES)
    return Block(np.concatenate(rows), Lists(*columns), np.concatenate(gains))


def build(lists, wanted, size=1000, **settings):
    """Return the training lists, and all of them as one block."""
    built = TrainingLists(in_blocks(lists, size), wanted, **settings)
    return built, joined(built.blocks())


def at_once(lists, wanted, *, length, most, seed):
    """Draw from all lists in memory: rows, items and gains. The reference that streaming has to agree with."""
    gains = gains_of(lists.items, wanted)
    positives = (gains > 0).sum(axis=1)
    draw = np.random.default_rng([seed, 0x11575])
    rows = np.sort(draw.permutation(np.flatnonzero((positives > 0) & (positives < lists.counts)))[:most])
    gains, kept = gains[rows], lists.kept[rows]
    luck = draw.random(gains.shape)
    best = np.argsort(np.argsort(-(gains + luck * 1e-6), axis=1), axis=1)
    surely = (gains > 0) & (best < max(1, length // 2))
    group = np.select([~kept, surely, gains == 0], [3.0, 0.0, 1.0], 2.0)
    columns = np.argsort(group + luck, axis=1)[:, :length]
    # Candidates in blended order, then what lies past a list's end.
    padding = np.take_along_axis(~kept, columns, axis=1)
    columns = np.take_along_axis(columns, np.lexsort((columns, padding), axis=1), axis=1)
    at = rows[:, None], columns
    return rows, Lists(*(getattr(lists, name)[at] for name in NAMES)), np.take_along_axis(gains, columns, axis=1)


def assert_same(block, reference):
    rows, lists, gains = reference
    assert np.array_equal(block.rows, rows)
    assert np.array_equal(block.gains, gains)
    for name in NAMES:
        assert np.array_equal(getattr(block.lists, name), getattr(lists, name)), name


def test_lists_that_teach_no_order_are_left_out_and_counted():
    lists = plain([[1, 2, 3], [1, 2, 3], [1, -1, -1], [4, 5, -1], [-1, -1, -1]])
    built, block = build(lists, relevant([2], [9], [1], [5], [1]), length=3, most=10, seed=0)
    assert built.rows.tolist() == [0, 3]
    assert block.lists.items.tolist() == [[1, 2, 3], [4, 5, -1]]
    assert block.gains.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert built.counts == {
        "requests": 5,
        "trained on": 2,
        "without a relevant candidate": 2,
        "with relevant candidates only": 1,
        "left out above the most": 0,
        "shorter than the list length": 1,
    }


def test_a_cut_list_keeps_its_relevant_items_and_the_blended_order():
    lists = plain([list(range(50))] * 40)
    _, block = build(lists, relevant(*[[49]] * 40), length=6, most=100, seed=1)
    assert (block.gains.sum(axis=1) == 1).all()
    assert (block.lists.items[:, -1] == 49).all()  # the last of the blend stays the last
    assert (np.diff(block.lists.items, axis=1) > 0).all()
    assert len(np.unique(block.lists.items[:, :-1])) > 40  # the others are drawn, not the first ones


def test_half_a_list_at_least_is_not_relevant():
    _, block = build(plain([list(range(20))]), relevant(list(range(12))), length=6, most=1, seed=0)
    assert block.gains.sum() == 3


def test_a_list_length_beyond_the_list_keeps_the_whole_list():
    _, block = build(plain([[3, 1, 2]]), relevant([1]), length=100, most=1, seed=0)
    assert block.lists.items.tolist() == [[3, 1, 2]]


def test_above_the_most_requests_a_seed_decides():
    lists, wanted = plain([[1, 2]] * 30), relevant(*[[1]] * 30)
    first, again, other = (build(lists, wanted, length=2, most=10, seed=seed)[0].rows.tolist() for seed in (1, 1, 2))
    assert len(first) == 10
    assert first == again
    assert first != other


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 9),
    length=st.integers(2, 12),
    most=st.integers(1, 40),
    depth=st.integers(2, 10),
)
def test_drawn_block_by_block_they_are_those_drawn_at_once(seed, size, length, most, depth):
    draw = np.random.default_rng(seed)
    items = np.array([draw.permutation(20)[:depth] for _ in range(30)], np.int32)
    items[np.arange(depth) >= draw.integers(0, depth + 1, 30)[:, None]] = -1
    wanted = relevant(*[draw.permutation(20)[: draw.integers(0, 6)] for _ in range(30)])
    lists = plain(items)
    reference = at_once(lists, wanted, length=length, most=most, seed=seed)
    built = TrainingLists(in_blocks(lists, size), wanted, length=length, most=most, seed=seed)
    assert len(built) == len(reference[0])
    if len(built):
        assert_same(joined(built.blocks()), reference)
        assert_same(joined(built.blocks()), reference)  # as often as one likes


@pytest.mark.parametrize("rows_together", [1_000, 10**6])
def test_those_of_a_bazaar_are_those_drawn_at_once(tiny_run, monkeypatch, rows_together):
    run, _ = tiny_run
    asked = Requests.read(run.folder / "prepare" / "requests.parquet").of("ranker")
    wanted = Relevant(asked.offsets, asked.items, asked.gains)
    path, sources = run.folder / "retrieve" / "ranker.parquet", run.config.retrieval.sources
    lists = read_lists(path, asked.request_id, sources, 50)
    monkeypatch.setattr("ranking.lists._ROWS", rows_together)

    def read(rows):
        return stream_lists(path, asked.request_id[rows], sources, 50)

    for most in (100, 10**6):
        built = TrainingLists(read, wanted, length=20, most=most, seed=run.config.run.seed)
        assert_same(joined(built.blocks()), at_once(lists, wanted, length=20, most=most, seed=run.config.run.seed))


def write_window(path, requests):
    """Write a window of so many requests, 30 candidates each, and return what they want."""
    draw = np.random.default_rng(0)
    with CandidateWriter(path) as file:
        for start in range(0, requests, 100):
            ids = np.arange(start, start + 100)
            items = np.array([draw.permutation(500)[:30] for _ in ids], np.int32)
            scores = np.tile(np.linspace(1, 0, 30, dtype=np.float32), (100, 1))
            rank = np.tile(np.arange(30, dtype=np.int32), (100, 1))
            words = np.stack([rank] * 3, axis=2), np.stack([scores] * 3, axis=2)
            file.write(ids, items, scores, ("a", "b", "c"), *words)
    return relevant(*draw.integers(0, 500, (requests, 20)).tolist())


def test_memory_does_not_grow_with_the_requests(tmp_path, monkeypatch):
    monkeypatch.setattr("ranking.lists._ROWS", 20_000)
    peaks, pool = {}, pa.default_memory_pool()
    for requests in (400, 4_000):
        path = tmp_path / f"{requests}.parquet"
        wanted, ids = write_window(path, requests), np.arange(requests)

        def read(rows, path=path, ids=ids):
            return stream_lists(path, ids[rows], ("a", "b", "c"), 30)

        counting = pa.proxy_memory_pool(pool)
        pa.set_memory_pool(counting)
        tracemalloc.start()
        built = TrainingLists(read, wanted, length=20, most=10**6, seed=0)
        lists = sum(len(block.rows) for block in built.blocks())
        peaks[requests] = tracemalloc.get_traced_memory()[1], counting.max_memory()
        tracemalloc.stop()
        pa.set_memory_pool(pool)
        assert lists == len(built) > 0.5 * requests
    arrays, arrow = (later - earlier for earlier, later in zip(*peaks.values(), strict=True))
    # A list with what its sources said takes 30 x (8 + 3 x 8) = 960 bytes; here some numbers of a request are held.
    assert arrays / 3_600 < 60
    assert arrow / 3_600 < 60


def test_a_drawn_candidate_keeps_its_place_in_the_whole_list():
    built, block = build(plain([[7, 3, 9, 4, 1]]), relevant([4]), length=2, most=1, seed=0)
    assert len(built) == 1
    whole = [7, 3, 9, 4, 1]
    assert block.lists.place[0].tolist() == [whole.index(item) for item in block.lists.items[0]]
    assert 3 in block.lists.place[0]
