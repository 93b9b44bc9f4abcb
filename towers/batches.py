"""A step's batch: which items are encoded, what each user reads, what each state is to foretell, against which pool."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.columns import NO_QUERY
from commerce.histories import Events, Histories
from commerce.state import TowerInputs, tower_inputs
from towers.masks import Equivalents
from towers.targets import Targets
from towers.windows import Windows

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Tensors of one step on one rank. Items are meant by their row in ``encoded``, queries by theirs in ``asked``."""

    encoded: Tensor
    """``[encoded]`` int64: codes of the items whose vectors the step needs, ascending."""
    asked: Tensor
    """``[asked]`` int64: codes of the queries it needs."""
    user: Tensor
    """``[batch]`` int64: user codes."""
    item: Tensor
    """``[batch, length]`` int64: row in ``encoded`` + 1, 0 for none."""
    query: Tensor
    """``[batch, length]`` int64: row in ``asked`` + 1, 0 for none."""
    action: Tensor
    """``[batch, length]`` int64: action code + 1, 0 for padding."""
    gap: Tensor
    """``[batch, length]`` float32."""
    row: Tensor
    """``[rows]`` int64: which user of the batch each trained state belongs to."""
    place: Tensor
    """``[rows]`` int64: events of the window that the state has seen."""
    target: Tensor
    """``[rows]`` int64: row in ``encoded`` of what it is to foretell."""
    weight: Tensor
    """``[rows]`` float32: loss weight."""
    moment: Tensor
    """``[rows]`` int64: when the target was chosen, microseconds."""
    pool: Tensor
    """``[pool]`` int64: codes of the negatives, distinct; -1 is padding."""
    drawn: Tensor
    """``[]`` int64: targets drawn into the pool."""
    others: Tensor
    """``[pairs, 2]`` int64: (user of the batch, code) of items that the user chose in or right after the window."""
    equivalents: Tensor
    """``[pairs, 2]`` int64: (trained row, code) of items equivalent to its target."""

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True)
class PoolPlan:
    """How the negatives of a step are found."""

    items: int
    """Size of the catalogue."""
    exact: bool
    """Every item of the catalogue is a negative."""
    most_targets: int = 0
    """Targets of the batch that enter the pool, at most."""
    uniform: int = 0
    """Uniform draws."""
    padded: bool = False
    """Pad the pool to its largest size, on which several ranks must agree."""

    def draw(self, targets: Codes, random: np.random.Generator) -> tuple[Codes, int]:
        """Return the distinct items of a pool (int64, ascending, -1 padding last) and the targets drawn into it."""
        if self.exact:
            return np.arange(self.items), len(targets)
        kept = targets
        if len(targets) > self.most_targets:
            kept = random.choice(targets, self.most_targets, replace=False)
        pool = np.unique(np.append(kept, random.integers(0, self.items, self.uniform)))
        size = self.most_targets + self.uniform
        if self.padded:
            pool = np.append(pool, np.full(size - len(pool), -1))
        return pool, len(kept)


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of some windows; all that is random comes from the generator that it is handed."""

    histories: Histories
    targets: Targets
    equivalents: Equivalents
    pool: PoolPlan

    def make(self, windows: Windows, random: np.random.Generator) -> Batch:
        """Return the batch of some windows."""
        inputs = self._inputs(windows, random)
        row, place, first = self._states(windows)
        chosen = self.targets.draw(first, random)
        target = self.targets.item[chosen].astype(np.int64)
        pool, drawn = self.pool.draw(target, random)
        encoded = pool if self.pool.exact else self._needed(inputs.item, target, pool)
        asked = np.unique(inputs.query[inputs.query != NO_QUERY])
        arrays = {
            "encoded": encoded,
            "asked": asked,
            "user": windows.user.astype(np.int64),
            "item": _number(inputs.item, encoded),
            "query": _number(inputs.query, asked),
            "action": inputs.action,
            "gap": inputs.gap,
            "row": row,
            "place": place,
            "target": np.searchsorted(encoded, target),
            "weight": self.targets.weight[chosen],
            "moment": self.targets.time[chosen],
            "pool": pool,
            "drawn": np.asarray(drawn),
            "others": self._others(windows, row, chosen),
            "equivalents": self.equivalents.pairs(target),
        }
        return Batch(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})

    def _inputs(self, windows: Windows, random: np.random.Generator) -> TowerInputs:
        """Return what is read; events of one (user, time) come in a new order every time."""
        lengths = windows.stop - windows.start
        row = np.repeat(np.arange(len(windows)), lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        position = np.arange(len(row)) - offsets[row] + windows.start[row]
        # Rows and times are in order already, so sorting by them and chance only shuffles inside groups.
        time = self.histories.time[position]
        position = position[np.lexsort((random.random(len(row)), time, row))]
        columns = [getattr(self.histories, name)[position] for name in ("item", "action", "time", "query")]
        events = [Events(*(column[offsets[n] : offsets[n + 1]] for column in columns)) for n in range(len(windows))]
        return tower_inputs(events, max(1, int(lengths.max())))

    def _states(self, windows: Windows) -> tuple[Codes, Codes, Codes]:
        """Return (user of the batch, events seen, first target of the group to foretell) of each trained state."""
        lengths = windows.stop - windows.start
        row = np.repeat(np.arange(len(windows)), lengths)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        position = windows.start[row] + nth
        after = self.targets.next_group(position, windows.user[row], self.histories.time[position])
        # The state before any event knows the profile only: it learns what such users choose.
        before = self.targets.first_from(windows.start, windows.user)
        row = np.append(row, np.arange(len(windows)))
        place = np.append(nth + 1, np.zeros(len(windows), dtype=np.int64))
        first = np.append(after, before)
        trained = first >= 0
        return row[trained], place[trained], first[trained]

    def _others(self, windows: Windows, row: Codes, chosen: Codes) -> Codes:
        """Return (user of the batch, item) for the targets from each window's start to its last drawn one."""
        low = np.searchsorted(self.targets.position, windows.start)
        high = low.copy()
        np.maximum.at(high, row, self.targets.group_stop[chosen])
        counts = high - low
        user = np.repeat(np.arange(len(windows)), counts)
        nth = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.stack([user, self.targets.item[low[user] + nth].astype(np.int64)], axis=1)

    def _needed(self, read: Codes, target: Codes, pool: Codes) -> Codes:
        needed = np.unique(np.concatenate([read.ravel(), target, pool]))
        return needed[needed >= 0]


def _number(codes: Codes, known: Codes) -> Codes:
    """Return each code's row in ``known`` (ascending) + 1, 0 for a code below 0."""
    return np.where(codes >= 0, np.searchsorted(known, codes) + 1, 0)
