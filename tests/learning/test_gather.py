import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from learning.gather import gather, ranks, share_of_mean, total

ROWS = torch.arange(8, dtype=torch.float64).reshape(4, 2)
COUNTS = torch.tensor([1.0, 3.0], dtype=torch.float64)


def test_alone_everything_is_as_it_is():
    assert ranks() == 1
    assert gather(ROWS) is ROWS
    assert total(COUNTS).tolist() == [1.0, 3.0]
    assert share_of_mean(torch.tensor(6.0), torch.tensor(3.0)) == 2.0


def test_two_ranks_have_the_rows_sums_and_gradients_of_one(tmp_path):
    """Loss of rank r: sum over its rows x and all rows y of (r + 1) (x . y)^2, over all counts."""
    mp.spawn(_rank, args=(tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first["all"], ROWS)
    assert torch.equal(second["all"], ROWS)
    assert first["total"] == second["total"] == 4.0
    joined = ROWS.clone().requires_grad_()
    weights = torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    loss = (weights[:, None] * (joined @ joined.T).square()).sum() / 4
    loss.backward()
    # DDP averages over ranks: so must the two losses and gradients.
    assert (first["loss"] + second["loss"]).item() / 2 == pytest.approx(loss.item())
    torch.testing.assert_close(torch.cat([first["gradient"], second["gradient"]]) / 2, joined.grad)


def _rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mine = ROWS[2 * rank : 2 * rank + 2].clone().requires_grad_()
    everyone = gather(mine)
    loss = share_of_mean((rank + 1) * (mine @ everyone.T).square().sum(), COUNTS[rank])
    loss.backward()
    found = {"all": everyone.detach(), "total": total(COUNTS[rank]), "loss": loss.detach(), "gradient": mine.grad}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()
