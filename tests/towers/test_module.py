from dataclasses import replace

import numpy as np
import pytest
import torch

from learning.optimizer import decays
from towers.embed import embed_items


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
    # Fitted afterwards, on finished states.
    assert asleep == {name for name, _ in module.named_parameters() if name.startswith("intent.")}


@pytest.mark.parametrize("changes", [{}, {"negatives": "all"}, {"chunk_users": 3, "id_updates": "rows"}])
def test_vectors_read_from_disk_are_those_in_memory_bit_for_bit(small, tmp_path, changes):
    found = []
    for place in ("memory", "disk"):
        module, data, _ = small(**changes)
        text = module.facts.items.text.half()
        np.save(tmp_path / "text.npy", text.numpy())
        mapped = torch.from_numpy(np.load(tmp_path / "text.npy", mmap_mode="c"))
        items = replace(module.facts.items, text=text.float() if place == "memory" else mapped)
        module.attach(replace(module.facts, items=items))
        torch.manual_seed(2)
        loss, _ = module.loss(_batch(data))
        loss.backward()
        found.append((loss, module.item.text.weight.grad, torch.from_numpy(embed_items(module))))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_a_training_that_refines_peaks_at_a_share_of_the_configured_rates_and_ends_at_none(small):
    module, *_ = small(learning_rate=0.004, warmup_share=0.1)
    module.refine(steps=10, rate=0.25)
    told = module.configure_optimizers()
    rates = []
    for _ in range(11):
        rates.append(told["lr_scheduler"]["scheduler"].get_last_lr()[0])
        told["optimizer"].step()
        told["lr_scheduler"]["scheduler"].step()
    assert max(rates) == rates[0] == pytest.approx(0.001)
    assert rates[10] == pytest.approx(0.0)


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


def _batch(data):
    return data_steps(data)[0]


def data_steps(data):
    from towers.data import Steps

    return Steps(data.plan, data.maker, 0, 1)
