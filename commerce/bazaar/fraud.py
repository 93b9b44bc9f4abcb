"""Fraud bursts: a ring of fresh accounts views and buys one item within an hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from commerce.bazaar.catalogue import ALWAYS, START, Catalogue
from commerce.bazaar.log import FRAUD, Log, Written
from commerce.bazaar.streams import Streams
from commerce.columns import ACTION_CODES, DAY, MICROSECONDS
from configs.schema import BazaarConfig

RING = 15
"""Accounts in a ring."""
ROUNDS = 4
"""Times that each account views and buys the item."""


def fraud_accounts(config: BazaarConfig) -> int:
    """Return how many false accounts there are; their codes follow those of the shoppers."""
    return config.fraud_bursts * RING


def fraud_log(catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> Written:
    """Return the events of all bursts; each falls into the middle three fifths of the log."""
    log = Log()
    steady = np.flatnonzero((catalogue.available_from == START) & (catalogue.available_until == ALWAYS))
    for burst in range(config.fraud_bursts):
        item = steady[streams.choice("fraud/item", len(steady), burst)]
        begin = START + int((0.2 + 0.6 * streams.uniform("fraud/time", burst)[0]) * config.days * DAY)
        account = config.users + burst * RING + np.arange(RING)[:, None]
        turn = np.arange(ROUNDS)
        wait = streams.uniform("fraud/wait", account, turn)
        viewed = begin + ((turn + 0.8 * wait) * 3_600 / ROUNDS).astype(np.int64) * MICROSECONDS
        keep = np.ones(viewed.shape, dtype=bool)
        ring: dict[str, ArrayLike] = {"user": account, "session": 0, "item": item}
        log.events(keep, **ring, time=viewed, action=ACTION_CODES["view"])
        log.events(keep, **ring, time=viewed + 5 * MICROSECONDS, action=ACTION_CODES["purchase"], cause=FRAUD)
    return log.written()
