import pytest
import torch

from towers.user import UserTower

LENGTH, DIM, TEXT = 5, 8, 3


@pytest.fixture
def tower():
    torch.manual_seed(0)
    built = UserTower(
        text_dim=TEXT, categories=[3], numbers=1, dim=DIM, layers=2, heads=2, length=LENGTH, dropout=0.5
    ).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return built


def _inputs(batch=2, length=LENGTH):
    generator = torch.Generator().manual_seed(1)
    return {
        "event_vectors": torch.nn.functional.normalize(torch.randn(batch, length, DIM, generator=generator), dim=2),
        "query_vectors": torch.zeros(batch, length, TEXT),
        "action": torch.full((batch, length), 3),
        "gap": torch.rand(batch, length, generator=generator),
        "count": torch.full((batch,), length),
        "categorical": torch.ones(batch, 1, dtype=torch.int64),
        "numeric": torch.ones(batch, 1),
        "numeric_mask": torch.ones(batch, 1),
    }


def test_users_have_unit_vectors(tower):
    vectors, states = tower(**_inputs())
    assert states.shape == (2, DIM)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_no_state_sees_a_later_event(tower):
    inputs = _inputs()
    changed = {**inputs, "event_vectors": inputs["event_vectors"].clone()}
    changed["event_vectors"][:, 3] *= -1
    one, two = (_states(tower, given) for given in (inputs, changed))
    torch.testing.assert_close(one[:, :4], two[:, :4])  # states after 0, 1, 2 and 3 events
    assert not torch.allclose(one[:, 4], two[:, 4])


def test_padding_changes_nothing(tower):
    short = _inputs(length=3)
    padded = {name: x if x.dim() == 1 or name in _PROFILE else _pad(x) for name, x in short.items()}
    torch.testing.assert_close(tower(**padded)[0], tower(**short)[0])


def test_a_user_without_events_is_placed_by_the_profile(tower):
    inputs = {**_inputs(), "count": torch.zeros(2, dtype=torch.int64)}
    inputs["categorical"] = torch.tensor([[1], [2]])
    vectors, _ = tower(**inputs)
    assert torch.isfinite(vectors).all()
    assert not torch.allclose(vectors[0], vectors[1])


@pytest.mark.parametrize("name", ["event_vectors", "query_vectors", "action", "gap", "numeric", "numeric_mask"])
def test_everything_that_is_told_is_heard(tower, name):
    inputs = _inputs()
    told = {**inputs, name: inputs[name] + 1}
    assert not torch.allclose(tower(**inputs)[0], tower(**told)[0], atol=1e-4)


@pytest.mark.parametrize(("behaviour", "searches"), [(True, False), (False, True), (False, False)])
def test_what_a_tower_is_not_to_read_changes_nothing_but_its_place(tower, behaviour, searches):
    tower.behaviour, tower.searches = behaviour, searches
    inputs = {**_inputs(), "query_vectors": torch.zeros(2, LENGTH, TEXT)}
    inputs["action"] = torch.tensor([[3, 1, 3, 1, 3]] * 2)  # 1: a search
    inputs["query_vectors"][:, [1, 3]] = 1.0
    inputs["event_vectors"][:, [1, 3]] = 0.0
    viewed = {**inputs, "event_vectors": -inputs["event_vectors"]}
    searched = {**inputs, "query_vectors": -inputs["query_vectors"]}
    assert torch.allclose(tower(**inputs)[0], tower(**viewed)[0]) == (not behaviour)
    assert torch.allclose(tower(**inputs)[0], tower(**searched)[0]) == (not searches)


def test_the_projected_query_is_the_query(tower):
    """Training projects each query once and gathers; serving passes the text vectors."""
    inputs = {**_inputs(), "query_vectors": torch.randn(2, LENGTH, TEXT)}
    states = _states(tower, inputs)
    torch.testing.assert_close(tower.vectors(states[:, LENGTH]), tower(**inputs)[0])


def test_a_new_tower_puts_a_user_beside_the_item_they_chose_last():
    torch.manual_seed(0)
    fresh = UserTower(text_dim=TEXT, categories=[], numbers=0, dim=64, layers=1, heads=2, length=LENGTH, dropout=0.0)
    vectors = torch.nn.functional.normalize(torch.randn(50, 1, 64), dim=2)
    one, none = torch.ones(50, 1, dtype=torch.int64), torch.zeros(50, 0)
    placed, _ = fresh(vectors, torch.zeros(50, 1, TEXT), one, one.float(), one[:, 0], none.long(), none, none)
    assert ((placed @ vectors[:, 0].T).argmax(dim=1) == torch.arange(50)).float().mean() > 0.9


_PROFILE = ("categorical", "numeric", "numeric_mask")


def test_a_long_pause_does_not_drown_the_item_that_came_after_it():
    torch.manual_seed(0)
    built = UserTower(text_dim=TEXT, categories=[], numbers=0, dim=32, layers=1, heads=2, length=LENGTH, dropout=0.0)
    year = torch.log1p(torch.tensor(24.0 * 365)) / built.gap_scale
    item = built.item(torch.nn.functional.normalize(torch.randn(32), dim=0) * 32**0.5)
    assert built.gap(torch.stack([year, year.square()])).norm() < 0.1 * item.norm()


def test_attention_is_told_the_time_between_events(tower):
    """Of two towers alike but for this, the one without it hears of times in the events alone."""
    plain = UserTower(
        text_dim=TEXT,
        categories=[3],
        numbers=1,
        dim=DIM,
        layers=2,
        heads=2,
        length=LENGTH,
        dropout=0.5,
        relative_time=False,
    ).eval()
    plain.load_state_dict({name: told for name, told in tower.state_dict().items() if not name.startswith("time.")})
    inputs = _inputs()
    silent = {**inputs, "gap": torch.zeros_like(inputs["gap"])}
    for built, hears in ((tower, True), (plain, False)):
        built.gap.weight.data.zero_()
        assert torch.allclose(built(**inputs)[0], built(**silent)[0]) == (not hears)
    tower.time.bias.weight.data.zero_()
    torch.testing.assert_close(tower(**inputs)[0], plain(**inputs)[0])


def _states(tower, inputs):
    queries = tower.query(inputs["query_vectors"])
    told = [inputs[name] for name in ("action", "gap", *_PROFILE)]
    return tower.states(inputs["event_vectors"], queries, *told)


def _pad(x):
    return torch.cat([x, torch.zeros(x.shape[0], 2, *x.shape[2:], dtype=x.dtype)], dim=1)
