"""A step's batch: which items are encoded, what each user reads, what each state is to foretell, against which pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.histories import Events, Histories
from commerce.state import TowerInputs, tower_inputs
from commerce.stretches import stretches
from towers.lessons import Lessons
from towers.masks import Equivalents
from towers.mined import Mined
from towers.numbering import distinct, number
from towers.pool import PoolPlan
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
    """``[pool]`` int64: codes of this rank's share of the negatives; no two ranks have one in common."""
    drawn: Tensor
    """``[]`` int64: targets drawn into the pool of all ranks."""
    others: Tensor
    """``[pairs, 2]`` int64: (user of the batch, code) of items that the user chose in or right after the window."""
    equivalents: Tensor
    """``[pairs, 2]`` int64: (trained row, code) of items equivalent to its target."""
    mined: Tensor
    """``[rows, mined]`` int64: row in ``encoded`` + 1 of each state's mined negatives, 0 for none."""
    pupil: Tensor
    """``[lessons]`` int64: which trained row each lesson is for, ascending."""
    taught: Tensor
    """``[lessons, length]`` int64: row in ``encoded`` + 1 of each lesson's items, 0 past its end."""
    lesson: Tensor
    """``[lessons, length]`` float32: the teacher's scores, in nats."""

    def parts(self, users: int) -> Iterator[Batch]:
        """Yield the batch in parts of so many users; what all have in common (items, queries, pool) stays whole."""
        for start in range(0, len(self.user), users):
            part = slice(start, start + users)
            of_part = (self.row >= start) & (self.row < start + users)
            others = self.others[(self.others[:, 0] >= start) & (self.others[:, 0] < start + users)]
            equivalents = self.equivalents[of_part[self.equivalents[:, 0]]]
            number = of_part.cumsum(0) - 1  # of a trained row among those of the part
            taught = of_part[self.pupil]
            yield replace(
                self,
                **{name: getattr(self, name)[part] for name in ("user", "item", "query", "action", "gap")},
                **{name: getattr(self, name)[of_part] for name in ("place", "target", "weight", "moment", "mined")},
                row=self.row[of_part] - start,
                others=others - others.new_tensor([start, 0]),
                equivalents=torch.stack([number[equivalents[:, 0]], equivalents[:, 1]], dim=1),
                pupil=number[self.pupil[taught]],
                taught=self.taught[taught],
                lesson=self.lesson[taught],
            )

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of some windows; all that is random comes from the generator that it is handed."""

    histories: Histories
    targets: Targets
    equivalents: Equivalents
    pool: PoolPlan
    mined: Mined | None = None
    """Negatives found by search, from the second round on."""
    lessons: Lessons | None = None
    """A teacher's lists, where one teaches."""

    def make(self, windows: Windows, random: np.random.Generator, rank: int = 0, ranks: int = 1) -> Batch:
        """Return a rank's share of the batch of some windows.

        Everything is drawn for the whole batch, alike on every rank, and then divided: so the batch, its targets and
        its pool do not depend on how many ranks there are.
        """
        shuffle = random.random(int((windows.stop - windows.start).sum()))
        row, place, chosen = self._states(windows, random)
        pool, drawn = self.pool.draw(self.targets.item[chosen].astype(np.int64), random)
        weight = self.targets.weight[chosen]

        if ranks > 1:
            users = np.arange(rank, len(windows), ranks)
            if not len(users):
                # A rank must take part in every step: it reads the first window and learns nothing from it.
                users, weight = np.array([0]), np.zeros_like(weight)
            mine = np.isin(row, users)
            row, place, chosen, weight = np.searchsorted(users, row[mine]), place[mine], chosen[mine], weight[mine]
            shuffle = shuffle[_events_of(windows, users)]
            windows = windows.rows(users)
            pool = pool if self.pool.exact else pool[rank::ranks]

        inputs = self._inputs(windows, shuffle)
        target = self.targets.item[chosen].astype(np.int64)
        mined = self._mined(chosen)
        # A rank that learns nothing has no lessons either.
        pupil, taught, lesson = self._lessons(windows.start[row], place, chosen, weight > 0)
        encoded = pool if self.pool.exact else distinct(inputs.item, target, pool, mined, taught)
        asked = distinct(inputs.query)
        arrays = {
            "encoded": encoded,
            "asked": asked,
            "user": windows.user.astype(np.int64),
            "item": number(inputs.item, encoded),
            "query": number(inputs.query, asked),
            "action": inputs.action,
            "gap": inputs.gap,
            "row": row,
            "place": place,
            "target": np.searchsorted(encoded, target),
            "weight": weight,
            "moment": self.targets.time[chosen],
            "pool": pool,
            "drawn": np.asarray(drawn),
            "others": self._others(windows, row, chosen),
            "equivalents": self.equivalents.pairs(target),
            "mined": number(mined, encoded),
            "pupil": pupil,
            "taught": number(taught, encoded),
            "lesson": lesson,
        }
        return Batch(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})

    def _inputs(self, windows: Windows, shuffle: NDArray[np.float64]) -> TowerInputs:
        """Return what is read; events of one (user, time) come in the order of ``shuffle``, ``[events]``."""
        lengths = windows.stop - windows.start
        row, position = stretches(windows.start, lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Rows and times are in order already, so sorting by them and chance only shuffles inside groups.
        time = self.histories.time[position]
        position = position[np.lexsort((shuffle, time, row))]
        columns = [getattr(self.histories, name)[position] for name in ("item", "action", "time", "query")]
        events = [Events(*(column[offsets[n] : offsets[n + 1]] for column in columns)) for n in range(len(windows))]
        return tower_inputs(events, max(1, int(lengths.max())))

    def _states(self, windows: Windows, random: np.random.Generator) -> tuple[Codes, Codes, Codes]:
        """Return (user of the batch, events seen, target) of each trained row.

        A state follows each group of equal time, and foretells every target of the next group that holds one: so each
        item of a basket counts once, whatever the size of its basket and of the one before.
        """
        targets = self.targets
        row, position = stretches(windows.start, windows.stop - windows.start)
        time = self.histories.time[position]
        ends = np.append((time[1:] != time[:-1]) | (row[1:] != row[:-1]), True)[: len(row)]
        row, position, time = row[ends], position[ends], time[ends]
        after = targets.next_group(position, windows.user[row], time)
        known = after >= 0
        row, place, first = row[known], (position - windows.start[row])[known] + 1, after[known]
        state, chosen = stretches(first, targets.group_stop[first] - first)
        # The state before any event knows the profile only, and learns what such users choose. One target is enough:
        # were it a whole basket, windows in the midst of histories would teach mostly what is known there of nobody.
        before = targets.first_from(windows.start, windows.user)
        some = np.flatnonzero(before >= 0)
        return (
            np.append(row[state], some),
            np.append(place[state], np.zeros(len(some), dtype=np.int64)),
            np.append(chosen, targets.draw(before[some], random)),
        )

    def _others(self, windows: Windows, row: Codes, chosen: Codes) -> Codes:
        """Return (user of the batch, item) for the targets from each window's start to its last drawn one."""
        low = np.searchsorted(self.targets.position, windows.start)
        high = low.copy()
        np.maximum.at(high, row, self.targets.group_stop[chosen])
        user, at = stretches(low, high - low)
        return np.stack([user, self.targets.item[at].astype(np.int64)], axis=1)

    def _mined(self, chosen: Codes) -> Codes:
        """Return the codes of mined negatives of targets, ``[rows, mined]``, -1 for none."""
        if self.mined is None:
            return np.zeros((len(chosen), 0), dtype=np.int64)
        return self.mined.of(self.targets.position[chosen])

    def _lessons(
        self, start: Codes, place: Codes, chosen: Codes, learns: NDArray[np.bool_]
    ) -> tuple[Codes, Codes, NDArray[np.float32]]:
        """Return trained rows with a lesson, the codes of its items (-1 past its end) and the teacher's scores.

        A lesson is for the state that has seen all that came before its target: earlier states foretell it too, and the
        one before any event stands for no moment.

        Args:
            start: ``[rows]``, absolute position of the first event of each state's window.
            place: ``[rows]``, events of the window that it has seen.
            chosen: ``[rows]``, its target.
            learns: ``[rows]``.
        """
        if self.lessons is None:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
        pupil, known = self.lessons.of(self.targets.position[chosen])
        following = self.histories.time[(start + place)[pupil]]
        some = learns[pupil] & (place[pupil] > 0) & (following == self.targets.time[chosen[pupil]])
        pupil, known = pupil[some], known[some]
        return pupil, self.lessons.items[known].astype(np.int64), self.lessons.scores[known]


def _events_of(windows: Windows, rows: Codes) -> Codes:
    """Return where the events of some windows stand among those of all, laid end to end."""
    lengths = windows.stop - windows.start
    starts = np.cumsum(lengths) - lengths
    return stretches(starts[rows], lengths[rows])[1]
