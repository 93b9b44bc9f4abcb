"""Every user's vector and intents at one moment, by the trained towers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from configs.schema import TextConfig
from pipeline.encoders import towers_encoder
from pipeline.run_folder import RunFolder
from pipeline.session_files import read_sessions
from pipeline.tower_inputs import Prepared
from towers.embed import embed_intents, embed_users
from towers.module import TwoTower
from towers.validation import AskedBatches

_AT_ONCE = 4_096


def place_users(
    run: RunFolder, histories: Histories, moments: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield vectors ``[users, dim]`` and intents ``[users, 3]`` of all users in order, some thousand at a time.

    Args:
        run: whose towers have been trained and whose items have been embedded.
        histories: of all users, whole.
        moments: ``[users]``, microseconds, after each user's last event.
    """
    prepared = Prepared.open(run.stage("prepare"))
    text = TextConfig(**(run.manifest("embed") or {})["settings"]["text"])
    module = TwoTower.load_from_checkpoint(run.stage("train-towers") / "model.ckpt", map_location="cpu")
    told = module.settings
    encoder = towers_encoder(run, text)
    module.attach(prepared.catalogue(encoder, text, told["id_min_events"], told["popularity"]))
    items = np.load(run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    sessions = read_sessions(prepared.folder)
    for first in range(0, histories.users, _AT_ONCE):
        users = np.arange(first, min(first + _AT_ONCE, histories.users), dtype=np.int32)
        asked = _ask(histories, users, moments[users])
        vectors, states = embed_users(module, items, AskedBatches(asked, histories, told["history_length"]))
        session = sessions.statistics(histories, asked.user, asked.history_end, asked.time, asked.query)
        yield vectors, embed_intents(module, states, session)


def _ask(histories: Histories, users: NDArray[np.int32], moments: NDArray[np.int64]) -> Requests:
    """Return a request without search terms for each user at their moment."""
    nothing = np.full(len(users), -1)
    return Requests(
        request_id=users.astype(np.int64),
        window=np.full(len(users), "profile"),
        half=np.full(len(users), ""),
        user=users,
        time=moments,
        history_end=histories.offsets[users + 1],
        query=np.full(len(users), NO_QUERY, dtype=np.int32),
        session=nothing.astype(np.int64),
        intent=nothing.astype(np.int8),
        offsets=np.zeros(len(users) + 1, dtype=np.int64),
        items=np.empty(0, dtype=np.int32),
        gains=np.empty(0, dtype=np.float32),
    )
