from dataclasses import asdict, replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from learning.gather import share_of_mean
from learning.optimizer import decays


def test_exempt_from_decay_are_biases_norms_the_start_and_the_temperature(small):
    module, *_ = small()
    kept = {name for name, decayed in decays(module, ("log_scale",)).items() if not decayed}
    assert {name for name in kept if not name.endswith("bias") and "norm" not in name} == {
        "log_scale",
        "user.start",
        "item.popularity",
    }
    assert {"item.text.weight", "item.residual.weight", "user.position.weight", "user.action.weight"}.isdisjoint(kept)


def test_every_parameter_of_the_towers_learns_from_a_step(small):
    module, data, _ = small()
    loss, _ = module.loss(_batch(data))
    loss.backward()
    asleep = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    assert asleep == {"intent.linear.weight", "intent.linear.bias"}  # fitted afterwards, on finished states


def test_the_temperature_is_learnt_and_bounded(small):
    module, *_ = small()
    with torch.no_grad():
        module.log_scale.fill_(50.0)
    assert module.scale.item() == pytest.approx(100, rel=0.01)


def test_the_pool_without_luck_is_the_exact_softmax(small):
    """A pool that is sure to hold every item scores like the catalogue."""
    exact, data, _ = small(negatives="all", dropout=0.0, id_drop=0.0)
    pooled, pool_data, _ = small(dropout=0.0, id_drop=0.0)
    batch, pool_batch = _batch(data), _batch(pool_data)
    everything = replace(batch, pool=torch.arange(20), drawn=torch.tensor(10**9))
    torch.testing.assert_close(pooled.loss(everything)[0], exact.loss(batch)[0], rtol=1e-5, atol=1e-5)
    assert len(pool_batch.pool) < 20


def test_an_item_that_was_not_on_offer_is_no_negative(small):
    module, data, _ = small(negatives="all", dropout=0.0, id_drop=0.0)
    batch = _batch(data)
    before, _ = module.loss(batch)
    closed = module.facts.until.clone()
    closed[10:] = -1  # not on offer since 1970
    module.attach(replace(module.facts, until=closed))
    after, _ = module.loss(batch)
    assert after < before
    module.attach(replace(module.facts, until=torch.full_like(closed, -1)))
    assert module.loss(batch)[0].item() == pytest.approx(0.0, abs=1e-4)  # only its own target is left to each


def test_training_is_over_every_position(small):
    _, data, _ = small()
    batch = _batch(data)
    assert len(batch.row) > 3 * len(batch.user)
    assert (batch.place == 0).any()  # the profile alone, before any event


def test_two_ranks_have_the_loss_and_gradients_of_one_with_the_joined_batch(small, tmp_path):
    module, data, settings = small(dropout=0.0, id_drop=0.0, uniform_negatives=12)
    batch = _batch(data)
    loss, count = module.loss(batch)
    (loss / count).backward()
    torch.save([_part(batch, rank) for rank in range(2)], tmp_path / "batches.pt")
    half = replace(settings, uniform_negatives=6)
    torch.save((asdict(half), module.facts, module.state_dict()), tmp_path / "model.pt")
    mp.spawn(_rank, args=(tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    assert (first["loss"] + second["loss"]).item() / 2 == pytest.approx((loss / count).item(), rel=1e-6)
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            mean = (first["gradients"][name] + second["gradients"][name]) / 2
            torch.testing.assert_close(mean, parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def _rank(rank, folder):
    from towers.module import TwoTower

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    settings, facts, weights = torch.load(folder / "model.pt", weights_only=False)
    module = TwoTower({**asdict(_shape())}, settings)
    module.load_state_dict(weights)
    module.attach(facts)
    loss = share_of_mean(*module.loss(torch.load(folder / "batches.pt", weights_only=False)[rank]))
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    torch.save({"loss": loss.detach(), "gradients": gradients}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def _shape():
    from towers.module import Shape

    return Shape(4, 20, 15, [3], 1, 3, [2], 1)


def _batch(data):
    return data_steps(data)[0]


def data_steps(data):
    from towers.data import Steps

    return Steps(data.plan, data.maker, 0, 1)


def _part(batch, rank):
    """Half of a batch's users with half of its pool; one item is in both halves, and both are padded to one size."""
    half = len(batch.user) // 2
    mine = slice(0, half) if rank == 0 else slice(half, None)
    first = 0 if rank == 0 else half
    rows = torch.isin(batch.row, torch.arange(len(batch.user))[mine])
    middle = len(batch.pool) // 2
    pool = batch.pool[: middle + 1] if rank == 0 else batch.pool[middle:]
    pool = torch.cat([pool, torch.full((len(batch.pool) + 2 - len(pool),), -1)])
    others = batch.others[torch.isin(batch.others[:, 0], torch.arange(len(batch.user))[mine])] - torch.tensor(
        [first, 0]
    )
    return replace(
        batch,
        user=batch.user[mine],
        item=batch.item[mine],
        query=batch.query[mine],
        action=batch.action[mine],
        gap=batch.gap[mine],
        row=batch.row[rows] - first,
        place=batch.place[rows],
        target=batch.target[rows],
        weight=batch.weight[rows],
        moment=batch.moment[rows],
        pool=pool,
        drawn=batch.drawn // 2 + (batch.drawn % 2 if rank == 0 else 0),
        others=others,
    )
