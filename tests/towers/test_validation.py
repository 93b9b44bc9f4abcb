import numpy as np
import pytest
import torch

from commerce.records import Requests
from towers.embed import embed_items, embed_users
from towers.validation import AskedBatches


def _requests(histories, user, end, items, query=None):
    size = len(user)
    none = np.full(size, -1, dtype=np.int64)
    return Requests(
        request_id=np.arange(size),
        window=np.full(size, "test"),
        half=np.full(size, ""),
        user=np.array(user, dtype=np.int32),
        time=np.full(size, 10**12),
        history_end=np.array(end),
        query=none.astype(np.int32) if query is None else np.array(query, dtype=np.int32),
        session=none,
        intent=none.astype(np.int8),
        offsets=np.concatenate([[0], np.cumsum([len(one) for one in items])]),
        items=np.concatenate(items).astype(np.int32),
        gains=np.ones(sum(map(len, items)), dtype=np.float32),
    )


@pytest.fixture
def histories(lay):
    return lay(
        [(1, "purchase", 3), (2, "view", 4), (3, "purchase", 5), (4, "purchase", 6)],
        [(1, "purchase", 7)],
    )


def test_a_request_reads_what_is_visible_and_its_query_last(histories):
    asked = AskedBatches(_requests(histories, [0], [3], [[6]], query=[1]), histories, length=10)[0]
    assert asked.encoded.tolist() == [3, 4, 5]
    assert asked.item.tolist() == [[1, 2, 3, 0]]  # then the search
    assert asked.query.tolist() == [[0, 0, 0, 1]]
    assert asked.asked.tolist() == [1]
    assert asked.count.tolist() == [4]
    assert asked.relevant.tolist() == [[6]]


def test_only_the_last_events_are_read(histories):
    asked = AskedBatches(_requests(histories, [0], [4], [[6]]), histories, length=2)[0]
    assert asked.encoded[asked.item - 1].tolist() == [[5, 6]]


def test_seen_items_are_hidden_by_their_target_action(histories):
    asked = AskedBatches(_requests(histories, [0, 1], [3, 5], [[6], [1]]), histories, 10, hide_seen=["purchase"])[0]
    rows = {int(request): row for row, request in enumerate(asked.request)}
    hidden = {(int(row), int(item)) for row, item in asked.hidden}
    assert hidden == {(rows[0], 3), (rows[0], 5), (rows[1], 7)}  # item 4 was only viewed


def test_a_user_without_events_can_ask(histories):
    asked = AskedBatches(_requests(histories, [1], [4], [[7]]), histories, length=10)[0]
    assert asked.count.tolist() == [0]
    assert asked.item.tolist() == [[0]]


def test_vectors_come_in_the_order_of_the_requests_however_they_are_batched(small):
    module, data, _ = small()
    items = embed_items(module.eval())
    given = data.validation
    parts = [
        embed_users(module, items, AskedBatches(given.requests, given.histories, 8, batch=size)) for size in (3, 100)
    ]
    for one, two in zip(*parts, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(parts[0][0], axis=1), 1.0, atol=1e-5)


def test_early_stopping_ranks_everything_but_what_is_hidden(small):
    module, data, _ = small()
    module.eval()
    with torch.no_grad():
        module.on_validation_epoch_start()
        module.log = lambda *args, **kwargs: None
        batch = data.validation[0]
        module.validation_step(batch, 0)
        plain = module.ndcg.compute().item()
        module.ndcg.reset()
        # Hide everything but the relevant item: it must come first.
        pairs = [(row, item) for row, own in enumerate(batch.relevant[:, 0]) for item in range(20) if item != own]
        hidden = type(batch)(**{**vars(batch), "hidden": torch.tensor(pairs)})
        module.validation_step(hidden, 0)
    assert module.ndcg.compute().item() == 1.0
    assert plain < 1.0
