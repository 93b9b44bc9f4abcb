"""The checkerboard shop: user u bought every item of their own colour (even or odd) but item u.

So, without what they had, the one right answer for user u is item u; items of the other colour are wrong. (The idea
is from implicit's tests.)
"""

import numpy as np
import pytest

from commerce.associations import count_associations, count_popularity, counted_events
from commerce.columns import ACTION_CODES, DAY
from commerce.histories import Histories
from commerce.tastes import count_tastes
from commerce.warehouse import open_warehouse
from retrieval.filters import ALWAYS_FROM, ALWAYS_UNTIL, NOTHING, Allowed
from retrieval.index import ItemIndex
from retrieval.lexical import LexicalSource
from retrieval.sources import (
    Ask,
    AssociationSource,
    PopularitySource,
    RepeatSource,
    TasteSource,
    VectorSource,
    action_weights,
)

SIZE = 12
NOW = 100 * DAY
COLOUR = np.arange(SIZE) % 2


class Checkerboard:
    def __init__(self, folder):
        self.had = [[item for item in range(SIZE) if item % 2 == user % 2 and item != user] for user in range(SIZE)]
        count = len(self.had[0])
        self.histories = Histories(
            offsets=np.arange(SIZE + 1) * count,
            item=np.array(self.had, np.int32).ravel(),
            action=np.full(SIZE * count, ACTION_CODES["purchase"], np.uint8),
            time=np.tile(np.arange(count) * DAY, SIZE),
            query=np.full(SIZE * count, -1, np.int32),
            session=np.repeat(np.arange(SIZE), count),
        )
        ends = self.histories.offsets[1:]
        warehouse = open_warehouse(1, 1.0)
        events = counted_events(warehouse, self.histories, ends, folder / "events.parquet")
        edges = count_associations(events, SIZE, reach=20, days=0, forward=3.0, neighbours=100)
        counts = count_popularity(events, SIZE, {"purchase": 1.0}, 0)
        tastes = count_tastes(events, SIZE, most=SIZE, ridge=0.5, neighbours=100, days=0)
        vectors = np.eye(2, dtype=np.float32)[COLOUR]
        self.sources = {
            "vectors": VectorSource(ItemIndex.build(np.arange(SIZE), vectors)),
            "associations": AssociationSource(edges, 2.0),
            "tastes": TasteSource(tastes),
            "repeats": RepeatSource(action_weights({"purchase": 1.0}, 0.1), 80.0),
            "popularity": PopularitySource(counts),
            "lexical": LexicalSource.build(
                [("black", "white")[colour] + f" tile {item}" for item, colour in enumerate(COLOUR)]
            ),
        }
        self.ask = Ask(
            events=[self.histories.events(user, end) for user, end in enumerate(ends)],
            vectors=vectors,
            time=np.full(SIZE, NOW),
            queries=[("Black tiles", "white!")[colour] for colour in COLOUR],
        )

    def allowed(self, *, seen=True, until=None):
        """What may be shown: ``seen`` items too, or not; ``until`` maps items to the moment they go."""
        end = np.full(SIZE, ALWAYS_UNTIL)
        for item, moment in (until or {}).items():
            end[item] = moment
        excluded = [NOTHING if seen else np.array(items, np.int32) for items in self.had]
        return Allowed(np.full(SIZE, ALWAYS_FROM), end, np.full(SIZE, NOW), excluded)


@pytest.fixture(scope="session")
def checkerboard(tmp_path_factory):
    return Checkerboard(tmp_path_factory.mktemp("checkerboard"))
