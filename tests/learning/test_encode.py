import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learning.encode import encode, encode_chunks, folder_table, folder_vectors, length_chunks, pad, token_batches
from learning.encoder_folder import open_encoder
from learning.language_model import load_text_encoder, pool
from learning.tokens import load_tokenizer, token_ids


@given(st.lists(st.integers(1, 70), max_size=60), st.integers(1, 128))
def test_every_text_comes_once_and_a_batch_stays_in_its_budget(lengths, budget):
    batches = list(token_batches(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


def test_texts_of_one_length_go_together():
    assert [sorted(batch) for batch in token_batches([3, 9, 3, 9], 18)] == [[1, 3], [0, 2]]


def _costs(lengths, overhead, splits):
    for cuts in splits:
        chunks = [lengths[low:high] for low, high in itertools.pairwise(cuts)]
        yield sum(len(chunk) * max(chunk) + overhead for chunk in chunks)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.integers(0, 40))
def test_no_split_by_length_costs_less_than_the_chunks(lengths, overhead):
    chunks = length_chunks(lengths, overhead)
    assert sorted(row for chunk in chunks for row in chunk) == list(range(len(lengths)))
    inside = range(1, len(lengths))
    splits = [(0, *cuts, len(lengths)) for n in range(len(lengths)) for cuts in itertools.combinations(inside, n)]
    cost = sum(len(chunk) * max(lengths[row] for row in chunk) + overhead for chunk in chunks)
    assert cost == min(_costs(sorted(lengths), overhead, splits))


def test_chunks_are_cut_where_padding_costs_more_than_a_call():
    lengths = [3, 30, 3, 30, 3]  # one chunk pads three rows by 27 tokens each
    assert length_chunks(lengths, overhead=80) == [[0, 2, 4], [1, 3]]
    assert length_chunks(lengths, overhead=82) == [[0, 2, 4, 1, 3]]


def test_chunks_give_the_vectors_and_gradients_of_one_padded_batch(shop_encoder):
    folder, titles, text = shop_encoder
    rows = token_ids(load_tokenizer(folder, text.max_tokens), [*titles[::-1], "lamp", "red desk lamp " * 6])
    found, calls = [], []
    for chunked in (True, False):
        encoder = load_text_encoder(open_encoder(text, folder))
        encoder.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
        vectors = encode_chunks(encoder, rows, torch.device("cpu")) if chunked else encoder(*pad(rows))
        (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
        found.append([vectors.detach(), *(parameter.grad for parameter in encoder.parameters())])
    assert len(calls) > 2
    assert sum(map(math.prod, calls[:-1])) < 0.6 * math.prod(calls[-1])  # tokens, padded ones included
    for chunked, padded in zip(*found, strict=True):
        torch.testing.assert_close(chunked, padded, atol=1e-5, rtol=1e-5)


def test_padding_stands_on_the_right():
    ids, mask = pad([[5, 6], [7]])
    assert ids.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize(("pooling", "expected"), [("mean", 1.5), ("cls", 1.0), ("last", 2.0)])
def test_pooling_never_reads_padding(pooling, expected):
    states = torch.tensor([[[1.0], [2.0], [100.0]]])
    assert pool(states, torch.tensor([[1, 1, 0]]), pooling).item() == expected


def test_batching_changes_no_vector(shop_encoder):
    folder, titles, text = shop_encoder
    encoder = load_text_encoder(open_encoder(text, folder))
    tokenizer = load_tokenizer(folder, text.max_tokens)
    together = encode(encoder, tokenizer, titles, tokens_per_batch=10_000)
    alone = np.concatenate([encode(encoder, tokenizer, [title], tokens_per_batch=1) for title in titles])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_equal_texts_are_encoded_once(shop_encoder):
    folder, titles, text = shop_encoder
    encoder = load_text_encoder(open_encoder(text, folder))
    seen = []
    encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    vectors = encode(encoder, load_tokenizer(folder, 24), [titles[0], titles[1], titles[0]], tokens_per_batch=1000)
    assert sum(seen) == 2
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_bf16_points_the_same_way(shop_encoder):
    folder, titles, text = shop_encoder
    encoder, tokenizer = load_text_encoder(open_encoder(text, folder)), load_tokenizer(folder, 24)
    exact, narrow = (
        encode(encoder, tokenizer, titles, tokens_per_batch=512, precision=precision) for precision in ("fp32", "bf16")
    )
    assert (exact * narrow).sum(axis=1).min() > 0.999


def test_vectors_come_from_the_cache_the_second_time_and_an_empty_text_is_zero(shop_encoder, tmp_path, monkeypatch):
    folder, titles, text = shop_encoder
    text.cache = str(tmp_path)
    texts = [titles[0], "", titles[1]]
    opened = open_encoder(text, folder)
    first = folder_vectors(texts, opened, text, kind="item", progress=False)
    assert not first[1].any()
    monkeypatch.setattr("learning.encode.load_text_encoder", None)  # it is not asked again
    np.testing.assert_array_equal(folder_vectors(texts, opened, text, kind="item", progress=False), first)


def test_on_disk_vectors_are_the_same_in_half_the_width(shop_encoder, tmp_path, monkeypatch):
    folder, titles, text = shop_encoder
    text.cache = str(tmp_path)
    texts = [titles[2], "", *titles[:5]]
    opened = open_encoder(text, folder)
    monkeypatch.setattr("learning.encode._SHARD", 2)
    table = folder_table(texts, opened, text, kind="item", progress=False)
    assert isinstance(table, np.memmap)
    assert len(list(tmp_path.rglob("*.npz"))) == 3  # five texts, two at a time
    vectors = folder_vectors(texts, opened, text, kind="item", progress=False)
    np.testing.assert_array_equal(table, vectors.astype(np.float16))
    monkeypatch.setattr("learning.encode.TextCache.missing", None)  # the second time the file alone is looked at
    np.testing.assert_array_equal(folder_table(texts, opened, text, kind="item", progress=False), table)


def test_item_and_query_prefixes_give_different_vectors(shop_encoder, tmp_path):
    folder, titles, text = shop_encoder
    text.cache, text.query_prefix = str(tmp_path), "red "
    opened = open_encoder(text, folder)
    item, query = (folder_vectors(titles[1:2], opened, text, kind=kind, progress=False) for kind in ("item", "query"))
    assert not np.allclose(item, query)
