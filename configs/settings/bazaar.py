"""The generated shop."""

from __future__ import annotations

from dataclasses import dataclass

from configs.ranges import at_least, shares


@dataclass
class BazaarConfig:
    """The synthetic shop of the ``bazaar`` reader. Every habit has a strength; 0 switches it off (docs/bazaar.md)."""

    users: int = 3000
    """Number of shoppers."""
    items: int = 1500
    """Number of products, variants counted each."""
    days: int = 84
    """Length of the log in days, which starts on 2026-01-05 UTC."""
    seed: int = 7
    """Seed of the shop; one seed, one shop."""
    sessions_per_user: float = 16.0
    """Mean number of sessions of a shopper who is there from the start."""
    list_length: int = 10
    """Items in a list that the shop shows (impressions per request)."""
    taste: float = 1.0
    """How far shoppers differ in what they like: categories, brands, styles. Scale of utilities."""
    intents: float = 1.0
    """Probability that a session acts as its intent says; else it acts as a random one."""
    funnel: float = 0.5
    """Probability that a comparison without a purchase is followed by a session that buys from its shortlist."""
    intent_relevance: float = 0.9
    """Probability that a slot of a browsing feed wanders to a category of its own instead of the session's topic."""
    intent_tastes: float = 0.0
    """How far what is liked depends on the intent: what is dear while browsing, rated well while comparing, cheap when
    buying. Scale of utilities."""
    queries: float = 0.95
    """Probability that search words say what is wanted; else they are random ones."""
    position_bias: float = 1.0
    """Power of 1 / (1 + position) with which a shown item is looked at."""
    price_sensitivity: float = 1.0
    """How far shoppers differ in what a price does to them. Scale of utilities."""
    complements: float = 0.5
    """Probability that a session after a purchase is about what goes with it."""
    substitutes: float = 1.5
    """In comparisons: added utility, for the next click, of items like the one just viewed."""
    variants: float = 2.0
    """Added utility, for the next click, of other variants of the product just viewed."""
    repeats: float = 0.7
    """Probability that an item that is used up is bought again in the first session after it has run out."""
    popularity: float = 0.8
    """How far items differ in appeal to everybody. Scale of utilities."""
    item_features: float = 0.5
    """What a standard deviation of rating adds to an item's utility."""
    user_features: float = 0.8
    """How far age sets the liking for styles, and household size that for departments. Scale of utilities."""
    image_vectors: float = 0.1
    """Share of items that have a bare title and no attributes, but a vector as of an image encoder."""
    bids: float = 0.3
    """Probability that the first place of a list is sold to an item, drawn in proportion to the bids."""
    seller_groups: float = 0.6
    """What the shop's lists add for flagship sellers and take from independent ones. Scale of utilities."""
    fraud_bursts: int = 3
    """Number of bursts in which a ring of false accounts buys one item within an hour."""
    new_users: float = 0.1
    """Share of shoppers who join in the last fifth of the log."""
    new_items: float = 0.08
    """Share of products that become available in the last fifth of the log."""
    chinese: float = 0.45
    """Share of shoppers who search in Chinese, and of items with a Chinese title."""
    shuffle_ids: bool = False
    """Deal the item ids of all events out anew: the log keeps its popularity and loses every other signal."""

    def __post_init__(self) -> None:
        at_least("bazaar", self, 1, ("users", "items", "days", "list_length", "sessions_per_user"))
        probabilities = ("intents", "funnel", "intent_relevance", "queries", "complements", "repeats", "bids")
        shares("bazaar", self, (*probabilities, "image_vectors", "new_users", "new_items", "chinese"))
        strengths = ("taste", "position_bias", "price_sensitivity", "substitutes", "variants", "popularity")
        at_least(
            "bazaar",
            self,
            0,
            (*strengths, "intent_tastes", "item_features", "user_features", "seller_groups", "fraud_bursts"),
        )
