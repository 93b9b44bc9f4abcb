"""Who asks: what the caller says of a user, and what the bundle holds of them under a keyed hash."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from commerce.histories import Events
from serving.contents import Contents
from serving.query_book import QueryBook
from serving.requests import Request
from serving.user_keys import KEY_VARIABLE, UserKeyError, key_check, key_from
from serving.users import StoredUsers, UserFeatures
from serving.visible import Visible, coded_events

_IMPERSONAL = "answered without history and profile, as was asked for"
_UNPERSONALISED = (
    "this bundle is unpersonalised: it was made without a log, and answers depend on the search terms alone"
)


class WhoAsks:
    """Finds out what is visible of the user of a request."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], contents: Contents, key: bytes | None) -> None:
        """Name a bundle.

        Args:
            folder: of the bundle.
            manifest: its own.
            contents: its files.
            key: of the user-id hashes; else the environment, or the file beside the bundle, is asked for it.
        """
        self._folder, self._manifest, self._contents, self._given = folder, manifest, contents, key

    @property
    def personalised(self) -> bool:
        """Whether answers depend on who asks; a bundle made without a log answers search terms alone."""
        return self._manifest["models"]["user"] is not None

    def visible(self, request: Request, moment: int, queries: QueryBook) -> Visible:
        """Gather what is known of the user: what the caller says goes before what the bundle holds."""
        if not self.personalised:
            return Visible(_nothing(), self._contents.features({}), "", False, (_UNPERSONALISED,))
        if not request.personalise:
            return Visible(_nothing(), self._contents.features({}), "", False, (_IMPERSONAL,))
        stored = None
        if request.user is not None and (request.events is None or request.profile is None):
            stored = self._stored(request.user, moment, needed=request.events is None)
        notes: tuple[str, ...] = ()
        if request.events is not None:
            events, notes = coded_events(
                request.events, moment, self._contents.item_ids, queries, self._contents.history_actions
            )
        elif stored is not None:
            events = stored[0]
        else:
            events = _nothing()
            lacks = "holds no users" if self._manifest["users"] is None else f"does not know user {request.user}"
            notes = (f"the bundle {lacks}: answered as for somebody new",)
        if request.profile is not None:
            features = self._contents.features(request.profile)
        else:
            features = stored[1] if stored is not None else self._contents.features({})
        known = bool(len(events)) or stored is not None or bool(request.profile)
        return Visible(events, features, self._contents.profile(features), known, notes)

    def _stored(self, user: str, moment: int, needed: bool) -> tuple[Events, UserFeatures] | None:
        """Look a user up in the bundle; ``needed`` where the request says nothing else about them."""
        facts = self._manifest["users"]
        if facts is None or (not needed and self.key is None):
            return None
        if self.key is None:
            raise UserKeyError(
                f"the bundle holds its users under keyed hashes, and there is no key to look up user {user}; set the "
                f"environment variable {facts['key_variable']} to the key of its export, or send the user's events"
            )
        if key_check(self.key) != facts["key_check"]:
            raise UserKeyError(
                f"the key in {facts['key_variable']}, or beside the bundle, is not the one it was made with, so user "
                f"{user} cannot be looked up; set the variable to the key of the export"
            )
        return self._users.find(user, moment)

    @cached_property
    def key(self) -> bytes | None:
        """The key of the user-id hashes; None where nobody gave one."""
        facts = self._manifest.get("users") or {}
        return self._given or key_from(facts.get("key_variable", KEY_VARIABLE), self._folder.parent)

    @cached_property
    def _users(self) -> StoredUsers:
        assert self.key is not None
        return StoredUsers.open(self._folder / "users", self.key)


def _nothing() -> Events:
    return Events(np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int32))
