import numpy as np
import pytest

from commerce.bazaar.streams import Streams


def test_a_draw_depends_on_its_address_alone():
    streams = Streams(7)
    table = streams.uniform("noise", np.arange(4)[:, None], np.arange(5))
    assert table.shape == (4, 5)
    assert streams.uniform("noise", 2, 3)[0] == table[2, 3]


@pytest.mark.parametrize(("seed", "name", "first"), [(8, "noise", 2), (7, "other", 2), (7, "noise", 3)])
def test_another_seed_name_or_coordinate_gives_another_draw(seed, name, first):
    assert Streams(seed).uniform(name, first, 3)[0] != Streams(7).uniform("noise", 2, 3)[0]


def test_coordinates_in_another_order_are_another_address():
    assert Streams(7).uniform("noise", 2, 3)[0] != Streams(7).uniform("noise", 3, 2)[0]


def test_draws_are_uniform_normal_and_unrelated():
    streams, place = Streams(1), np.arange(100_000)
    uniform, normal = streams.uniform("u", place), streams.normal("n", place)
    assert np.histogram(uniform, bins=10, range=(0, 1))[0] == pytest.approx(10_000, abs=400)
    assert (normal.mean(), normal.std()) == pytest.approx((0.0, 1.0), abs=0.02)
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(uniform, normal)[0, 1]) < 0.02


def test_score_plus_gumbel_draws_from_the_softmax():
    score = np.log([0.5, 0.3, 0.2])
    drawn = np.argmax(score + Streams(3).gumbel("g", np.arange(50_000)[:, None], np.arange(3)), axis=1)
    assert np.bincount(drawn) / 50_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
