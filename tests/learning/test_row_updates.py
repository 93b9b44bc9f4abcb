import copy

import pytest
import torch
from torch import nn

from learning.optimizer import parameter_groups, warmup_cosine
from learning.row_updates import RowAdamW


class _Model(nn.Module):
    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(6, 3, padding_idx=0, sparse=sparse)
        self.linear = nn.Linear(3, 2)

    def forward(self, rows):
        return self.linear(self.table(rows)).square().sum()


def _trained(model, kind, steps):
    """Train as the towers do, decay, warm-up and all; return the model and the optimiser."""
    optimizer = kind(parameter_groups(model, learning_rate=0.1, weight_decay=0.5))
    schedule = warmup_cosine(optimizer, len(steps), 0.2)
    for rows in steps:
        optimizer.zero_grad()
        model(torch.tensor(rows)).backward()
        optimizer.step()
        schedule.step()
    return model, optimizer


def test_with_a_gradient_for_every_row_it_is_adamw():
    torch.manual_seed(1)
    # Rows come up to three times in a step, and the padding row, which gets no gradient, does not count.
    steps = [[1, 2, 3, 4, 5, *torch.randint(1, 6, (2,)).tolist()] for _ in range(20)]
    (dense, one), (sparse, two) = (
        _trained(_Model(False), torch.optim.AdamW, steps),
        _trained(_Model(True), RowAdamW, steps),
    )
    for name, parameter in dense.named_parameters():
        found = dict(sparse.named_parameters())[name]
        rows = slice(1, None) if name == "table.weight" else slice(None)  # AdamW decays the padding row too
        torch.testing.assert_close(found[rows], parameter[rows], rtol=1e-5, atol=1e-6)
        for moment in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(two.state[found][moment], one.state[parameter][moment], rtol=1e-4, atol=1e-6)
    assert not torch.equal(dense.table.weight[1:], _Model(False).table.weight[1:])


def test_rows_without_a_gradient_stay_as_they_are():
    model, optimizer = _trained(_Model(True), RowAdamW, [[1, 2], [2, 3]])
    before = model.table.weight.detach().clone()
    moments = copy.deepcopy(optimizer.state[model.table.weight])
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.zero_grad()
    model(torch.tensor([3, 5])).backward()
    optimizer.step()
    changed = (model.table.weight != before).any(dim=1)
    assert changed.tolist() == [False, False, False, True, False, True]
    for name in ("exp_avg", "exp_avg_sq"):
        same = (optimizer.state[model.table.weight][name] == moments[name]).all(dim=1)
        assert same.tolist() == [True, True, True, False, True, False]


def test_a_first_step_moves_every_number_by_the_rate_after_decay():
    table = nn.Embedding(3, 1, sparse=True)
    with torch.no_grad():
        table.weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
    optimizer = RowAdamW(table.parameters(), lr=0.1, weight_decay=0.5)
    (table(torch.tensor([1, 2, 2])) * torch.tensor([[4.0], [-1.0], [-2.0]])).sum().backward()
    optimizer.step()
    # Gradients 4 and -3, of which Adam's first step keeps the sign: 2 x (1 - .05) - .1, 3 x (1 - .05) + .1.
    assert table.weight[:, 0].tolist() == pytest.approx([1.0, 1.8, 2.95])
    assert table.weight.grad.is_sparse


def test_the_closure_comes_first_and_its_loss_is_returned():
    model = _Model(True)
    optimizer = RowAdamW(model.parameters(), lr=0.1)

    def closure():
        loss = model(torch.tensor([1]))
        loss.backward()
        return loss

    before = model.table.weight[1].tolist()
    assert optimizer.step(closure).item() > 0
    assert model.table.weight[1].tolist() != before
