import pytest
import torch

from learning.gather import gather, ranks, share_of_mean, total
from tests.processes import run_ranks

ROWS = torch.arange(14, dtype=torch.float64).reshape(7, 2)
COUNTS = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
PARTS = (1, 4, 2)
"""Rows that each rank brings."""


def test_alone_everything_is_as_it_is():
    assert ranks() == 1
    assert gather(ROWS) is ROWS
    assert total(COUNTS).tolist() == [1.0, 3.0, 2.0]
    assert share_of_mean(torch.tensor(6.0), torch.tensor(3.0)) == 2.0


def test_a_batch_without_anything_to_learn_has_no_loss():
    assert share_of_mean(torch.tensor(0.0), torch.tensor(0.0)) == 0.0


def test_ranks_of_uneven_size_have_the_rows_sums_and_gradients_of_one(tmp_path):
    """Loss of rank r: sum over its rows x and all rows y of (r + 1) (x . y)^2, over all counts."""
    found = run_ranks(_rank, 3, tmp_path)
    assert all(torch.equal(one["all"], ROWS) for one in found)
    assert all(one["codes"] == [0, 1, 1, 1, 1, 2, 2] for one in found)
    assert {one["total"].item() for one in found} == {6.0}
    joined = ROWS.clone().requires_grad_()
    weights = torch.tensor([1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0], dtype=torch.float64)
    loss = (weights[:, None] * (joined @ joined.T).square()).sum() / 6
    loss.backward()
    # DDP averages over ranks: so must the losses and gradients.
    assert sum(one["loss"] for one in found).item() / 3 == pytest.approx(loss.item())
    torch.testing.assert_close(torch.cat([one["gradient"] for one in found]) / 3, joined.grad)


def test_a_rank_may_bring_nothing(tmp_path):
    first, second = run_ranks(_nothing, 2, tmp_path)
    assert first["all"].tolist() == second["all"].tolist() == [[1.0, 1.0]]
    assert first["gradient"].tolist() == [[2.0, 2.0]]
    assert second["gradient"].shape == (0, 2)


def _rank(rank, ranks, folder):
    mine = ROWS.split(PARTS)[rank].clone().requires_grad_()
    everyone = gather(mine)
    loss = share_of_mean((rank + 1) * (mine @ everyone.T).square().sum(), COUNTS[rank])
    loss.backward()
    codes = gather(torch.full((PARTS[rank],), rank)).tolist()
    counted = total(COUNTS[rank])
    return {
        "all": everyone.detach(),
        "codes": codes,
        "total": counted,
        "loss": loss.detach(),
        "gradient": mine.grad,
    }


def _nothing(rank, ranks, folder):
    mine = torch.ones(1 - rank, 2, requires_grad=True)
    everyone = gather(mine)
    everyone.sum().backward()
    return {"all": everyone.detach(), "gradient": mine.grad}
