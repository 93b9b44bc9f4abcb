"""Mine negatives with trained towers: what they put near a user just before a target, and was not the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from commerce.columns import NO_ITEM
from commerce.durable import put_in_place
from commerce.histories import Histories
from commerce.mined import MinedWriter
from commerce.records import Requests
from configs.schema import TowersConfig
from retrieval.filters import Allowed
from retrieval.index import ItemIndex
from retrieval.mining import mine
from towers.embed import embed_items, embed_users
from towers.masks import Equivalents
from towers.module import TwoTower
from towers.targets import Targets
from towers.validation import AskedBatches

_BLOCK = 4096
"""Targets whose users are embedded and searched for at once."""


def mine_negatives(
    module: TwoTower,
    histories: Histories,
    targets: Targets,
    choices: Targets,
    equivalents: Equivalents,
    settings: TowersConfig,
    seed: int,
    file: Path,
) -> str:
    """Write the negatives of training targets as the record ``MINED``, and return what to say of them.

    No negative is an item that its user ever chose in the towers' window, before or after; an equivalent of the
    target; an item that was not on offer then; or one so near that it may be a choice not made yet.

    Args:
        module: trained, with its catalogue attached.
        histories: of all users.
        targets: that training draws.
        choices: every choice in the towers' window, those that training leaves out too.
        equivalents: declared.
        settings: the ``towers`` section.
        seed: of the targets that are drawn, where there are many.
        file: written whole or not at all.
    """
    items = embed_items(module)
    index = ItemIndex.build(np.arange(len(items)), items)
    facts = module.facts
    since, until = facts.since.numpy(), facts.until.numpy()
    chosen = np.arange(len(targets))
    if 0 < settings.mined_targets < len(chosen):
        random = np.random.default_rng([seed, 4])
        chosen = np.sort(random.choice(len(chosen), settings.mined_targets, replace=False))
    served = found = 0
    temporary = file.with_name(f".{file.name}.tmp")
    with MinedWriter(temporary) as writer, tqdm(total=len(chosen), desc="mining", unit="target") as bar:
        for start in range(0, len(chosen), _BLOCK):
            block = chosen[start : start + _BLOCK]
            moments = _moments(histories, targets, block)
            vectors, *_ = embed_users(module, items, AskedBatches(moments, histories, settings.history_length))
            own = np.einsum("rd,rd->r", vectors, items[targets.item[block]])
            excluded = _excluded(targets, choices, equivalents, block)
            mined, scores = mine(
                index,
                vectors,
                own,
                Allowed(since, until, targets.time[block], excluded),
                depth=settings.mined_depth,
                keep=settings.mined_negatives,
                margin=settings.mined_margin,
            )
            writer.write(targets.position[block], mined, scores)
            served += int((mined[:, 0] != NO_ITEM).sum())
            found += int((mined != NO_ITEM).sum())
            bar.update(len(block))
    put_in_place(temporary, file)
    return f"{found:,} negatives mined for {served:,} of {len(chosen):,} targets"


def _moments(histories: Histories, targets: Targets, block: NDArray[np.int64]) -> Requests:
    """Return the moments just before targets, in the form that the user tower is asked in."""
    size, user, time = len(block), targets.user[block], targets.time[block]
    none, nowhere = np.full(size, -1, dtype=np.int64), np.full(size, "", dtype=np.str_)
    ends = [histories.end_before(int(one), int(moment)) for one, moment in zip(user, time, strict=True)]
    return Requests(
        request_id=np.arange(size),
        window=nowhere,
        half=nowhere,
        user=user,
        time=time,
        history_end=np.array(ends, dtype=np.int64),
        query=none.astype(np.int32),
        session=none,
        intent=none.astype(np.int8),
        offsets=np.zeros(size + 1, dtype=np.int64),
        items=np.zeros(0, dtype=np.int32),
        gains=np.zeros(0, dtype=np.float32),
    )


def _excluded(
    targets: Targets, choices: Targets, equivalents: Equivalents, block: NDArray[np.int64]
) -> list[NDArray[np.int32]]:
    """Return for each target what its user ever chose, and the target's equivalents."""
    user, item = targets.user[block], targets.item[block]
    first, last = (np.searchsorted(choices.user, user, side=side) for side in ("left", "right"))
    same = [equivalents.other[equivalents.offsets[one] : equivalents.offsets[one + 1]] for one in item]
    return [
        np.append(choices.item[start:stop], more).astype(np.int32)
        for start, stop, more in zip(first, last, same, strict=True)
    ]
