from dataclasses import dataclass, replace

import ibis
import numpy as np
import pytest

from commerce.bazaar.oracle import Oracle
from commerce.bazaar.queries import text_of
from commerce.bazaar.whole import Shop, open_shop, session_key
from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.histories import Histories
from commerce.intent import (
    IntentRules,
    fetch_labels,
    history_events,
    label_moments,
    leaf_table,
    moment_table,
    session_marks,
)
from commerce.records import Requests
from commerce.requests import lay_requests
from commerce.splits import WINDOWS, Moments, split_by_time
from configs.schema import BazaarConfig

SMALL = BazaarConfig(users=400, items=600, days=60)
GAINS = {"view": 0.2, "cart": 0.5, "purchase": 1.0}


@dataclass(frozen=True)
class Asked:
    """A small shop with its histories and the rolling requests of its test week."""

    shop: Shop
    histories: Histories
    requests: Requests
    texts: list[str]
    test_start: int

    def oracle(self, *, tells_intents: bool = True) -> Oracle:
        config = self.shop.config
        items = [f"i{code:06d}" for code in range(config.items)]
        users = [f"u{code:06d}" for code in range(self.histories.users)]
        return Oracle(config, items, users, self.texts, tells_intents=tells_intents)


def ask(shop: Shop) -> Asked:
    events = {name: column[shop.events["action"] != ACTION_CODES["impression"]] for name, column in shop.events.items()}
    numbers, query = np.unique(events["query"], return_inverse=True)
    texts = [text_of(int(number)) for number in numbers if number >= 0]
    users = int(events["user"].max()) + 1
    session = session_key(events)
    histories = Histories(
        offsets=np.searchsorted(events["user"], np.arange(users + 1)),
        item=events["item"].astype(np.int32),
        action=events["action"].astype(np.uint8),
        time=events["time"],
        query=(query - 1).astype(np.int32),
        session=session,
    )
    split = split_by_time(histories, int(shop.events["time"].max()), [7, 7, 7])
    starts = np.array([split.starts[name] for name in WINDOWS])
    search = (histories.action == ACTION_CODES["search"]) & (histories.time >= starts[0])
    opened = ~np.isin(session_key(shop.sessions), session[search]) & (shop.sessions["time"] >= starts[0])
    user = np.concatenate([events["user"][search], shop.sessions["user"][opened]]).astype(np.int32)
    time = np.concatenate([histories.time[search], shop.sessions["time"][opened]])
    moments = Moments(
        user=user,
        time=time,
        window=(np.searchsorted(starts, time, side="right") - 1).astype(np.int8),
        query=np.concatenate([histories.query[search], np.full(opened.sum(), NO_QUERY)]).astype(np.int32),
        session=np.concatenate([session[search], session_key(shop.sessions)[opened]]),
    )
    halves = np.arange(users) % 2 == 0
    requests = lay_requests(histories, split, moments, dict.fromkeys(WINDOWS, GAINS), halves, rolling=True)
    return Asked(shop, histories, requests.of("test"), texts, split.starts["test"])


def labels(asked: Asked):
    """Return the rule's label of every request."""
    window = np.zeros(len(asked.histories.item), dtype=np.int8)
    requests = asked.requests
    leaves = leaf_table(asked.shop.catalogue.leaf.astype(np.int32))
    marks = session_marks(history_events(asked.histories, window), leaves, None, IntentRules())
    moments = moment_table(requests.session, np.zeros(len(requests), dtype=np.int8), requests.time)
    return fetch_labels(ibis.duckdb.connect(), label_moments(moments, marks))


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def asked():
    return ask(open_shop(SMALL))


@pytest.fixture(scope="session")
def leaning():
    """A small shop in which what is liked depends on the intent."""
    return ask(open_shop(replace(SMALL, intent_tastes=2.0)))


@pytest.fixture(scope="session")
def labelled(asked):
    return labels(asked)
