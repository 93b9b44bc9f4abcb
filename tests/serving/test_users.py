import numpy as np
import pytest

from commerce.histories import Histories
from serving.user_keys import KEY_FILE, UserKeyError, digest, key_check, key_from, sorted_digests
from serving.users import StoredUsers, UserFeatures, write_users

KEY = b"a key of more than sixteen bytes"


def histories(counts):
    """User u has counts[u] events: items 10 u, 10 u + 1, ... at times 0, 100, ..."""
    offsets = np.cumsum([0, *counts])
    place = np.concatenate([np.arange(count) for count in counts]) if sum(counts) else np.empty(0)
    user = np.repeat(np.arange(len(counts)), counts)
    zeros = np.zeros(len(place))
    return Histories(
        offsets.astype(np.int64),
        (10 * user + place).astype(np.int32),
        (zeros + 5).astype(np.uint8),
        (100 * place).astype(np.int64),
        (zeros - 1).astype(np.int32),
        zeros.astype(np.int64),
    )


def features(users):
    numbers = np.arange(users, dtype=np.float32)[:, None]
    return UserFeatures(numbers.astype(np.int32), numbers, np.ones((users, 1), bool))


def test_each_user_finds_their_own_events_and_features(tmp_path):
    write_users(tmp_path / "users", ["ann", "bob", "王芳"], KEY, histories([2, 0, 3]), features(3))
    users = StoredUsers.open(tmp_path / "users", KEY)
    for user, (name, items) in enumerate({"ann": [0, 1], "bob": [], "王芳": [20, 21, 22]}.items()):
        events, profile = users.find(name, moment=10_000)
        assert events.item.tolist() == items
        assert profile.categorical.tolist() == [[user]]
        assert profile.numeric.tolist() == [[float(user)]]


def test_only_strictly_earlier_events_are_visible(tmp_path):
    write_users(tmp_path / "users", ["ann"], KEY, histories([3]), features(1))
    events, _ = StoredUsers.open(tmp_path / "users", KEY).find("ann", moment=100)
    assert events.time.tolist() == [0]


def test_an_unknown_user_and_another_key_find_nobody(tmp_path):
    write_users(tmp_path / "users", ["ann"], KEY, histories([3]), features(1))
    assert StoredUsers.open(tmp_path / "users", KEY).find("bob", 100) is None
    assert StoredUsers.open(tmp_path / "users", b"another key of many bytes").find("ann", 100) is None


def test_no_user_id_is_written(tmp_path):
    names = ["household-7", "household-8"]
    write_users(tmp_path / "users", names, KEY, histories([1, 1]), features(2))
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.npy"))
    assert not any(name.encode() in written for name in names)


def test_a_shop_without_events_or_users_is_written(tmp_path):
    write_users(tmp_path / "users", ["ann"], KEY, histories([0]), features(1))
    events, _ = StoredUsers.open(tmp_path / "users", KEY).find("ann", 100)
    assert len(events) == 0
    write_users(tmp_path / "nobody", [], KEY, histories([]), features(0))
    assert StoredUsers.open(tmp_path / "nobody", KEY).find("ann", 100) is None


def test_rows_lie_in_the_order_of_hashes_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.users._CHUNK", 3)
    names = [f"user {number}" for number in range(10)]
    write_users(tmp_path / "users", names, KEY, histories([number % 4 for number in range(10)]), features(10))
    users = StoredUsers.open(tmp_path / "users", KEY)
    _, order = sorted_digests(KEY, names)
    assert order.tolist() != list(range(10))
    for number, name in enumerate(names):
        events, _ = users.find(name, 10_000)
        assert events.item.tolist() == [10 * number + place for place in range(number % 4)]


def test_digests_depend_on_the_key():
    assert digest(KEY, "ann") != digest(b"another key of many bytes", "ann")
    assert key_check(KEY) != key_check(b"another key of many bytes")


def test_the_key_comes_from_the_environment_before_the_file(tmp_path, monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)
    assert key_from("A_KEY", tmp_path) is None
    (tmp_path / KEY_FILE).write_text("the key from the file\n")
    assert key_from("A_KEY", tmp_path) == b"the key from the file"
    monkeypatch.setenv("A_KEY", "the key from the environment")
    assert key_from("A_KEY", tmp_path) == b"the key from the environment"


def test_a_short_key_is_refused(monkeypatch):
    monkeypatch.setenv("A_KEY", "short")
    with pytest.raises(UserKeyError, match="A_KEY has 5 bytes, but at least 16"):
        key_from("A_KEY")


def test_who_was_forgotten_is_left_out(tmp_path):
    write_users(tmp_path / "users", ["ann", "", "bob"], KEY, histories([2, 0, 3]), features(3))
    users = StoredUsers.open(tmp_path / "users", KEY)
    assert len(users.keys.digests) == 2
    assert users.find("", moment=10_000) is None
    assert users.find("bob", moment=10_000)[0].item.tolist() == [20, 21, 22]


def test_query_codes_can_be_taken_out(tmp_path):
    log = Histories(**{**vars(histories([3])), "query": np.array([0, 1, -1], np.int32)})
    write_users(tmp_path / "users", ["ann"], KEY, log, features(1), np.array([-1, 1], np.int32))
    assert StoredUsers.open(tmp_path / "users", KEY).find("ann", moment=10_000)[0].query.tolist() == [-1, 1, -1]
