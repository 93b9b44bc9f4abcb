"""Users in a bundle: keyed hashes instead of ids.

A bundle never holds a user id. It holds HMAC-SHA256 digests of the ids under a secret key, sorted, so that only
someone with the key can find a given user's row, and the order of rows tells nothing.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

KEY_FILE = "user-hash.key"
"""Key made by an export that found none in the environment; it lies beside the bundle, never in it."""
KEY_VARIABLE = "MERCATO_HASH_KEY"
"""Environment variable of the key, where a bundle names none."""
MIN_KEY_BYTES = 16
"""A shorter key could be guessed, and every user id with it."""
_CHECK = b"mercato: which key made this bundle"


class UserKeyError(InputError):
    """No usable key for user ids; the message says how to give one."""


def key_from(variable: str, beside: Path | None = None) -> bytes | None:
    """Return the key in environment variable ``variable``, else in ``KEY_FILE`` in folder ``beside``, else None.

    Raises:
        UserKeyError: if the key is too short.
    """
    text = os.environ.get(variable, "")
    source = f"environment variable {variable}"
    if not text and beside is not None and (beside / KEY_FILE).is_file():
        text = (beside / KEY_FILE).read_text(encoding="utf-8").strip()
        source = str(beside / KEY_FILE)
    if not text:
        return None
    key = text.encode()
    if len(key) < MIN_KEY_BYTES:
        raise UserKeyError(
            f"the key in {source} has {len(key)} bytes, but at least {MIN_KEY_BYTES} are needed; "
            "make one with `openssl rand -hex 32`"
        )
    return key


def digest(key: bytes, user_id: str) -> bytes:
    """Return the 32 bytes under which ``user_id`` is stored."""
    return hmac.digest(key, user_id.encode(), hashlib.sha256)


def key_check(key: bytes) -> str:
    """Return a hex text that tells two keys apart without telling either; it goes into the manifest."""
    return hmac.digest(key, _CHECK, hashlib.sha256).hex()[:16]


def sorted_digests(key: bytes, user_ids: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return (digests ``[users, 32]`` sorted, and the position in ``user_ids`` of each row)."""
    digests = np.frombuffer(b"".join(digest(key, user) for user in user_ids), dtype=np.uint8).reshape(-1, 32)
    order = np.argsort(digests.view("S32").ravel(), kind="stable") if len(digests) else np.empty(0, np.int64)
    return digests[order], order.astype(np.int64)


@dataclass(frozen=True)
class UserKeys:
    """Finds a user's row by id."""

    digests: NDArray[np.uint8]
    """``[users, 32]``, sorted; memory-mapped."""
    key: bytes

    def row(self, user_id: str) -> int | None:
        """Return the row of ``user_id``, None for an unknown user."""
        wanted = digest(self.key, user_id)
        place = bisect.bisect_left(range(len(self.digests)), wanted, key=lambda row: self.digests[row].tobytes())
        if place < len(self.digests) and self.digests[place].tobytes() == wanted:
            return place
        return None
