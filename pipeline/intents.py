"""Fit the intent head on the trained towers' states, calibrate it on ``fit`` users, and say how good it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.columns import INTENTS
from commerce.histories import Histories
from commerce.intent_measures import last_actions, log_loss, macro_f1, plain_rules
from commerce.intent_moments import IntentMoments, moments_within, of_requests
from commerce.records import Requests
from commerce.session_statistics import LoggedSessions
from pipeline.session_files import INTENT_MOMENTS, read_sessions
from pipeline.tower_inputs import Prepared
from towers.embed import embed_intents, embed_items, embed_users
from towers.intent import IntentHead, Told, fit_intents, fit_intents_by
from towers.module import TwoTower
from towers.validation import AskedBatches

_MOST_ASKED, _MOST_WITHIN = 30_000, 15_000
"""Session starts and searches, and moments in the midst of sessions, that the head learns from at most. Without the
latter it would be far off when asked there (benchmarks/intent/README.md)."""
_MOST_TO_CALIBRATE = 5_000
_FEWEST_TO_CALIBRATE = 100


def fit_intent_head(module: TwoTower, prepared: Prepared, fit: Requests, seed: int) -> list[str]:
    """Fit the head of trained towers in place; return what to say.

    Args:
        module: trained, with its catalogue attached.
        prepared: where histories and labels are.
        fit: validation requests of the ``fit`` half, on whose users it is calibrated.
        seed: of the moments that are drawn, where there are many.
    """
    histories, sessions = prepared.histories, read_sessions(prepared.folder)
    moments = training_moments(prepared, seed)
    if len(np.unique(moments.label)) < 2:
        return ["intents: the log's sessions show fewer than two, so every intent stays equally likely"]
    items = embed_items(module)
    told = _told(module, items, histories, sessions, moments)
    asked, held_out = of_requests(fit), _held_out(prepared, fit, seed)
    calibrated = _told(module, items, histories, sessions, held_out)
    prior = _fit(module.intent, told, calibrated)
    if prior is None:
        return [f"intents: fitted on {len(moments):,} moments; only {len(held_out)} of fit users, not calibrated"]
    said = f"intents: fitted on {len(moments):,} moments, calibrated on {len(held_out):,} of fit users, prior {prior:g}"
    if not len(asked):
        return [said]
    with torch.no_grad():
        chances = module.intent(*(part[: len(asked)] for part in calibrated[:2])).numpy()
    rules = plain_rules(_last(histories, asked), moments.label, _last(histories, moments))
    return [f"{said}; {len(asked):,} fit requests: {_words({'head': chances, **(rules or {})}, asked.label)}"]


def out_of_fold_intents(
    module: TwoTower, items: NDArray[np.float32], prepared: Prepared, moments: IntentMoments, seed: int
) -> NDArray[np.float32]:
    """Return the chances of each intent, ``[moments, 3]``, at moments of the towers' window, whose labels trained the
    head: so those of each half of the users come from a head that was fitted on the other half.

    Each is calibrated on ``fit`` users of another window, as the shipped head is.

    Args:
        module: trained, with its catalogue attached and its head fitted.
        items: ``[items, dim]`` of ``embed_items``.
        prepared: where histories, requests and labels are.
        moments: labelled or not.
        seed: of the halves, and as of ``fit_intent_head``.
    """
    histories, sessions = prepared.histories, read_sessions(prepared.folder)
    asked = read_moments(module, items, histories, sessions, moments)
    if not bool(module.intent.known):
        return embed_intents(module, *(part.numpy() for part in asked))
    fit = Requests.read(prepared.folder / "requests.parquet").of("validation", "fit")
    calibrated = _told(module, items, histories, sessions, _held_out(prepared, fit, seed))
    labelled = training_moments(prepared, seed)
    told = _told(module, items, histories, sessions, labelled)
    halves = np.random.default_rng([seed, 5]).random(histories.users) < 0.5
    chances = np.zeros((len(moments), len(INTENTS)), dtype=np.float32)
    for half in (False, True):
        others = torch.from_numpy(halves[labelled.user] != half)
        mine = torch.from_numpy(halves[moments.user] == half)
        states, statistics, labels = (part[others] for part in told)
        head = IntentHead(module.intent.dim, statistics.shape[1])
        if len(np.unique(labels.numpy())) > 1:  # else every intent stays equally likely
            _fit(head, (states, statistics, labels), calibrated)
        with torch.no_grad():
            chances[mine.numpy()] = head(*(part[mine] for part in asked)).numpy()
    return chances


def _fit(head: IntentHead, told: Told, calibrated: Told) -> float | None:
    """Fit a head; return the prior chosen by held-out moments, which calibrate it too, or None with too few of them."""
    if len(calibrated[2]) < _FEWEST_TO_CALIBRATE:
        fit_intents(head, *told)
        return None
    return fit_intents_by(head, told, calibrated)


def _held_out(prepared: Prepared, fit: Requests, seed: int) -> IntentMoments:
    """Return labelled moments of ``fit`` users: their requests first, then those in the midst of their sessions."""
    return IntentMoments.join([of_requests(fit), calibration_moments(prepared, np.unique(fit.user), seed)])


def training_moments(prepared: Prepared, seed: int) -> IntentMoments:
    """Return the labelled moments of the towers' window that a head learns from."""
    cuts, histories = prepared.cuts, prepared.histories
    asked = IntentMoments.load(prepared.folder / INTENT_MOMENTS)
    asked = asked.rows(asked.end < cuts[asked.user]).drawn(_MOST_ASKED, seed)
    within = moments_within(histories, histories.offsets[:-1], cuts, _position_labels(prepared))
    return IntentMoments.join([asked, within.drawn(_MOST_WITHIN, seed)])


def calibration_moments(prepared: Prepared, users: NDArray[np.int32], seed: int) -> IntentMoments:
    """Return labelled moments in the midst of sessions of the validation window, of some users."""
    with np.load(prepared.folder / "cuts.npz") as cuts:
        begin, stop = cuts["validation"], cuts["test"].copy()
    outside = np.ones(len(begin), dtype=bool)
    outside[users] = False
    stop[outside] = begin[outside]
    return moments_within(prepared.histories, begin, stop, _position_labels(prepared)).drawn(_MOST_TO_CALIBRATE, seed)


def read_moments(
    module: TwoTower,
    items: NDArray[np.float32],
    histories: Histories,
    sessions: LoggedSessions,
    moments: IntentMoments,
) -> tuple[Tensor, Tensor]:
    """Return what a head reads of moments: states ``[moments, dim]`` and statistics ``[moments, statistics]``.

    Args:
        module: the towers, with their catalogue attached.
        items: ``[items, dim]`` of ``embed_items``.
        histories: of all users.
        sessions: what statistics are counted with.
        moments: labelled or not.
    """
    batches = AskedBatches(as_requests(moments), histories, module.settings["history_length"])
    _, states = embed_users(module, items, batches)
    statistics = sessions.statistics(histories, moments.user, moments.end, moments.time, moments.query)
    return torch.from_numpy(states), torch.from_numpy(statistics)


def _position_labels(prepared: Prepared) -> NDArray[np.int8]:
    labels: NDArray[np.int8] = np.load(prepared.folder / "position_intents.npy", mmap_mode="r")
    return labels


def _told(
    module: TwoTower,
    items: NDArray[np.float32],
    histories: Histories,
    sessions: LoggedSessions,
    moments: IntentMoments,
) -> Told:
    labels = torch.from_numpy(moments.label.astype(np.int64))
    return *read_moments(module, items, histories, sessions, moments), labels


def _last(histories: Histories, moments: IntentMoments) -> NDArray[np.int64]:
    return last_actions(histories.action, histories.offsets[moments.user], moments.end)


def _words(systems: Mapping[str, NDArray[np.floating]], labels: NDArray[np.int8]) -> str:
    return ", ".join(
        f"{name} macro-F1 {macro_f1(labels, given.argmax(axis=1)):.3f} log-loss {log_loss(labels, given):.3f}"
        for name, given in systems.items()
    )


def as_requests(moments: IntentMoments) -> Requests:
    """Return moments in the form that models are asked in; nothing is relevant to them."""
    size = len(moments)
    empty = np.full(size, "", dtype=np.str_)
    return Requests(
        request_id=np.arange(size),
        window=empty,
        half=empty,
        user=moments.user,
        time=moments.time,
        history_end=moments.end,
        query=moments.query,
        session=np.full(size, -1, dtype=np.int64),
        intent=moments.label,
        offsets=np.zeros(size + 1, dtype=np.int64),
        items=np.zeros(0, dtype=np.int32),
        gains=np.zeros(0, dtype=np.float32),
    )
