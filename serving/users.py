"""Users of a bundle: histories and profile features in memory-mapped arrays, found by keyed hash of the id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Events, Histories
from serving.user_keys import UserKeys, sorted_digests

_CHUNK = 4096
"""Users whose events are copied at a time, so that a log larger than memory passes through."""
_FEATURES = ("categorical", "numeric", "numeric_mask")


@dataclass(frozen=True)
class UserFeatures:
    """Encoded profile features; row u is a user, arrays are ``[users, columns]``."""

    categorical: NDArray[np.int32]
    """Category codes, 0 for missing or unknown."""
    numeric: NDArray[np.float32]
    """Standardised numbers, 0 where missing."""
    numeric_mask: NDArray[np.bool_]
    """Whether the number is there."""

    @classmethod
    def open(cls, folder: Path) -> UserFeatures:
        """Memory-map the arrays in ``folder`` read-only."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FEATURES))

    def row(self, user: int) -> UserFeatures:
        """Return one user's features, ``[1, columns]``."""
        return UserFeatures(*(np.asarray(getattr(self, name)[user : user + 1]) for name in _FEATURES))


@dataclass(frozen=True)
class StoredUsers:
    """What a bundle knows of users by itself."""

    keys: UserKeys
    histories: Histories
    features: UserFeatures

    @classmethod
    def open(cls, folder: Path, key: bytes) -> StoredUsers:
        """Memory-map what ``write_users`` wrote under ``key``."""
        digests = np.load(folder / "digests.npy", mmap_mode="r")
        return cls(UserKeys(digests, key), Histories.open(folder / "histories"), UserFeatures.open(folder / "features"))

    def find(self, user_id: str, moment: int) -> tuple[Events, UserFeatures] | None:
        """Return a user's events strictly before ``moment`` and features, None for an unknown user."""
        row = self.keys.row(user_id)
        if row is None:
            return None
        events = self.histories.events(row, self.histories.end_before(row, moment))
        return events, self.features.row(row)


def write_users(
    folder: Path,
    user_ids: Sequence[str],
    key: bytes,
    histories: Histories,
    features: UserFeatures,
    query_codes: NDArray[np.int32] | None = None,
) -> None:
    """Write users in the order of their hashed ids, so that a row's place tells nothing of who it is.

    Args:
        folder: made here.
        user_ids: by user code; a user with an empty id, who was forgotten, is left out.
        key: of the hashes.
        histories: of all users.
        features: theirs.
        query_codes: ``[queries]``, what is written in the place of each code; None: as they are.
    """
    digests, order = sorted_digests(key, user_ids)
    kept = np.array([bool(user_ids[user]) for user in order.tolist()], dtype=bool)
    digests, order = digests[kept], order[kept]
    (folder / "histories").mkdir(parents=True)
    (folder / "features").mkdir()
    np.save(folder / "digests.npy", digests)
    _write_histories(folder / "histories", histories, order, query_codes)
    for name in _FEATURES:
        np.save(folder / "features" / f"{name}.npy", getattr(features, name)[order])


def _write_histories(
    folder: Path, histories: Histories, order: NDArray[np.int64], query_codes: NDArray[np.int32] | None
) -> None:
    starts, counts = histories.offsets[:-1][order], np.diff(histories.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    np.save(folder / "offsets.npy", offsets)
    for name in ("item", "action", "time", "query", "session"):
        source: NDArray[np.generic] = getattr(histories, name)
        if not len(source):  # an empty file cannot be memory-mapped by open_memmap
            np.save(folder / f"{name}.npy", source)
            continue
        target = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", source.dtype, (int(offsets[-1]),))
        for first in range(0, len(order), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            begin, end = int(offsets[first]), int(offsets[min(first + _CHUNK, len(order))])
            shift = np.repeat(starts[chunk] - offsets[:-1][chunk], counts[chunk])
            copied = source[np.arange(begin, end) + shift]
            if name == "query" and query_codes is not None:
                copied = np.where(copied == NO_QUERY, NO_QUERY, query_codes[np.maximum(copied, 0)])
            target[begin:end] = copied
        target.flush()
