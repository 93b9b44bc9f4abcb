import numpy as np

from towers.pool import PoolPlan, popularity_chances

CHANCES = popularity_chances(np.array([0.4, 0.0, 0.1, 0.5]), 0.5)


def test_draws_by_popularity_are_those_of_numpy_choice():
    plan = PoolPlan(4, exact=False, most_targets=9, uniform=2, popular=3, chances=CHANCES)
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        pool, drawn = plan.draw(np.array([1, 2]), ours)
        expected = [[1, 2], theirs.integers(0, 4, 2), theirs.choice(4, 3, p=CHANCES)]
        assert pool.tolist() == np.unique(np.concatenate(expected)).tolist()
        assert drawn == 2
    assert ours.random() == theirs.random()
