import pytest
import torch

from towers.item import ItemInputs, ItemTower, with_popularity


def _tower(**changes):
    torch.manual_seed(0)
    sizes = {"text_dim": 3, "categories": [4], "numbers": 1, "vector_dim": 2, "residuals": 2, "dim": 6}
    tower = ItemTower(**sizes, **{"id_cap": 1.0, "id_drop": 0.0, **changes}).eval()
    with torch.no_grad():
        tower.residual.weight[1:].normal_(std=5.0)
    return tower


def _inputs(items=1, **changes):
    inputs = {
        "text": torch.ones(items, 3),
        "categorical": torch.ones(items, 1, dtype=torch.int64),
        "numeric": torch.zeros(items, 1),
        "numeric_mask": torch.ones(items, 1),
        "vectors": torch.zeros(items, 2),
        "vectors_mask": torch.zeros(items),
        "residual": torch.zeros(items, dtype=torch.int64),
        "popularity": torch.zeros(items),
    }
    return ItemInputs(**{**inputs, **changes})


def test_item_vectors_have_unit_length():
    vectors = _tower().encode(_inputs(5, text=torch.randn(5, 3)))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"text": torch.zeros(1, 3)}, True),
        ({"categorical": torch.full((1, 1), 3)}, True),
        ({"numeric": torch.ones(1, 1)}, True),
        ({"vectors": torch.ones(1, 2), "vectors_mask": torch.ones(1)}, True),
        ({"vectors": torch.ones(1, 2)}, False),  # not given, whatever stands there
        ({"numeric": torch.ones(1, 1), "numeric_mask": torch.zeros(1, 1)}, None),
        ({"residual": torch.ones(1, dtype=torch.int64)}, True),
        ({"popularity": torch.ones(1)}, True),
    ],
)
def test_every_part_speaks_and_what_is_missing_does_not(change, moves):
    tower = _tower()
    before, after = tower.encode(_inputs()), tower.encode(_inputs(**change))
    if moves is None:  # a missing number is not a zero, but its value does not matter
        other = tower.encode(_inputs(**{**change, "numeric": torch.full((1, 1), 9.0)}))
        assert not torch.allclose(before, after)
        assert torch.equal(after, other)
    else:
        assert torch.allclose(before, after) is not moves


def test_the_residual_is_at_most_as_long_as_the_cap_allows():
    tower = _tower(id_cap=0.5)
    content = tower.content(*(getattr(_inputs(), name) for name in list(_inputs().__dataclass_fields__)[:-2]))
    with_id = tower.encode(_inputs(residual=torch.ones(1, dtype=torch.int64)))
    # A residual of half the content's length turns the vector by at most asin(1/2): cosine sqrt(3)/2.
    cosine = (torch.nn.functional.normalize(content, dim=1) * with_id).sum()
    assert cosine >= 0.75**0.5 - 1e-6


def test_dropping_every_residual_leaves_the_content_alone():
    tower = _tower(id_drop=1.0).train()
    known = _inputs(4, residual=torch.tensor([1, 2, 1, 2]), popularity=torch.ones(4))
    torch.testing.assert_close(tower.encode(known), tower.encode(_inputs(4)))


def test_about_a_fifth_of_the_items_stand_without_residual_in_a_step():
    tower = _tower(id_drop=0.2).train()
    known = _inputs(4000, residual=torch.ones(4000, dtype=torch.int64))
    plain = tower.encode(_inputs())
    bare = torch.isclose(tower.encode(known), plain, atol=1e-6).all(dim=1).float().mean().item()
    assert bare == pytest.approx(0.2, abs=0.03)


def test_a_shop_with_texts_alone_needs_no_features():
    tower = ItemTower(text_dim=3, categories=[], numbers=0, vector_dim=0, residuals=0, dim=6, id_cap=1.0, id_drop=0.2)
    none = {"categorical": torch.zeros(2, 0, dtype=torch.int64), "numeric": torch.zeros(2, 0)}
    vectors = tower.encode(_inputs(2, **none, numeric_mask=torch.zeros(2, 0), vectors=torch.zeros(2, 0)))
    assert vectors.shape == (2, 6)


def test_popularity_is_the_last_coordinate_and_leaves_the_rest_its_direction():
    content = torch.tensor([[3.0, 4.0, 7.0], [3.0, 4.0, 7.0]])
    told, untold = with_popularity(content, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(told, torch.tensor([0.48, 0.64, 0.6]))  # .8 x (3, 4) / 5, then .6
    torch.testing.assert_close(untold, content[0] / content[0].norm())
