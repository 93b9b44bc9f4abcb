"""A step over several ranks, and in parts, is the step of one process: losses and gradients to 1e-5."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learning.gather import ranks as joined_ranks
from learning.gather import share_of_mean
from tests.processes import run_ranks
from tests.towers.training import read_losses, read_task, train_task, with_lessons, with_mined, write_task
from towers.data import Steps
from towers.losses import listwise_kl

STILL = {"dropout": 0.0, "id_drop": 0.0}
KINDS = {
    "pool": {},
    "popularity draws": {"popular_negatives": 5, "popular_power": 0.5},
    "mined": {"mined_weight": 0.7},
    "exact": {"negatives": "all"},
    "parts": {"chunk_users": 2, "popular_negatives": 5, "mined_weight": 0.7},
    "taught": {"teaching": 0.8, "teaching_temperature": 0.5},
    "taught in parts": {"teaching": 0.8, "chunk_users": 2, "negatives": "all"},
    "rows": {"id_updates": "rows"},
    "rows in parts": {"id_updates": "rows", "chunk_users": 2, "mined_weight": 0.7},
}


def steps_of(small, **changes):
    module, data, settings = small(**changes)
    if "mined_weight" in changes:
        with_mined(data)
    if "teaching" in changes:
        with_lessons(data)
    return module, data, settings


def gradients(module, batch):
    """Return the loss and the gradients that a step ends with, as DDP does it: means over ranks."""
    module.zero_grad()
    loss = share_of_mean(*module.loss(batch))
    loss.backward()
    module.on_after_backward()
    found = {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
    rows = {name: found.pop(name).to_dense() for name in list(found) if found[name].is_sparse}
    assert list(rows) == (["item.residual.weight"] if module.settings["id_updates"] == "rows" else [])
    if joined_ranks() > 1:
        for one in (*found.values(), loss.detach()):
            torch.distributed.all_reduce(one)
    means = {name: one / joined_ranks() for name, one in found.items()}
    return {"loss": loss.detach() / joined_ranks(), **means, **rows}


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_have_the_loss_and_gradients_of_one_process_with_the_joined_batch(small, tmp_path, ranks):
    whole = {}
    for kind, changes in KINDS.items():
        module, data, settings = steps_of(small, **STILL, **changes)
        whole[kind] = gradients(module, Steps(data.plan, data.maker, 0, 1)[3])
        write_task(tmp_path / f"{kind}.task", module, data, settings)
    for found in run_ranks(_gradients, ranks, tmp_path):
        for kind in KINDS:
            assert_same(found[kind], whole[kind])


def _gradients(rank, ranks, folder):
    found = {}
    for kind in KINDS:
        module, data, _ = read_task(folder / f"{kind}.task")
        found[kind] = gradients(module, Steps(data.plan, data.maker, rank, ranks)[3])
    return found


def test_the_share_of_every_rank_joined_is_the_whole_batch(small):
    _, data, _ = steps_of(small, popular_negatives=5, mined_weight=0.7)
    whole = Steps(data.plan, data.maker, 0, 1)[7]
    shares = [Steps(data.plan, data.maker, rank, 3)[7] for rank in range(3)]
    assert sorted(torch.cat([one.user for one in shares]).tolist()) == sorted(whole.user.tolist())
    assert sorted(torch.cat([one.pool for one in shares]).tolist()) == whole.pool.tolist()
    assert {len(one.pool) for one in shares} == {len(whole.pool) // 3, -(-len(whole.pool) // 3)}

    def told(batch):
        """What each state has read, is to foretell, and is told apart from."""
        return {
            (
                int(batch.user[row]),
                tuple(batch.encoded[batch.item[row, :place] - 1].tolist()),
                int(batch.encoded[target]),
                tuple(sorted(batch.encoded[mined[mined > 0] - 1].tolist())),
            )
            for row, place, target, mined in zip(batch.row, batch.place, batch.target, batch.mined, strict=True)
        }

    assert set.union(*map(told, shares)) == told(whole)


def test_a_rank_beyond_the_last_window_takes_part_and_learns_nothing(small):
    module, data, _ = steps_of(small, **STILL, teaching=1.0)
    longest = max(data.plan.batches(0), key=lambda one: (one.stop - one.start).min())
    windows = longest.rows(np.array([0, 1]))
    shares = [data.maker.make(windows, np.random.default_rng(0), rank, 3) for rank in range(3)]
    assert [float(one.weight.sum()) > 0 for one in shares] == [True, True, False]
    assert module.loss(shares[2])[0].item() == 0.0
    assert [len(one.pupil) > 0 for one in shares] == [True, True, False]


def test_lessons_weigh_as_much_as_targets_however_few_they_are(small):
    module, data, _ = steps_of(small, **STILL, teaching=0.5)
    batch = Steps(data.plan, data.maker, 0, 1)[3]
    plain = Steps(data.plan, replace(data.maker, lessons=None), 0, 1)[3]
    assert 0 < len(batch.pupil) < len(batch.target)
    whole, weight = module.loss(batch)
    own, _ = module.loss(plain)
    module.settings["teaching"] = 0.0
    assert module.loss(batch)[0].item() == pytest.approx(own.item(), rel=1e-5)
    items = module.encode_items(batch.encoded)
    states = module.read(batch, items, module.encode_asked(batch))[batch.row, batch.place][batch.pupil]
    scores = torch.einsum("rd,rkd->rk", module.user.vectors(states), items[batch.taught - 1]) * module.scale
    apart = listwise_kl(batch.lesson, scores, batch.taught > 0)
    assert ((whole - own) / weight).item() == pytest.approx(0.5 * apart.mean().item(), rel=1e-4)


def test_sparse_gradients_are_those_of_the_whole_table(small):
    found = []
    for updates in ("dense", "rows"):
        module, data, _ = small(**STILL, id_updates=updates)
        found.append(gradients(module, Steps(data.plan, data.maker, 0, 1)[3]))
    assert found[0]["item.residual.weight"].abs().sum() > 0
    assert_same(*found)


def test_parts_have_the_gradient_of_the_whole(small):
    module, data, _ = steps_of(small, **STILL, mined_weight=0.7)
    batch = Steps(data.plan, data.maker, 0, 1)[3]
    whole = gradients(module, batch)
    assert len(batch.user) > 4
    for users in (1, 4, 100):
        module.settings["chunk_users"] = users
        assert_same(gradients(module, batch), whole)


def test_parts_are_read_again_with_the_dropout_they_had(small, monkeypatch):
    module, data, _ = small(dropout=0.5, id_drop=0.5, chunk_users=3)
    batch = Steps(data.plan, data.maker, 0, 1)[3]
    torch.manual_seed(4)
    replayed = gradients(module, batch)
    monkeypatch.setattr("towers.module.checkpoint", lambda function, *args, use_reentrant: function(*args))
    torch.manual_seed(4)
    kept = gradients(module, batch)
    assert_same(replayed, kept)
    torch.manual_seed(5)
    other = gradients(module, batch)["user.start"]
    assert not torch.allclose(other, kept["user.start"], rtol=1e-3)


@pytest.mark.parametrize("updates", ["dense", "rows"])
def test_a_training_over_two_ranks_is_that_of_one_process(small, tmp_path, updates):
    """Fifty steps of AdamW in epochs of five, with validation after each."""
    changes = {
        **STILL,
        "id_updates": updates,
        "popular_negatives": 5,
        "mined_weight": 0.7,
        "chunk_users": 3,
        "max_epochs": 10,
        "patience": 10,
    }
    write_task(tmp_path / "task", *steps_of(small, **changes))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    curve, weights = train_task(tmp_path / "task", tmp_path / "one", tmp_path / "one.losses")
    (two_curve, two_weights), (_, others_weights) = run_ranks(_train, 2, tmp_path)
    one, two = read_losses(tmp_path / "one.losses"), read_losses(tmp_path / "two.losses")
    assert list(one) == list(two) == list(range(1, 51))
    assert list(two.values()) == pytest.approx(list(one.values()), rel=1e-4)
    assert one[50] < one[1]
    ndcg = [row["val_ndcg@10"] for row in curve]
    assert [row["val_ndcg@10"] for row in two_curve] == pytest.approx(ndcg, rel=1e-12)
    for name, one in weights.items():
        assert torch.equal(others_weights[name], two_weights[name]), name
        if not name.endswith("attention_in.bias"):  # softmax does not feel a key's: AdamW steps by the sign of noise
            torch.testing.assert_close(two_weights[name], one, rtol=1e-3, atol=1e-4, msg=name)


def _train(rank, ranks, folder):
    return train_task(folder / "task", folder / "two", folder / "two.losses", devices=ranks)


def test_validation_counts_every_request_once_whatever_the_ranks(small):
    _, data, _ = small()
    for ranks in (1, 2, 4, 7):
        batches = data.validation.for_ranks(ranks)
        shares = [
            [int(one) for n in range(rank, len(batches), ranks) for one in batches[n].request] for rank in range(ranks)
        ]
        assert min(map(len, shares)) > 0  # a rank without any would not come to the end of the epoch
        assert sorted(request for share in shares for request in share) == list(range(30))
    with pytest.raises(ValueError, match="30 validation requests cannot be divided among 31 ranks"):
        data.validation.for_ranks(31)
