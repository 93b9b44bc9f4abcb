"""Fit the intent head on the trained towers' states, calibrate it on ``fit`` requests, and say how good it is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.columns import NO_INTENT
from commerce.histories import Histories
from commerce.intent_measures import intent_block, last_actions
from commerce.records import Requests
from pipeline.tower_inputs import Prepared
from towers.embed import embed_items, embed_users
from towers.intent import fit_intents, fit_temperature
from towers.intent_moments import IntentMoments, intent_moments
from towers.module import TwoTower
from towers.validation import AskedBatches

_MOST_MOMENTS = 20_000
_FEWEST_TO_CALIBRATE = 100


def fit_intent_head(module: TwoTower, prepared: Prepared, fit: Requests, seed: int) -> list[str]:
    """Fit the head of trained towers in place; return what to say.

    Args:
        module: trained, with its catalogue attached.
        prepared: where histories and labels are.
        fit: validation requests on which the temperature is fitted.
        seed: of the moments that are drawn, where there are many.
    """
    histories = prepared.histories
    labels = np.load(prepared.folder / "position_intents.npy", mmap_mode="r")
    moments = intent_moments(histories, prepared.cuts, labels[:], _MOST_MOMENTS, seed)
    if len(np.unique(moments.label)) < 2:
        return ["intents: the log's sessions show fewer than two, so every intent stays equally likely"]
    items = embed_items(module)
    length = module.settings["history_length"]
    *_, states = embed_users(module, items, AskedBatches(_as_requests(moments), histories, length))
    fit_intents(module.intent, torch.from_numpy(states), torch.from_numpy(moments.label))
    asked = fit.where(fit.intent != NO_INTENT)
    if len(asked) < _FEWEST_TO_CALIBRATE:
        return [f"intents: fitted on {len(moments):,} moments; only {len(asked)} labelled fit requests, not calibrated"]
    *_, states = embed_users(module, items, AskedBatches(asked, histories, length))
    fit_temperature(module.intent, torch.from_numpy(states), torch.from_numpy(asked.intent.astype(np.int64)))
    with torch.no_grad():
        chances = module.intent(torch.from_numpy(states)).numpy()
    block = intent_block(
        chances,
        asked.intent,
        _last(histories, asked.user, asked.history_end),
        moments.label,
        _last(histories, moments.user, moments.end),
    )
    return [f"intents on {len(asked):,} fit requests: {_words(block)}"]


def _last(histories: Histories, user: NDArray[np.int32], end: NDArray[np.int64]) -> NDArray[np.int64]:
    return last_actions(histories.action, histories.offsets[user], end)


def _words(block: dict[str, dict[str, float] | int] | None) -> str:
    systems = {name: values for name, values in (block or {}).items() if isinstance(values, dict)}
    return ", ".join(
        f"{name} macro-F1 {values['macro_f1']:.3f} log-loss {values['log_loss']:.3f}"
        for name, values in systems.items()
    )


def _as_requests(moments: IntentMoments) -> Requests:
    """Return moments in the form that the user tower is asked in; nothing is relevant to them."""
    size = len(moments)
    none = np.full(size, -1, dtype=np.int64)
    empty = np.full(size, "", dtype=np.str_)
    return Requests(
        request_id=np.arange(size),
        window=empty,
        half=empty,
        user=moments.user,
        time=np.zeros(size, dtype=np.int64),
        history_end=moments.end,
        query=none.astype(np.int32),
        session=none,
        intent=moments.label.astype(np.int8),
        offsets=np.zeros(size + 1, dtype=np.int64),
        items=np.zeros(0, dtype=np.int32),
        gains=np.zeros(0, dtype=np.float32),
    )
