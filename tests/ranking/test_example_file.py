import numpy as np
import pytest

from ranking.batches import make_batch
from ranking.example_file import ExampleWriter, open_examples


@pytest.fixture
def written(tmp_path, describe):
    """Return (folder, the examples at once, their gains), written in two parts."""
    features = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    whole = describe([[2, 0], [0, -1], [1, 1]], ["red", "query : blue hat", "buy"], features=features)
    gains = np.array([[1, 0], [0, 0], [0, 2]], np.float32)
    with ExampleWriter(tmp_path / "lists") as file:
        for rows in ([0], [1, 2]):
            file.append(whole.of(np.array(rows)), gains[rows])
    return tmp_path / "lists", whole, gains


def test_what_was_appended_in_parts_is_read_as_a_whole(written):
    folder, whole, gains = written
    examples, read = open_examples(folder, whole.item_tokens)
    assert np.array_equal(read, gains)
    for name in ("items", "features", "intent"):
        assert np.array_equal(getattr(examples, name), getattr(whole, name))
    assert np.array_equal(examples.contexts.ids, whole.contexts.ids)
    assert np.array_equal(examples.contexts.offsets, whole.contexts.offsets)


def test_a_batch_of_them_is_that_of_the_arrays_in_memory(written):
    folder, whole, gains = written
    rows = np.array([2, 0])
    for mapped, held in zip(
        make_batch(*_taken(open_examples(folder, whole.item_tokens), rows)),
        make_batch(whole, rows, gains),
        strict=True,
    ):
        assert mapped.dtype == held.dtype
        assert mapped.tolist() == held.tolist()


def _taken(opened, rows):
    examples, gains = opened
    return examples, rows, gains


def test_nothing_is_in_memory_but_what_is_asked_for(written):
    folder, whole, _ = written
    examples, gains = open_examples(folder, whole.item_tokens)
    for array in (examples.items, examples.features, examples.intent, examples.contexts.ids, gains):
        assert not array.flags.owndata
        assert not array.flags.writeable


def append(folder, *parts):
    with ExampleWriter(folder) as file:
        for part in parts:
            file.append(*part)


def test_an_error_leaves_no_folder_that_looks_whole(written):
    folder, whole, gains = written
    with pytest.raises(AttributeError):
        append(folder, (whole, gains), (None, gains))
    with pytest.raises(FileNotFoundError):
        open_examples(folder, whole.item_tokens)


def test_lists_of_two_lengths_are_our_own_mistake(written, describe):
    folder, whole, gains = written
    with pytest.raises(AssertionError):
        append(folder, (whole, gains), (describe([[0]], ["red"]), gains[:1, :1]))
