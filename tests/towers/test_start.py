import numpy as np
import pytest
import torch
from scipy import sparse

from towers.start import count_pairs, spectral_embedding, start_from_pairs


def test_pairs_fade_with_the_events_between_them(lay):
    histories = lay([(0, "purchase", 0), (1, "search", 1), (2, "view", 1), (3, "purchase", 2), (4, "purchase", 0)])
    pairs = count_pairs(histories, histories.offsets[:-1], histories.offsets[1:], 4, 0).toarray()
    # 0-1, 1-2, 2-0 are neighbours, the search between 0 and 1 being no item; 0-2 and 1-0 stand one event apart.
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 1 + 0.7
    expected[1, 2] = expected[2, 1] = 1
    expected[0, 2] = expected[2, 0] = 1 + 0.7
    np.testing.assert_allclose(pairs, expected, rtol=1e-6)


def test_no_pair_reaches_past_a_users_cut_or_over_to_another_user(lay):
    histories = lay(
        [(0, "purchase", 0), (1, "purchase", 1), (2, "purchase", 2)], [(0, "purchase", 3), (1, "purchase", 0)]
    )
    pairs = count_pairs(histories, histories.offsets[:-1], np.array([2, 3]), 4, 0)
    assert pairs.nnz == 2
    assert pairs[0, 1] == pairs[1, 0] == 1


def test_the_order_within_one_moment_does_not_matter_on_average(lay):
    histories = lay(*[[(0, "purchase", item) for item in range(12)]] * 400)
    pairs = count_pairs(histories, histories.offsets[:-1], histories.offsets[1:], 12, 0).toarray()
    apart = pairs[~np.eye(12, dtype=bool)]
    assert apart.std() / apart.mean() < 0.1  # in the order of the log 0 and 11 would never meet


def test_events_are_drawn_by_whole_users_where_there_are_too_many(lay, monkeypatch):
    monkeypatch.setattr("towers.start._EVENTS", 20)
    monkeypatch.setattr("towers.start._BLOCK", 6)
    histories = lay(*[[(0, "purchase", 2 * user), (1, "purchase", 2 * user + 1)] for user in range(100)])
    pairs = count_pairs(histories, histories.offsets[:-1], histories.offsets[1:], 200, 0)
    assert pairs.nnz == 2 * 11
    assert (pairs.data == 1).all()


def _information(weights):
    degree = weights.sum(axis=1)
    smoothed = degree**0.75 / (degree**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.log(weights / (degree[:, None] * smoothed))
    told = np.where(weights > 0, np.maximum(told, 0), 0)
    return (told + told.T) / 2


def _best(information, rank):
    values, vectors = np.linalg.eigh(information)
    first = np.argsort(-values)[:rank]
    return (vectors[:, first] * np.maximum(values[first], 0)) @ vectors[:, first].T


def test_products_of_vectors_tell_how_much_more_items_met_than_by_chance():
    random = np.random.default_rng(0)
    weights = np.triu(random.random((12, 12)) * (random.random((12, 12)) < 0.4), 1)
    weights[:, 5] = weights[5] = 0  # item 5 was met with nothing
    weights = weights + weights.T
    vectors = spectral_embedding(sparse.csr_matrix(weights), 12, 0).numpy()
    np.testing.assert_allclose(vectors @ vectors.T, _best(_information(weights), 12), atol=1e-4)
    assert not np.abs(vectors[5]).max() > 1e-6


def test_vectors_of_few_numbers_are_nearly_the_best_of_their_rank():
    random = np.random.default_rng(1)
    groups = np.arange(60) // 6
    weights = random.random((60, 60)) * np.where(groups[:, None] == groups, 1.0, 0.01)
    weights = weights + weights.T
    np.fill_diagonal(weights, 0)
    information = _information(weights)
    vectors = spectral_embedding(sparse.csr_matrix(weights), 10, 0).numpy()
    worst = np.linalg.norm(information - _best(information, 10))
    assert np.linalg.norm(information - vectors @ vectors.T) < 1.02 * worst


def test_the_start_leaves_chance_alone(lay):
    pairs = sparse.csr_matrix(np.ones((6, 6)) - np.eye(6))
    torch.manual_seed(5)
    spectral_embedding(pairs, 3, 0)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_items_met_together_start_near_each_other(small, lay):
    module, data, _ = small()
    histories = data.maker.histories
    tower, rows = module.item, module.facts.items.residual
    before = tower.residual.weight.detach().clone()
    start_from_pairs(module, histories, histories.offsets[1:], 0)
    after = tower.residual.weight.detach()
    assert torch.equal(after[0], before[0])  # the row of items without one
    own = torch.nn.functional.normalize(after[rows[5:]], dim=1)
    near = own @ own.T
    # Habit of this shop: the item after item i is i + 1.
    neighbours = near.diagonal(1).mean()
    far = near.diagonal(7).mean()
    assert neighbours > far + 0.2
    assert not torch.equal(before, after)


def test_residuals_start_as_long_as_the_content(small):
    module, data, _ = small()
    histories, items = data.maker.histories, module.facts.items
    start_from_pairs(module, histories, histories.offsets[1:], 0)
    with torch.no_grad():
        content = module.item.content(
            items.text, items.categorical, items.numeric, items.numeric_mask, items.vectors, items.vectors_mask
        )
    own = module.item.residual.weight[items.residual[items.residual > 0]].detach().norm(dim=1)
    assert own.median() == pytest.approx(content.norm(dim=1).median().item(), rel=1e-5)


def test_a_log_without_pairs_changes_nothing(small, lay):
    module, _, _ = small()
    before = module.item.residual.weight.detach().clone()
    lone = lay(*[[(0, "purchase", item)] for item in range(20)])
    start_from_pairs(module, lone, lone.offsets[1:], 0)
    assert torch.equal(before, module.item.residual.weight)
