"""Items that were put before users in the validation window, and what became of them: what probabilities learn from.

Where the log has impressions, an exposure is a shown item that was among the candidates of its request; else it is one
of the first candidates of a request, and a probability then supposes no more than that it was retrieved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, MICROSECONDS, NO_QUERY
from commerce.histories import Histories
from commerce.outcomes import OUTCOMES, outcomes
from commerce.records import Requests
from commerce.requests import last_before
from commerce.sessions import with_sessions
from commerce.warehouse import open_warehouse
from configs.schema import Config
from pipeline.run_folder import RunFolder
from ranking.probabilities import RETRIEVED, SHOWN

WINDOW, NEXT = "validation", "test"
RETRIEVED_DEPTH = 50
"""First candidates of a request that count as retrieved."""


@dataclass(frozen=True)
class Exposures:
    """Items put before users; arrays are ``[exposures]`` unless said."""

    given: str
    """``shown`` or ``retrieved``."""
    actions: tuple[str, ...]
    row: NDArray[np.int64]
    """Of the request."""
    column: NDArray[np.int64]
    """Of the item among the request's candidates."""
    position: NDArray[np.int64]
    """In the shop's own list, from 0; -1 for all where there is none."""
    happened: NDArray[np.bool_]
    """``[exposures, actions]``."""
    lists: NDArray[np.int64]
    """``[2]``: shown items (or moments at which a list could be asked for), without and with search terms."""
    kept: NDArray[np.float64]
    """``[2]``: share of them whose request a run keeps, because something followed it."""
    missed: NDArray[np.float64]
    """``[2, actions]``: how often each action followed a shown item in the others."""
    outside: int
    """Shown items that were not among the candidates of their request: they teach nothing here."""

    def of(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return which exposures belong to some requests (``[requests]``)."""
        return np.flatnonzero(rows[self.row])


@dataclass(frozen=True)
class _Events:
    """What happened in the window, ``[events]`` each."""

    owner: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.int64]
    action: NDArray[np.int64]


def read_exposures(
    run: RunFolder, config: Config, requests: Requests, candidates: NDArray[np.int32], scratch: Path
) -> Exposures:
    """Return the exposures of some requests.

    Args:
        run: with ``ingest`` and ``prepare`` finished.
        config: whole.
        requests: of the validation window.
        candidates: ``[requests, length]``, ``NO_ITEM`` padded.
        scratch: folder for the database that reads impressions.
    """
    events = _window_events(run, config)
    seen = {int(code) for code in np.unique(events.action)}
    actions = tuple(name for name in OUTCOMES if ACTION_CODES[name] in seen)
    shown = _impressions(run, config, events.time, scratch) if config.prepare.requests == "rolling" else None
    if shown is not None and len(shown.item):
        whole = Requests.read(run.stage("prepare") / "requests.parquet").of(WINDOW)
        return _shown(shown, events, actions, whole, requests, candidates)
    targets = config.evaluate.targets or config.prepare.targets
    return _retrieved(run, config, events, tuple(name for name in actions if name in targets), requests, candidates)


def _window_events(run: RunFolder, config: Config) -> _Events:
    """Return the history events of the validation window, by session where lists are asked for within them."""
    prepared = run.stage("prepare")
    histories = Histories.open(prepared / "histories")
    with np.load(prepared / "cuts.npz") as cuts:
        start, stop = cuts[WINDOW], cuts[NEXT]
    user = np.repeat(np.arange(histories.users), np.diff(histories.offsets))
    position = np.arange(len(histories.time))
    inside = (position >= start[user]) & (position < stop[user])
    owner = histories.session if config.prepare.requests == "rolling" else user
    columns = (owner, histories.item, histories.time, histories.action)
    return _Events(*(np.asarray(column)[inside].astype(np.int64) for column in columns))


@dataclass(frozen=True)
class _Shown:
    """Impressions of the window, ``[impressions]`` each, and the moments at which lists were asked for."""

    session: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.int64]
    position: NDArray[np.int64]
    moment_session: NDArray[np.int64]
    moment_time: NDArray[np.int64]
    moment_query: NDArray[np.bool_]


def _impressions(run: RunFolder, config: Config, times: NDArray[np.int64], scratch: Path) -> _Shown | None:
    """Read the impressions between the first and the last of the window's events; None where the log has none."""
    if not len(times):
        return None
    inside = int(times.min()), int(times.max())
    warehouse = open_warehouse(config.run.threads, config.data.memory_gb, scratch)
    events = with_sessions(
        warehouse.read_parquet(run.stage("ingest") / "events.parquet"), config.prepare.session_gap_minutes
    )
    if "position" not in events.columns:
        events = events.mutate(position=-1)
    # A session may have begun a little before the window.
    near = events.filter((events.time >= inside[0] - 86_400 * MICROSECONDS) & (events.time <= inside[1]))
    columns = near.select("session", "item", "time", "position", "action").order_by("time").to_pyarrow()
    warehouse.disconnect()
    session, time, action = (columns[name].to_numpy() for name in ("session", "time", "action"))
    impression = (action == ACTION_CODES["impression"]) & (time >= inside[0])
    if not impression.any():
        return None
    search = action == ACTION_CODES["search"]
    _, first = np.unique(session, return_index=True)
    asked = search.copy()
    asked[first] = True
    position = np.nan_to_num(columns["position"].to_numpy(zero_copy_only=False).astype(np.float64), nan=-1.0)
    return _Shown(
        session[impression].astype(np.int64),
        columns["item"].to_numpy()[impression].astype(np.int64),
        time[impression],
        position[impression].astype(np.int64),
        session[asked].astype(np.int64),
        time[asked],
        search[asked],
    )


def _shown(
    shown: _Shown,
    events: _Events,
    actions: tuple[str, ...],
    whole: Requests,
    requests: Requests,
    candidates: NDArray[np.int32],
) -> Exposures:
    """Return the exposures in the lists of ``requests``; ``whole`` are all of the window, of which these are some."""
    codes = [ACTION_CODES[name] for name in actions]
    happened = outcomes(
        shown.session,
        shown.item,
        shown.time,
        events.owner,
        events.item,
        events.time,
        events.action,
        codes,
        inclusive=True,
    )
    # A list at the very moment of a search is the search's.
    moment = last_before(
        shown.moment_session,
        shown.moment_time * 2 + shown.moment_query,
        shown.session,
        shown.time * 2 + 1,
        inclusive=True,
    )
    query = shown.moment_query[moment] & (moment >= 0)
    of_whole = _row_of(whole, shown.moment_session[moment], shown.moment_time[moment])
    of_whole = np.where(moment >= 0, of_whole, -1)
    mine = np.append(np.full(len(whole), -1), -1)
    mine[np.searchsorted(whole.request_id, requests.request_id)] = np.arange(len(requests))
    row = mine[of_whole]
    column = _column_of(candidates, row, shown.item)
    asked = np.array([np.sum(query == there) for there in (False, True)])
    kept = np.array(
        [np.mean(of_whole[query == there] >= 0) if np.any(query == there) else 1.0 for there in (False, True)]
    )
    lost = [(query == there) & (of_whole < 0) for there in (False, True)]
    missed = np.array([happened[rows].mean(axis=0) if rows.any() else np.zeros(len(actions)) for rows in lost])
    inside = column >= 0
    return Exposures(
        SHOWN,
        actions,
        row[inside],
        column[inside],
        shown.position[inside],
        happened[inside],
        asked,
        kept,
        missed,
        int(((row >= 0) & ~inside).sum()),
    )


def _retrieved(
    run: RunFolder,
    config: Config,
    events: _Events,
    actions: tuple[str, ...],
    requests: Requests,
    candidates: NDArray[np.int32],
) -> Exposures:
    rolling = config.prepare.requests == "rolling"
    row, column = np.nonzero(candidates[:, :RETRIEVED_DEPTH] >= 0)
    owner = (requests.session if rolling else requests.user)[row]
    happened = outcomes(
        owner,
        candidates[row, column],
        requests.time[row],
        events.owner,
        events.item,
        events.time,
        events.action,
        [ACTION_CODES[name] for name in actions],
        inclusive=not rolling,
    )
    asked, kept = _moments(run, config, events, requests)
    nothing = np.zeros((2, len(actions)))
    return Exposures(RETRIEVED, actions, row, column, np.full(len(row), -1), happened, asked, kept, nothing, 0)


def _moments(
    run: RunFolder, config: Config, events: _Events, requests: Requests
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many requests there are, and the share that a run keeps of the moments at which lists could be asked.

    Both ``[2]``, without and with search terms. Nothing that counts as a target followed the other moments.
    """
    prepared = run.stage("prepare")
    whole = Requests.read(prepared / "requests.parquet").of(WINDOW)
    counts, kept = _by_query(requests), _by_query(whole)
    if config.prepare.split != "time":
        return counts, np.ones(2)  # each user is asked about one event, which there is
    if config.prepare.requests == "single":
        starts = Histories.open(prepared / "histories").offsets[:-1]
        with np.load(prepared / "learned.npz") as learned:
            could = np.array([np.sum(learned[WINDOW] > starts), 0])
    else:
        _, first = np.unique(events.owner, return_index=True)
        search = events.action == ACTION_CODES["search"]
        could = np.array([len(first) - int(search[first].sum()), int(search.sum())])
    return counts, np.where(could > 0, np.minimum(1.0, kept / np.maximum(could, 1)), 1.0)


def _by_query(requests: Requests) -> NDArray[np.int64]:
    """Return how many requests come without and with search terms."""
    searching = int(np.sum(requests.query != NO_QUERY))
    return np.array([len(requests) - searching, searching], dtype=np.int64)


def _row_of(requests: Requests, session: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the request of each (session, time), -1 where the run does not keep it."""
    known = {key: row for row, key in enumerate(zip(requests.session.tolist(), requests.time.tolist(), strict=True))}
    keys = zip(session.tolist(), time.tolist(), strict=True)
    return np.array([known.get(key, -1) for key in keys], dtype=np.int64)


def _column_of(candidates: NDArray[np.int32], row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each item stands among the candidates of its request, -1 where it does not."""
    width = int(max(candidates.max(initial=0), item.max(initial=0))) + 1
    rows, columns = np.nonzero(candidates >= 0)
    keys = rows.astype(np.int64) * width + candidates[rows, columns]
    order = np.argsort(keys)
    wanted = np.where(row >= 0, row * width + item, -1)
    at = np.minimum(np.searchsorted(keys[order], wanted), max(0, len(keys) - 1))
    if not len(keys):
        return np.full(len(row), -1)
    return np.where(keys[order][at] == wanted, columns[order][at], -1)
