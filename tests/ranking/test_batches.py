import numpy as np

from ranking.batches import TrainingBatches, lay, make_batch


def test_a_batch_holds_each_item_once_and_says_where_it_stands(ranker, describe):
    examples = describe([[2, 0], [0, -1]], ["red", "blue hat"])
    batch = make_batch(examples, np.array([0, 1]), np.array([[1, 0], [1, 0]], np.float32))
    # [CLS] red [SEP] and [CLS] blue hat [SEP]; the items red shoe and hat.
    assert batch.context_ids.tolist() == [[2, 5, 3, 0], [2, 6, 8, 3]]
    assert batch.context_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.item_ids.tolist() == [[2, 5, 7, 3], [2, 8, 3, 0]]
    assert batch.places.tolist() == [[1, 0], [0, 0]]
    assert batch.kept.tolist() == [[True, True], [True, False]]
    assert ranker.cross_encoder.training_tokens(examples).tolist() == [3 + 3 + 4, 4 + 4]


def test_some_of_the_examples_are_those(describe):
    examples = describe([[2, 0], [0, -1], [1, 1]], ["red", "blue hat", "buy"])
    some = examples.of(np.array([2, 0]))
    assert some.items.tolist() == [[1, 1], [2, 0]]
    assert lay(some.contexts, np.array([0, 1]))[0].tolist() == lay(examples.contexts, np.array([2, 0]))[0].tolist()


def test_an_epoch_has_every_list_once_within_the_budget(ranker, describe):
    draw = np.random.default_rng(0)
    items = draw.integers(0, 3, (200, 4))
    items[draw.random((200, 4)) < 0.3] = -1
    examples = describe(np.sort(items)[:, ::-1], ["red " * n for n in draw.integers(1, 9, 200)])
    tokens = ranker.cross_encoder.training_tokens(examples)
    gains = np.zeros(items.shape, np.float32)
    for most, longest in ((9, 5), (3, 3)):
        batches = TrainingBatches(examples, gains, tokens=tokens, tokens_per_batch=64, batch_lists=most, seed=3)
        rows = batches.rows(0)
        assert sorted(np.concatenate(rows).tolist()) == list(range(200))
        assert all(tokens[batch].max() * len(batch) <= 64 for batch in rows)
        assert max(len(batch) for batch in rows) == longest


def test_no_step_is_short_of_lists_where_the_budget_holds_one_more(describe):
    examples = describe([[0]] * 48, ["red"] * 48)
    gains, tokens = np.zeros((48, 1), np.float32), np.full(48, 7)
    batches = TrainingBatches(examples, gains, tokens=tokens, tokens_per_batch=21, batch_lists=2, seed=3)
    assert [len(rows) for rows in batches.rows(0)] == [2] * 24


def test_seed_and_epoch_alone_decide_the_order(describe):
    examples = describe([[0]] * 50, ["red"] * 50)

    def build():
        gains, tokens = np.zeros((50, 1), np.float32), np.full(50, 7)
        return TrainingBatches(examples, gains, tokens=tokens, tokens_per_batch=40, batch_lists=9, seed=3)

    first, again = build(), build()
    seen = [[batch.context_ids.shape for batch in first] for _ in range(2)]
    assert len(seen[0]) > 1
    assert [rows.tolist() for rows in first.rows(1)] == [rows.tolist() for rows in again.rows(1)]
    assert [rows.tolist() for rows in first.rows(1)] != [rows.tolist() for rows in first.rows(0)]


def test_steps_that_are_done_are_not_read_again(describe):
    examples = describe([[0]] * 50, ["red"] * 50)

    def build(done=0):
        gains, tokens = np.arange(50, dtype=np.float32)[:, None], np.full(50, 7)
        return TrainingBatches(examples, gains, tokens=tokens, tokens_per_batch=40, batch_lists=9, seed=3, done=done)

    whole = build()
    order = [batch.gains[:, 0].tolist() for _ in range(3) for batch in whole]
    for done in (0, 1, len(order) // 3, len(order) // 3 + 2):
        rest = build(done)
        passes = 3 - done * 3 // len(order)
        assert [batch.gains[:, 0].tolist() for _ in range(passes) for batch in rest] == order[done:]
