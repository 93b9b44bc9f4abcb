"""AdamW for models with a large table of which a step reads few rows: only these are updated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from learning.gather import gather, ranks


class RowAdamW(torch.optim.AdamW):
    """AdamW; of a parameter with a sparse gradient (``nn.Embedding(sparse=True)``) it changes that gradient's rows.

    Where every row has a gradient in every step, this is AdamW (Loshchilov and Hutter 2019). A row without one keeps
    its value and its moments as they are: nothing decays, and it does not drift on with its momentum. That is the lazy
    Adam of ``torch.optim.SparseAdam``, with the decay of weights added and bias corrected by the steps of all rows. A
    row that comes rarely therefore moves less for each time it comes than under AdamW, which goes on moving it for some
    ten steps; a higher rate makes up for it.

    One class, and not a second optimiser beside AdamW, so that one schedule, one state and Lightning's automatic
    optimisation serve both. The state of a table is that of AdamW: ``exp_avg`` and ``exp_avg_sq`` of its shape.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Do one step and return what ``closure`` does; it is called first, with gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        tables = []
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    tables.append((table, table.grad))
                    self._update_rows(table, group)
                    table.grad = None  # AdamW refuses a sparse gradient, and leaves alone what has none
        super().step()
        for table, gradient in tables:
            table.grad = gradient
        return loss

    def _update_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[table], group["betas"]
        if not state:
            state["step"] = torch.zeros((), device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        assert table.grad is not None
        gradient = table.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"][rows].lerp_(values, 1 - first)
        square = state["exp_avg_sq"][rows].mul_(second).addcmul_(values, values, value=1 - second)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        steps = float(state["step"])
        spread = square.sqrt_().div_((1 - second**steps) ** 0.5).add_(group["eps"])
        moved = table[rows] * (1 - group["lr"] * group["weight_decay"])
        table.index_copy_(0, rows, moved.addcdiv_(mean, spread, value=-group["lr"] / (1 - first**steps)))


def mean_rows(gradient: Tensor) -> Tensor:
    """Return the mean over ranks of a sparse gradient; each rank brings as many rows as it has.

    Rows are gathered, since of the backends of torch.distributed only gloo adds up sparse tensors, and NCCL does not.
    """
    if ranks() == 1:
        return gradient
    mine = gradient.coalesce()
    rows, values = gather(mine.indices()[0]), gather(mine.values())
    return torch.sparse_coo_tensor(rows[None], values / ranks(), gradient.shape).coalesce()
