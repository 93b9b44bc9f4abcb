"""Where a user stands among the items: the user tower's vector, and what the session is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Events
from commerce.session_statistics import query_words, session_statistics
from commerce.state import with_query
from serving.contents import Contents
from serving.in_time import cheapest
from serving.models import Models, user_inputs
from serving.pace import TERMS, USER, Pace
from serving.query_book import QueryBook
from serving.users import UserFeatures
from serving.visible import Visible

Floats = NDArray[np.float32]


class Placing:
    """Reads users with the bundle's user tower; without one, search terms alone have a place."""

    def __init__(self, tower: Mapping[str, Any] | None, models: Models, contents: Contents) -> None:
        """Take what users are read with.

        Args:
            tower: what the manifest says of the user tower; None in a bundle made without a log.
            models: the bundle's graphs.
            contents: its files.
        """
        self._tower, self._models, self._contents = tower, models, contents

    def in_time(
        self, visible: Visible, moment: int, query: int, queries: QueryBook, pace: Pace
    ) -> tuple[Floats, Floats]:
        """Return the user's vector ``[dim]`` and intent probabilities ``[3]``.

        Zeros and no intents where the time does not allow it; without a user tower, the text vector of the search
        terms, zeros where there are none, and no intents.
        """
        terms = (TERMS,) if queries.fresh else ()
        if not pace.affords(USER, *terms, cheapest(self._contents.sources, pace.costs)):
            pace.cut(USER)
            return np.zeros(self._contents.item_vectors.shape[1], np.float32), np.empty(0, dtype=np.float32)
        with pace.step(USER):
            return self._placed(visible, moment, query, queries)

    def _placed(self, visible: Visible, moment: int, query: int, queries: QueryBook) -> tuple[Floats, Floats]:
        if self._tower is None:
            events = with_query(visible.events, query, moment)
            vector = np.zeros(self._contents.item_vectors.shape[1], dtype=np.float32)
            if len(events):
                vector = queries.vectors(events.query[-1:, None].astype(np.int64))[0, 0]
            return vector, np.empty(0, dtype=np.float32)
        vectors, intents = self.read([visible.events], visible.features, moment, query, queries)
        return vectors[0], intents[0]

    def read(
        self, histories: Sequence[Events], features: UserFeatures, moment: int, query: int, queries: QueryBook
    ) -> tuple[Floats, Floats]:
        """Return the vectors ``[histories, dim]`` and intents ``[histories, 3]`` of a user under several histories.

        Args:
            histories: what the user did before ``moment``, without the search that is asked for now.
            features: of the user.
            moment: microseconds UTC.
            query: code of what is asked for now, ``NO_QUERY`` without.
            queries: which knows it.
        """
        assert self._tower is not None
        return self._models.users(
            user_inputs(
                [with_query(events, query, moment) for events in histories],
                features,
                self._tower["length"],
                self._contents.item_vectors,
                queries.vectors,
                np.stack([self._statistics(events, moment, query, queries) for events in histories]),
            )
        )

    def _statistics(self, events: Events, moment: int, query: int, queries: QueryBook) -> Floats:
        """Return what the intent head is told of the session, ``[statistics]``; none in a bundle from before it."""
        facts = self._contents.session_facts
        if facts is None:
            return np.zeros(0, dtype=np.float32)
        words = query_words(queries[query]) if query != NO_QUERY else 0.0
        return session_statistics(events, moment, query, words, facts)
