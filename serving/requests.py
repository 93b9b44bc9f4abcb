"""What a caller asks and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from commerce.columns import ACTION_CODES
from configs.errors import InputError


@dataclass(frozen=True)
class Event:
    """One thing the user did, in the shop's ids."""

    action: str
    """One of ``commerce.columns.ACTIONS``."""
    time: int
    """Microseconds since 1970 UTC."""
    item_id: str | None = None
    """None on a search."""
    query: str = ""
    """Search terms, where there are some."""

    def __post_init__(self) -> None:
        if self.action not in ACTION_CODES:
            raise InputError(f"action {self.action!r} is unknown; actions are {', '.join(ACTION_CODES)}")


@dataclass(frozen=True)
class Request:
    """A moment at which a user is to be shown a list."""

    user: str | None = None
    """The shop's id of the user; their history and profile come from the bundle unless ``events`` are given."""
    events: tuple[Event, ...] | None = None
    """What the user did, in any order; replaces the bundle's history."""
    profile: Mapping[str, Any] | None = None
    """Columns of the users table; replaces the bundle's features of the user."""
    query: str = ""
    """Current search terms."""
    k: int = 10
    """Items wanted."""
    time: int | None = None
    """Microseconds since 1970 UTC; only strictly earlier events and items available then count. None: the end of the
    log, or just after the last event given where that is later."""
    filter_seen: bool | None = None
    """Whether items of the user's events are left out; None: as the shop was evaluated."""
    exclude: tuple[str, ...] = ()
    """Item ids that must not come up."""
    where: Mapping[str, Any] | None = None
    """What fields of an item have to be: ``{"category": ["Sports"], "price": {"max": 20}}`` (``retrieval.fields``)."""
    personalise: bool = True
    """False: history and profile, given or stored, are not looked at, and the answer is the same for everybody."""
    budget_ms: float | None = None
    """Milliseconds until the answer must be there: what they do not allow is left out, and the answer says so. None: as
    long as it takes."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}, but at least one item must be wanted")
        if self.user is None and self.events is None and self.personalise:
            raise InputError(
                "a request needs a user id, or events (an empty list for somebody unknown), or personalise=false"
            )
        if self.budget_ms is not None and not self.budget_ms > 0:
            raise InputError(f"budget_ms is {self.budget_ms:g}, but some time is needed; leave it out for no limit")

    def impersonal(self) -> Request:
        """Return the same request without the user: what it says of the moment, the search and the items stays."""
        return replace(self, user=None, events=(), profile=None, personalise=False)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values for ``from_json``."""
        values = asdict(self)
        if self.personalise:  # which runtimes of old do not know
            del values["personalise"]
        if self.budget_ms is None:  # golden requests have none, and runtimes that know of none read them
            del values["budget_ms"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Request:
        """Rebuild what ``as_json`` gave."""
        events = values["events"]
        known = None if events is None else tuple(Event(**event) for event in events)
        return cls(**{**values, "events": known, "exclude": tuple(values["exclude"])})


@dataclass(frozen=True)
class Reason:
    """Why an item came up: the source that found it, and where it stood there."""

    source: str
    rank: int
    """From 1."""
    score: float
    """In the source's own unit."""

    def __str__(self) -> str:
        return f"{self.source} #{self.rank}"


@dataclass(frozen=True)
class Recommendation:
    """One item of an answer."""

    item_id: str
    score: float
    """The reranker's for the items it read, else reciprocal rank over the sources; falls along the list."""
    reasons: tuple[Reason, ...]
    fields: Mapping[str, Any]
    """Title, brand, category, price: what the shop shows of the item."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """How likely a view, a cart, a purchase are, by what is supposed: ``view_given_shown``, or, of a shop that does not
    log what it showed, ``purchase_given_retrieved``; empty where the bundle tells none."""


@dataclass(frozen=True)
class Answer:
    """The items for a request, best first."""

    items: tuple[Recommendation, ...]
    intents: Mapping[str, float]
    """Probabilities of browse, compare and buy; empty for an unpersonalised bundle."""
    user_known: bool
    """Whether the user's history or profile was there."""
    reranked: int
    """Leading items that the reranker put in order; 0 without one."""
    notes: tuple[str, ...] = field(default=())
    """What the caller should know: unknown items in the events, fewer items than wanted, a time that ran out."""
    cut_short: str = ""
    """The first step that the request's time did not allow, and how far it came; empty where all was done. The items
    are then the best order so far."""
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    """What each step took (``serving.pace``)."""
