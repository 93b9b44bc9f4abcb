"""The key of a run's user-id hashes, and what is written in the place of an id."""

from __future__ import annotations

import os
import secrets
from collections import UserList
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from commerce.given_rankings import Given
from serving.user_keys import KEY_FILE, digest, key_from


def user_key(variable: str, root: Path) -> tuple[bytes, list[str]]:
    """Return the key of the user-id hashes, and what to say about it.

    Where environment ``variable`` (``export.hash_key_variable``) has none, one is made once and kept in the run folder,
    beside the bundle, readable by its owner only.
    """
    key = key_from(variable, root)
    if key is not None:
        return key, []
    path = root / KEY_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32) + "\n")
    made = key_from(variable, root)
    assert made is not None
    return made, [
        f"{variable} is not set, so a key for the user ids was made: {path}. Keep it secret and "
        f"apart from the bundle; a serving machine needs it as {variable}"
    ]


def hashed(key: bytes, user_id: str) -> str:
    """Return what files and logs write for a user: 64 hex digits of HMAC-SHA256."""
    return digest(key, user_id).hex()


class HashedIds(UserList[str]):
    """Ids by user code that are hashed when one is asked for."""

    def __init__(self, ids: Sequence[str], key: bytes) -> None:
        """Hash what is asked for of ``ids`` with ``key``."""
        super().__init__(ids)
        self._key = key

    def __getitem__(self, code: Any) -> Any:
        return hashed(self._key, super().__getitem__(code))


def with_hashed_users(given: Given, user_ids: Sequence[str], key: bytes) -> tuple[Given, list[str]]:
    """Return ranked lists with hashed users, and the hash of each user code.

    A list's user may be the shop's own id, or the hash that ``requests.csv`` has; an id in a TREC run's first column
    stays as it is, where it is not the shop's id of a user, since it may mean a request.
    """
    hashes = [hashed(key, user) for user in user_ids]
    known = dict(zip(user_ids, hashes, strict=True))
    column = given.user if given.user is not None else given.query
    if column is None:
        return given, hashes
    distinct = set(pc.unique(column).to_pylist())
    if given.user is None:
        # One or the other: a number may be a user's id and a request's.
        return given, hashes if not distinct.isdisjoint(hashes) else list(user_ids)
    own = set(hashes)
    names = {user: user if user in own else known.get(user) or hashed(key, user) for user in distinct}
    return replace(given, user=pa.array([names[user] for user in column.to_pylist()], pa.string())), hashes
