"""Why a shopper comes: the intent and topic of each session, and what is remembered from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.intents import BUY, COMPARE
from commerce.bazaar.log import COMPARISON, COMPLEMENT, REPEAT, TASTE
from commerce.bazaar.shoppers import INTENT_BASE, Shoppers
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import CONSUMABLES, LEAVES, complement_of_leaf, leaf_code
from commerce.columns import DAY, INTENTS
from configs.schema import BazaarConfig

WANTED = 3
"""Items of a comparison that stay on the shortlist."""
SHORTLIST_BONUS = 2.5
"""Utility of an item for being on the shortlist."""
REFILL_BONUS = 12.0
"""Utility of the item that has run out."""
REFILL_DAYS = (6.0, 16.0)
"""An item that is used up lasts between these."""

COMPLEMENT_LEAF = np.asarray(complement_of_leaf())
"""For each leaf, the leaf that complements it."""
CONSUMABLE = np.isin(np.arange(len(LEAVES)), [leaf_code(name) for name in CONSUMABLES])
"""For each leaf, whether its items are used up."""


@dataclass
class Memory:
    """What each shopper of a block carries from one session to the next, ``[rows]`` unless said; -1: nothing."""

    compared: NDArray[np.int64]
    """Leaf of the last session, if that compared and bought nothing."""
    shortlist: NDArray[np.int64]
    """``[rows, WANTED]`` items of that comparison."""
    bought_leaf: NDArray[np.int64]
    """Leaf of what the last session bought."""
    bought_style: NDArray[np.int64]
    """Style of what the last session bought."""
    refill: NDArray[np.int64]
    """Item in use."""
    refill_time: NDArray[np.int64]
    """Moment at which it runs out."""

    @classmethod
    def empty(cls, rows: int) -> Memory:
        """Return the memory of shoppers who come for the first time."""
        nothing = np.full(rows, -1, dtype=np.int64)
        return cls(nothing.copy(), np.full((rows, WANTED), -1, dtype=np.int64), *(nothing.copy() for _ in range(4)))


@dataclass(frozen=True)
class Plan:
    """What the sessions of one turn are to be, ``[sessions]`` each."""

    row: NDArray[np.int64]
    """Row of the shopper in the block."""
    session: NDArray[np.int64]
    time: NDArray[np.int64]
    intent: NDArray[np.int64]
    acting: NDArray[np.int64]
    """The intent whose rates the session follows."""
    topic: NDArray[np.int64]
    """Leaf."""
    reason: NDArray[np.int64]
    """Why this topic: ``TASTE``, ``COMPLEMENT``, ``COMPARISON`` or ``REPEAT``."""


def plan_sessions(
    row: NDArray[np.int64],
    turn: int,
    memory: Memory,
    shoppers: Shoppers,
    catalogue: Catalogue,
    config: BazaarConfig,
    streams: Streams,
) -> Plan:
    """Decide the sessions of one turn: a refill, else a purchase after comparing, else a complement, else taste."""
    user, time = shoppers.user[row], shoppers.times[row, turn]
    used_up = (memory.refill[row] >= 0) & (memory.refill_time[row] <= time)
    refill = used_up & (streams.uniform("repeats", user, turn) < config.repeats)
    closing = ~refill & (memory.compared[row] >= 0) & (streams.uniform("funnel", user, turn) < config.funnel)
    pair = (memory.bought_leaf[row] >= 0) & (streams.uniform("complements", user, turn) < config.complements)
    pair &= ~refill & ~closing
    kinds = np.arange(len(INTENTS))
    mood = shoppers.intent[row] + streams.gumbel("intents/draw", user[:, None], turn, kinds)
    intent = np.where(refill | closing, BUY, np.argmax(mood, axis=1))
    other = np.argmax(INTENT_BASE + streams.gumbel("intents/other", user[:, None], turn, kinds), axis=1)
    # Who comes back to buy does buy: only free sessions may act unlike their intent.
    as_meant = refill | closing | (streams.uniform("intents/acting", user, turn) < config.intents)
    acting = np.where(as_meant, intent, other)
    noise = streams.gumbel("topics", user[:, None], turn, np.arange(len(LEAVES)))
    liked = np.argmax(shoppers.leaf_taste[row] + noise, axis=1)
    cases = [refill, closing, pair]
    leaves = [catalogue.leaf[memory.refill[row]], memory.compared[row], COMPLEMENT_LEAF[memory.bought_leaf[row]]]
    return Plan(
        row=row,
        session=np.full(len(row), turn),
        time=time,
        intent=intent,
        acting=acting,
        topic=np.select(cases, leaves, liked),
        reason=np.select(cases, [REPEAT, COMPARISON, COMPLEMENT], TASTE),
    )


def remember(
    memory: Memory,
    plan: Plan,
    viewed: NDArray[np.int64],
    bought: NDArray[np.int64],
    shoppers: Shoppers,
    catalogue: Catalogue,
    streams: Streams,
) -> None:
    """Carry the sessions of a turn into ``memory``.

    Args:
        viewed: ``[sessions, clicks]`` items viewed, -1 padded.
        bought: ``[sessions]`` item bought, -1 without.
    """
    row, some = plan.row, bought >= 0
    comparing = (plan.intent == COMPARE) & ~some
    memory.compared[row] = np.where(comparing, plan.topic, -1)
    liking = np.where(viewed >= 0, shoppers.utility[row[:, None], viewed], -np.inf)
    best = np.take_along_axis(viewed, np.argsort(-liking, axis=1, kind="stable"), axis=1)[:, :WANTED]
    memory.shortlist[row] = best
    memory.bought_leaf[row] = np.where(some, catalogue.leaf[bought], -1)
    memory.bought_style[row] = np.where(some, catalogue.style[bought], -1)
    over = (memory.refill[row] >= 0) & (memory.refill_time[row] <= plan.time)
    memory.refill[row[over]] = -1
    lasting = streams.uniform("refills/days", shoppers.user[row], plan.session)
    days = REFILL_DAYS[0] + (REFILL_DAYS[1] - REFILL_DAYS[0]) * lasting
    starts = some & CONSUMABLE[catalogue.leaf[bought]]
    memory.refill[row[starts]] = bought[starts]
    memory.refill_time[row[starts]] = (plan.time + days * DAY).astype(np.int64)[starts]
