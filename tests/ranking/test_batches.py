import numpy as np

from ranking.batches import TrainingBatches, pack


def test_a_request_is_packed_as_context_then_items(describe):
    examples = describe([[0, 2], [1, -1]], ["red", "blue hat"])
    batch = pack(examples, np.array([0, 1]), context_tokens=8)
    # [CLS] red [SEP] | red shoe [SEP] | hat [SEP]      and      [CLS] blue hat [SEP] | blue hat [SEP]
    assert batch.input_ids.tolist() == [[2, 5, 3, 5, 7, 3, 8, 3], [2, 6, 8, 3, 6, 8, 3, 0]]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1, -1]]
    assert batch.positions.tolist() == [[0, 1, 2, 8, 9, 10, 8, 9], [0, 1, 2, 3, 8, 9, 10, 0]]
    assert batch.kept.tolist() == [[True, True], [True, False]]
    assert examples.lengths.tolist() == [8, 7]


def test_an_epoch_has_every_list_once_within_the_budget(describe):
    draw = np.random.default_rng(0)
    items = draw.integers(0, 3, (200, 4))
    items[draw.random((200, 4)) < 0.3] = -1
    examples = describe(np.sort(items)[:, ::-1], ["red " * n for n in draw.integers(1, 9, 200)])
    batches = TrainingBatches(
        examples, np.zeros(items.shape, np.float32), context_tokens=8, tokens_per_batch=64, seed=3
    )
    rows = batches.rows(0)
    assert sorted(np.concatenate(rows).tolist()) == list(range(200))
    assert all(examples.lengths[batch].max() * len(batch) <= 64 for batch in rows)


def test_seed_and_epoch_alone_decide_the_order(describe):
    examples = describe([[0]] * 50, ["red"] * 50)

    def build():
        return TrainingBatches(examples, np.zeros((50, 1), np.float32), context_tokens=8, tokens_per_batch=40, seed=3)

    first, again = build(), build()
    seen = [[batch.input_ids.shape for batch in first] for _ in range(2)]
    assert len(seen[0]) > 1
    assert [rows.tolist() for rows in first.rows(1)] == [rows.tolist() for rows in again.rows(1)]
    assert [rows.tolist() for rows in first.rows(1)] != [rows.tolist() for rows in first.rows(0)]
