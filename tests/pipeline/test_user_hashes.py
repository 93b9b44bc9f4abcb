import numpy as np
import pyarrow as pa

from commerce.given_rankings import Given
from pipeline.user_hashes import HashedIds, hashed, user_key, with_hashed_users
from serving.user_keys import KEY_FILE

KEY = b"a key of more than sixteen bytes"
IDS = ["ann", "17"]
HASHES = [hashed(KEY, user) for user in IDS]


def given(**columns):
    return Given(pa.array(["tea"] * 3), np.ones(3), **{name: pa.array(values) for name, values in columns.items()})


def test_a_hash_is_that_of_the_bundle_and_only_made_when_asked_for():
    import hashlib
    import hmac

    assert HASHES[0] == hmac.digest(KEY, b"ann", hashlib.sha256).hex()
    assert list(HashedIds(IDS, KEY)) == HASHES


def test_lists_may_name_users_by_id_or_by_hash_and_strangers_are_hashed():
    found, names = with_hashed_users(given(user=["ann", HASHES[1], "eve"]), IDS, KEY)
    assert names == HASHES
    assert found.user.to_pylist() == [*HASHES, hashed(KEY, "eve")]


def test_a_qid_stays_as_it_is_since_it_may_be_a_request():
    found, names = with_hashed_users(given(query=["17", "ann", "18"]), IDS, KEY)
    assert found.query.to_pylist() == ["17", "ann", "18"]
    assert names == IDS
    _, names = with_hashed_users(given(query=[HASHES[0]] * 3), IDS, KEY)
    assert names == HASHES


def test_a_key_is_made_once_and_said(tmp_path, monkeypatch):
    monkeypatch.delenv("MERCATO_HASH_KEY")
    key, said = user_key("MERCATO_HASH_KEY", tmp_path)
    assert str(tmp_path / KEY_FILE) in said[0]
    assert user_key("MERCATO_HASH_KEY", tmp_path) == (key, [])
