"""Requests of a window as padded batches: for early stopping and for the vectors that are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.histories import Histories
from commerce.records import Requests
from commerce.seen import seen_pairs
from commerce.state import tower_inputs, with_query
from towers.numbering import distinct, number


@dataclass(frozen=True)
class Asked:
    """Some requests as tensors. Items are meant by their row in ``encoded``, queries by theirs in ``asked``; what is
    relevant or hidden by its code."""

    request: Tensor
    """``[batch]`` int64: row in the requests that were given."""
    user: Tensor
    """``[batch]`` int64."""
    encoded: Tensor
    """``[encoded]`` int64: codes of the items that are read, ascending."""
    asked: Tensor
    """``[asked]`` int64: codes of the queries that are read."""
    item: Tensor
    """``[batch, length]`` int64: row in ``encoded`` + 1, 0 for none."""
    query: Tensor
    """``[batch, length]`` int64: row in ``asked`` + 1, 0 for none."""
    action: Tensor
    """``[batch, length]`` int64: action code + 1, 0 for padding."""
    gap: Tensor
    """``[batch, length]`` float32."""
    count: Tensor
    """``[batch]`` int64: events in the row."""
    moment: Tensor
    """``[batch]`` int64 microseconds."""
    relevant: Tensor
    """``[batch, most]`` int64 item codes, -1 padded."""
    hidden: Tensor
    """``[pairs, 2]`` int64: (row of the batch, item code) of what is not to be ranked."""

    def to(self, device: torch.device | str) -> Asked:
        """Return the batch on another device."""
        return Asked(*(getattr(self, field.name).to(device) for field in fields(self)))


class AskedBatches(torch.utils.data.Dataset[Asked]):
    """Requests in batches of similar history length; a map from batch number to ``Asked``."""

    def __init__(
        self,
        requests: Requests,
        histories: Histories,
        length: int,
        *,
        batch: int = 512,
        hide_seen: Sequence[str] = (),
    ) -> None:
        """Order the requests.

        Args:
            requests: those to lay out.
            histories: of all users.
            length: events that are read of a history, the last ones.
            batch: requests in a batch.
            hide_seen: actions by which a user already has an item, which is then not ranked; empty hides nothing.
        """
        self.requests, self.histories, self.length, self.hide_seen = requests, histories, length, hide_seen
        self.batch = batch
        visible = np.minimum(requests.history_end - histories.offsets[requests.user], length)
        order = np.argsort(visible, kind="stable")
        self.batches = [order[start : start + batch] for start in range(0, len(order), batch)]

    def for_ranks(self, ranks: int) -> AskedBatches:
        """Return the requests in batches that so many ranks can divide, none left without; none comes twice.

        Raises:
            ValueError: if there are fewer requests than ranks.
        """
        if len(self.requests) < ranks:
            raise ValueError(
                f"{len(self.requests)} validation requests cannot be divided among {ranks} ranks; use fewer "
                "(towers.devices, towers.nodes) or lengthen prepare.validation_days"
            )
        if len(self.batches) >= ranks:
            return self
        size = len(self.requests) // ranks
        return AskedBatches(self.requests, self.histories, self.length, batch=size, hide_seen=self.hide_seen)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, nth: int) -> Asked:
        rows, requests = self.batches[nth], self.requests
        user, end = requests.user[rows], requests.history_end[rows]
        events = [
            with_query(self.histories.events(int(u), int(e)), int(q), int(t))
            for u, e, q, t in zip(user, end, requests.query[rows], requests.time[rows], strict=True)
        ]
        longest = max(1, *(len(one) for one in events)) if len(events) > 1 else max(1, len(events[0]))
        inputs = tower_inputs(events, min(self.length, longest))
        encoded, asked = distinct(inputs.item), distinct(inputs.query)
        arrays = {
            "request": rows,
            "user": user.astype(np.int64),
            "encoded": encoded,
            "asked": asked,
            "item": number(inputs.item, encoded),
            "query": number(inputs.query, asked),
            "action": inputs.action,
            "gap": inputs.gap,
            "count": inputs.count,
            "moment": requests.time[rows],
            "relevant": self._relevant(rows),
            "hidden": self._hidden(user, end),
        }
        return Asked(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})

    def _relevant(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        lists = [self.requests.relevant(int(row))[0] for row in rows]
        padded = np.full((len(rows), max(1, *map(len, lists), 0)), -1, dtype=np.int64)
        for row, items in enumerate(lists):
            padded[row, : len(items)] = items
        return padded

    def _hidden(self, user: NDArray[np.int32], end: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self.hide_seen:
            return np.zeros((0, 2), dtype=np.int64)
        row, item = seen_pairs(self.histories, user, end, self.hide_seen)
        return np.stack([row, item.astype(np.int64)], axis=1)
