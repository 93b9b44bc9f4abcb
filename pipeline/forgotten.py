"""Users whom a run must not know: the list that ``mercato forget`` keeps, and the records of what it removed.

The list holds keyed hashes, so that it names nobody; ``ingest`` leaves its users out of every later reading of the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commerce.durable import write_atomic
from configs.errors import InputError
from serving.rights import ListFile, digests_text, read_digests
from serving.user_keys import digest, key_from

LIST, RECORDS = "forgotten.txt", "forgotten"
"""In the run folder: the list, and a folder with a JSON record for each user."""


@dataclass(frozen=True)
class Forgotten:
    """The list, and the key that its hashes were made with."""

    digests: frozenset[bytes]
    key: bytes

    def __len__(self) -> int:
        return len(self.digests)

    def has(self, user_id: str) -> bool:
        """Return whether a user was forgotten."""
        return digest(self.key, user_id) in self.digests


def listed(root: Path, variable: str) -> Forgotten:
    """Return the list of a run folder, an empty one where nobody was forgotten.

    Args:
        root: the run folder.
        variable: environment variable of the key (``export.hash_key_variable``).

    Raises:
        InputError: if there is a list and no key to read it by, or another one: nobody could be kept out.
    """
    lines = ListFile(root / LIST).lines()
    if not lines:
        return Forgotten(frozenset(), b"")
    key = key_from(variable, root)
    if key is None:
        raise InputError(
            f"{root / LIST} holds {len(lines) - 1} users to be kept out, under keyed hashes, and there is no key; set "
            f"{variable} to the key that `mercato forget` had"
        )
    return Forgotten(read_digests(root / LIST, lines, key), key)


def add(root: Path, known: Forgotten, hash_: bytes, key: bytes) -> None:
    """Put a user on the list of a run folder."""
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / LIST, digests_text(known.digests | {hash_}, key))


def record_path(root: Path, hash_: bytes) -> Path:
    """Return where the record of a user lies."""
    return root / RECORDS / f"{hash_.hex()[:16]}.json"


def records(root: Path) -> dict[Path, dict[str, Any]]:
    """Return all records of a run folder by their files."""
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / RECORDS).glob("*.json"))}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, whole or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def refuse_unfinished(root: Path) -> None:
    """Raise InputError where a removal was cut off: the files do not belong together before it has ended."""
    unfinished = [path for path, record in records(root).items() if record["finished"] is None]
    if unfinished:
        raise InputError(
            f"{unfinished[0]}: the removal of a user was cut off; run `mercato forget {root}` to end it first"
        )


def check_bundle(root: Path, digests: set[bytes], bundle: str) -> list[str]:
    """Note in each record that the new bundle has nothing of its user, and return what to say.

    Args:
        root: the run folder.
        digests: keyed hashes of the users in the bundle.
        bundle: its id.

    Raises:
        InputError: if a user who was forgotten is in it.
    """
    found = records(root)
    for path, record in found.items():
        if bytes.fromhex(record["user"]) in digests:
            raise InputError(f"the new bundle holds the user of {path}, who was forgotten; run `mercato run CONFIG`")
        if record["bundles"] and record["bundles"][-1]["bundle"] == bundle:
            continue
        write_record(path, {**record, "bundles": [*record["bundles"], {"bundle": bundle, "has_user": False}]})
    return [f"none of {len(found)} forgotten users is in bundle {bundle}"] if found else []
