"""How a leak is told: some offending rows as the shop knows them, its own ids and times, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTIONS, MICROSECONDS, NO_ITEM
from commerce.histories import Histories
from commerce.records import Requests
from commerce.splits import WINDOWS, Split
from configs.errors import InputError

SHOWN = 5
TOWERS = "towers"
"""The window before those with requests."""


class LeakError(InputError):
    """Something of a later window would be known in an earlier one."""


def stop(what: str, offending: NDArray[np.integer], example: Callable[[int], str]) -> None:
    """Raise where anything is offending.

    Args:
        what: the leak, to follow a count.
        offending: numbers of the offending rows, of whatever they are rows.
        example: puts one of them into words.

    Raises:
        LeakError: with up to ``SHOWN`` examples and the count.
    """
    if not len(offending):
        return
    first = f", the first {SHOWN} of them" if len(offending) > SHOWN else ""
    shown = [example(int(row)) for row in offending[:SHOWN]]
    raise LeakError(
        "\n  ".join([f"leak check: {len(offending):,} {what}{first}:", *shown])
        + "\nThis is a fault of the preparation, not of the log: please report it with these rows and the config."
    )


class Told:
    """Puts events of a prepared log into the shop's words."""

    def __init__(self, histories: Histories, split: Split, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.histories, self.split = histories, split
        self._user_ids, self._item_ids = user_ids, item_ids

    def laid(self, position: int) -> str:
        """Return the window that an event counts in, by its place."""
        cuts = [int(self.split.cuts[name][self._owner(position)]) for name in WINDOWS]
        return [TOWERS, *WINDOWS][max((place for place, cut in enumerate(cuts, 1) if position >= cut), default=0)]

    def due(self, position: int) -> str:
        """Return the window that an event belongs to, by its time; by its place where each user has windows of own."""
        time, starts = int(self.histories.time[position]), self.split.starts
        return ([TOWERS] + [name for name in WINDOWS if time >= starts[name]])[-1] if starts else self.laid(position)

    def event(self, position: int, belongs: str, broken: str) -> str:
        """Return an event, the window that it belongs to and the one that it broke into."""
        if position == len(self.histories.time):
            return f"what would come after the log's last event broke into the {broken} window"
        return f"{self._event(position)}; belongs to the {belongs} window, broke into the {broken} window"

    def seen(self, position: int, requests: Requests, row: int) -> str:
        """Return an event that a request sees although it should not."""
        return (
            f"{self._event(position)}; belongs to the {self.due(position)} window, broke into what the "
            f"{requests.window[row]} window's request of {_utc(int(requests.time[row]))} sees"
        )

    def asked(self, position: int, requests: Requests, row: int) -> str:
        """Return the first event that a request does not see, where that lies before the request's window."""
        return (
            f"{self._event(position)}; belongs to the {self.due(position)} window, broke into the "
            f"{requests.window[row]} window, as the first event after the request of {_utc(int(requests.time[row]))}"
        )

    def relevant(self, requests: Requests, row: int, item: int) -> str:
        """Return the event of the request's user with a relevant item that is nearest to the request's moment."""
        user, moment = int(requests.user[row]), int(requests.time[row])
        span = slice(int(self.histories.offsets[user]), int(self.histories.offsets[user + 1]))
        met = np.flatnonzero(self.histories.item[span] == item) + span.start
        request = f"the {requests.window[row]} window's request of {_utc(moment)}"
        if not len(met):
            return (
                f"user {self._user_ids[user]}, item {self._item_ids[item]}, no event with it; belongs to no window, "
                f"broke into {request}"
            )
        nearest = int(met[np.argmin(np.abs(self.histories.time[met] - moment))])
        return f"{self._event(nearest)}; belongs to the {self.due(nearest)} window, broke into {request}"

    def away(self, requests: Requests, row: int, item: int, first: NDArray[np.int64], until: NDArray[np.int64]) -> str:
        """Return what ``relevant`` does, and when the item was available (``[items]`` each, microseconds)."""
        moment = int(requests.time[row])
        when = f"from {_utc(int(first[item]))}" if first[item] > moment else f"until {_utc(int(until[item]))}"
        return f"{self.relevant(requests, row, item)}; available {when}"

    def labelled(self, position: int) -> str:
        """Return an event whose label tells of the rest of its session, and the window in which that goes on."""
        session, time = self.histories.session[position], self.histories.time[position]
        later = np.flatnonzero((self.histories.session == session) & (self.histories.time > time))
        source = f"the {self.laid(int(later[0]))} window" if len(later) else "no window: its session ends there"
        return f"label of {self._event(position)}; belongs to {source}, broke into the {self.laid(position)} window"

    def _event(self, position: int) -> str:
        code = int(self.histories.item[position])
        item = "no item" if code == NO_ITEM else f"item {self._item_ids[code]}"
        action, time = ACTIONS[self.histories.action[position]], int(self.histories.time[position])
        return f"user {self._user_ids[self._owner(position)]}, {item}, {action} at {_utc(time)}"

    def _owner(self, position: int) -> int:
        return int(np.searchsorted(self.histories.offsets, position, side="right")) - 1


def _utc(microseconds: int) -> str:
    moment = str(np.array(microseconds, dtype="datetime64[us]"))
    return f"{moment}Z" if microseconds % MICROSECONDS else f"{moment.partition('.')[0]}Z"
