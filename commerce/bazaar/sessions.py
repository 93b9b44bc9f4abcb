"""Visits of a block of shoppers, session after session: searches, lists, clicks, favourites, carts, purchases.

All shoppers of a block take their n-th session at the same turn, so that a turn is a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar import intents
from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.lists import Asked, Clicks, Shown, click, show_lists, utilities
from commerce.bazaar.log import COMPARISON, COMPLEMENT, POSITION, PROMOTION, QUERY, REPEAT, TASTE, Log, Written
from commerce.bazaar.planning import REFILL_BONUS, SHORTLIST_BONUS, WANTED, Memory, Plan, plan_sessions, remember
from commerce.bazaar.queries import NO_BRAND, NO_STYLE, number_of
from commerce.bazaar.shoppers import Shoppers
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import BRANDS, LEAVES, STYLES
from commerce.columns import ACTION_CODES, MICROSECONDS
from configs.schema import BazaarConfig

PAGE, FIRST_VIEW, VIEW = 400 * MICROSECONDS, 20 * MICROSECONDS, 40 * MICROSECONDS
"""From one list to the next, from a list to its first view, from view to view."""
MOMENT = 8 * MICROSECONDS
"""From a view to its favourite, from the cart to the purchase."""


@dataclass(frozen=True)
class Query:
    """What the sessions of a turn search for, ``[sessions]`` each."""

    number: NDArray[np.int64]
    """As ``queries.number_of``; -1 where the session opens without a search."""
    brand: NDArray[np.int64]
    """Brand that is wanted because the query names it, -1 without."""
    style: NDArray[np.int64]
    informed: NDArray[np.bool_]
    """Whether the words say what is wanted."""


@dataclass(frozen=True)
class World:
    """What does not change during a simulation."""

    shoppers: Shoppers
    catalogue: Catalogue
    config: BazaarConfig
    streams: Streams


def simulate(shoppers: Shoppers, catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> Written:
    """Return the log of all sessions of the shoppers."""
    world = World(shoppers, catalogue, config, streams)
    log = Log()
    memory = Memory.empty(len(shoppers.user))
    for turn in range(int(shoppers.sessions.max(initial=0))):
        row = np.flatnonzero(shoppers.sessions > turn)
        plan = plan_sessions(row, turn, memory, shoppers, catalogue, config, streams)
        viewed, bought = _visit(plan, memory, log, world)
        remember(memory, plan, viewed, bought, shoppers, catalogue, streams)
    return log.written()


def _visit(plan: Plan, memory: Memory, log: Log, world: World) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Play the sessions of a turn; return the items viewed, ``[sessions, clicks]``, and bought, ``[sessions]``."""
    asked = _ask(plan, memory)
    query = _first_query(plan, asked, world)
    browsing = (plan.intent == intents.BROWSE) & (query.number < 0)
    asked = replace(asked, brand=query.brand, style=query.style, spread=browsing)
    shown, first = _page(plan, asked, query.number, log, world)
    more = world.streams.uniform("pages", _user(plan, world), plan.session) < intents.SECOND_LIST[plan.acting]
    narrower = _narrower_query(query, first, asked, world)
    second_asked = replace(
        asked, page=asked.page + 1, time=asked.time + PAGE, brand=narrower.brand, style=narrower.style
    )
    second_shown, second = _page(plan, second_asked, narrower.number, log, world, more)
    log.sessions(
        user=_user(plan, world),
        session=plan.session,
        time=plan.time,
        intent=plan.intent,
        topic=plan.topic,
        reason=plan.reason,
        informed=query.informed,
    )
    viewed = np.concatenate([first.item, second.item], axis=1)
    lifted = np.concatenate([first.lifted, second.lifted], axis=1)
    sold = np.concatenate([_sponsored(shown, first), _sponsored(second_shown, second)], axis=1)
    last = np.where(more, second_asked.time, asked.time)
    bought = _buy(plan, second_asked, viewed, lifted, sold, query, last, log, world)
    return viewed, bought


def _ask(plan: Plan, memory: Memory) -> Asked:
    """Return what the first list of each session is asked for, before any words."""
    count = len(plan.row)
    nothing = np.full(count, -1, dtype=np.int64)
    refill = np.full((count, WANTED), -1, dtype=np.int64)
    refill[:, 0] = memory.refill[plan.row]
    closing, again = plan.reason == COMPARISON, plan.reason == REPEAT
    wanted = np.where(closing[:, None], memory.shortlist[plan.row], np.where(again[:, None], refill, -1))
    return Asked(
        row=plan.row,
        session=plan.session,
        page=np.zeros(count, dtype=np.int64),
        time=plan.time,
        intent=plan.intent,
        topic=plan.topic,
        spread=np.zeros(count, dtype=bool),
        brand=nothing,
        style=nothing,
        match_style=np.where(plan.reason == COMPLEMENT, memory.bought_style[plan.row], -1),
        wanted=np.where(wanted < 0, -2, wanted),  # -1 is an empty place in a list: it must not match
        wanted_bonus=np.where(again, REFILL_BONUS, SHORTLIST_BONUS),
    )


def _first_query(plan: Plan, asked: Asked, world: World) -> Query:
    """Draw whether sessions open with a search, and for what: the leaf, brand and style of an item aimed at."""
    user, streams, catalogue = _user(plan, world), world.streams, world.catalogue
    search = streams.uniform("searches", user, plan.session) < intents.SEARCH[plan.acting]
    informed = streams.uniform("queries/informed", user, plan.session) < world.config.queries
    shelf = catalogue.by_leaf[plan.topic]
    noise = streams.gumbel("queries/aim", user[:, None], plan.session[:, None], shelf)
    best = np.argmax(utilities(asked, shelf, world.shoppers.utility, catalogue, world.config) + noise, axis=1)
    aim = shelf[np.arange(len(shelf)), best]
    names_brand = streams.uniform("queries/brand", user, plan.session) < intents.NAMES_BRAND[plan.acting]
    names_style = streams.uniform("queries/style", user, plan.session) < intents.NAMES_STYLE[plan.acting]
    leaf = np.where(informed, plan.topic, streams.choice("queries/any-leaf", len(LEAVES), user, plan.session))
    brand = np.where(
        informed, catalogue.brand[aim], streams.choice("queries/any-brand", len(BRANDS), user, plan.session)
    )
    style = np.where(
        informed, catalogue.style[aim], streams.choice("queries/any-style", len(STYLES), user, plan.session)
    )
    number = number_of(
        leaf,
        np.where(names_brand, brand, NO_BRAND),
        np.where(names_style, style, NO_STYLE),
        streams.choice("queries/synonym", 2, user, plan.session),
        world.shoppers.profiles.chinese[plan.row],
    )
    means = search & informed
    return Query(
        number=np.where(search, number, -1),
        brand=np.where(means & names_brand, brand, -1),
        style=np.where(means & names_style, style, -1),
        informed=means,
    )


def _narrower_query(query: Query, clicks: Clicks, asked: Asked, world: World) -> Query:
    """Return the second search of sessions that meant their first: with the brand and style of the first click."""
    first = clicks.item[:, 0]
    narrow = query.informed & (first >= 0)
    brand = np.where(narrow, world.catalogue.brand[first], query.brand)
    style = np.where(narrow, world.catalogue.style[first], query.style)
    # Brand and style together would leave hardly an item: a query that named the style keeps to it.
    by_style = narrow & (query.style >= 0)
    number = number_of(
        asked.topic,
        np.where(by_style | (brand < 0), NO_BRAND, brand),
        np.where(by_style, style, NO_STYLE),
        world.streams.choice("queries/synonym", 2, world.shoppers.user[asked.row], asked.session),
        world.shoppers.profiles.chinese[asked.row],
    )
    return Query(
        number=np.where(narrow, number, -1),
        brand=np.where(by_style, -1, brand),
        style=np.where(narrow & ~by_style, -1, style),
        informed=narrow,
    )


def _page(
    plan: Plan,
    asked: Asked,
    query: NDArray[np.int64],
    log: Log,
    world: World,
    wanted: NDArray[np.bool_] | None = None,
) -> tuple[Shown, Clicks]:
    """Show a list in each session (where ``wanted``) and log the search, impressions, views and favourites."""
    user, streams = _user(plan, world), world.streams
    where = np.ones(len(user), dtype=bool) if wanted is None else wanted
    shown = show_lists(asked, world.shoppers, world.catalogue, world.config, streams)
    draw = streams.uniform("clicks/count", user, plan.session, asked.page)
    count = intents.FEWEST_CLICKS[plan.acting] + (draw * intents.SPAN_CLICKS[plan.acting]).astype(np.int64)
    clicks = click(asked, shown, np.where(where, count, 0), world.shoppers, world.catalogue, world.config, streams)
    here = {"user": user[:, None], "session": plan.session[:, None]}
    log.events(
        ((query >= 0) & where)[:, None],
        **here,
        time=asked.time[:, None],
        action=ACTION_CODES["search"],
        query=query[:, None],
        page=asked.page[:, None],
    )
    place = np.arange(shown.item.shape[1])
    on_list = {**here, "page": asked.page[:, None]}
    log.events(
        (shown.item >= 0) & where[:, None],
        **on_list,
        time=asked.time[:, None] + MICROSECONDS,
        action=ACTION_CODES["impression"],
        item=shown.item,
        position=place,
    )
    turn = np.arange(clicks.item.shape[1])
    viewed_at = asked.time[:, None] + FIRST_VIEW + turn * VIEW
    viewed = clicks.item >= 0
    log.events(
        viewed, **on_list, time=viewed_at, action=ACTION_CODES["view"], item=clicks.item, position=clicks.position
    )
    draw = streams.uniform("favorites", user[:, None], plan.session[:, None], asked.page[:, None], turn)
    log.events(
        viewed & (draw < intents.FAVORITE[plan.acting][:, None]),
        **here,
        time=viewed_at + MOMENT,
        action=ACTION_CODES["favorite"],
        item=clicks.item,
    )
    return shown, clicks


def _buy(
    plan: Plan,
    asked: Asked,
    viewed: NDArray[np.int64],
    lifted: NDArray[np.bool_],
    sold: NDArray[np.bool_],
    query: Query,
    page_time: NDArray[np.int64],
    log: Log,
    world: World,
) -> NDArray[np.int64]:
    """Put one viewed item into the cart and buy it, by the rates of the intent; return the item bought, -1 without."""
    user, streams, rows = _user(plan, world), world.streams, np.arange(len(plan.row))
    noise = streams.gumbel("carts/item", user[:, None], plan.session[:, None], viewed)
    worth = utilities(asked, viewed, world.shoppers.utility, world.catalogue, world.config) + noise
    best = np.argmax(worth, axis=1)
    cart = np.isfinite(worth[rows, best])
    cart &= streams.uniform("carts", user, plan.session) < intents.CART[plan.acting]
    buys = cart & (streams.uniform("purchases", user, plan.session) < intents.PURCHASE[plan.acting])
    item = viewed[rows, best]
    listed = (item[:, None] == asked.wanted).any(axis=1)
    cause = np.select(
        [
            listed & (plan.reason == REPEAT),
            sold[rows, best],
            lifted[rows, best],
            listed & (plan.reason == COMPARISON),
            plan.reason == COMPLEMENT,
            query.informed,
        ],
        [REPEAT, PROMOTION, POSITION, COMPARISON, COMPLEMENT, QUERY],
        TASTE,
    )
    at = page_time + FIRST_VIEW + intents.MOST_CLICKS * VIEW
    log.events(cart, user=user, session=plan.session, time=at, action=ACTION_CODES["cart"], item=item)
    log.events(
        buys,
        user=user,
        session=plan.session,
        time=at + MOMENT,
        action=ACTION_CODES["purchase"],
        item=item,
        cause=cause,
    )
    return np.where(buys, item, -1)


def _sponsored(shown: Shown, clicks: Clicks) -> NDArray[np.bool_]:
    return (clicks.position >= 0) & np.take_along_axis(shown.sponsored, np.maximum(clicks.position, 0), axis=1)


def _user(plan: Plan, world: World) -> NDArray[np.int64]:
    return world.shoppers.user[plan.row]
